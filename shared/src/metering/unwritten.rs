//! Records that DynamoDB refused: one log line each, from which [`replay`](Record) brings them back.
//!
//! A line holds the whole record. Written again by whoever reads it, through [`Ledger::write`](super::Ledger::write) or
//! [`Ledger::open`](super::Ledger::open), it counts once, however often and however late that happens: for as long as
//! records are kept. Of older lines that cannot be known, so they are refused ([`MAY_BE_REPLAYED`]).

use std::time::Duration;

use serde::Deserialize;

use super::call::{Record, State};
use super::ledger::LedgerError;
use crate::clock::Timestamp;

/// A record whose call began longer ago is not brought back: well before the 90 days after which what says that it was
/// counted may be gone.
pub const MAY_BE_REPLAYED: Duration = Duration::from_secs(60 * 24 * 3600);

/// The code of the line about an attempt that begins. Its end is written nonetheless; without one, this line is all that
/// there is.
pub const UNOPENED: &str = "usage.unopened";
/// The code of the line about an attempt that is over.
pub const UNWRITTEN: &str = "usage.unwritten";

/// Logs that `record` could not be written.
pub fn log(record: &Record, error: &LedgerError) {
    let line = serde_json::to_string(record).unwrap_or_default();
    let call = &record.call;
    if record.state == State::Open {
        tracing::error!(
            code = UNOPENED,
            request.id = call.request_id,
            account.id = call.account,
            provider = call.provider,
            %error,
            record = line,
            "the beginning of an AI call was not written"
        );
    } else {
        tracing::error!(
            code = UNWRITTEN,
            request.id = call.request_id,
            account.id = call.account,
            provider = call.provider,
            %error,
            record = line,
            "an AI call's usage was not written"
        );
    }
}

/// The record in a log line; `None` where the line is about something else, or not whole.
pub fn read(line: &str) -> Option<Record> {
    #[derive(Deserialize)]
    struct Line {
        code: String,
        record: String,
    }
    // A line of another origin may have something before the JSON.
    let line: Line = serde_json::from_str(&line[line.find('{')?..]).ok()?;
    let record: Record = serde_json::from_str(&line.record).ok()?;
    let fits = match line.code.as_str() {
        UNOPENED => record.state == State::Open,
        UNWRITTEN => matches!(record.state, State::Closed | State::Void | State::Abandoned),
        _ => false,
    };
    fits.then_some(record)
}

/// Whether `record` may be brought back at `now`.
pub fn may_be_replayed(record: &Record, now: Timestamp) -> bool {
    record.call.started_at().until(now) <= MAY_BE_REPLAYED
}
