//! Records that could not be written, because DynamoDB refused or the call was cut off. Each becomes one log line, from
//! which the [`Record`] can be replayed.
//!
//! A line holds the whole record. A replay reads it and writes it again through [`Ledger::write`](super::Ledger::write)
//! or [`Ledger::open`](super::Ledger::open). The ledger counts it once, however often it is replayed, as long as it
//! keeps records. For older lines it cannot tell, so they are refused ([`MAY_BE_REPLAYED`]).

use std::fmt::Display;
use std::time::Duration;

use serde::Deserialize;

use super::call::{Record, RecordState};
use crate::clock::Timestamp;

/// Maximum age of a call whose record may be replayed. It is well below the 90 days for which the ledger keeps the
/// record that shows that a call was counted.
pub const MAY_BE_REPLAYED: Duration = Duration::from_secs(60 * 24 * 3600);

/// Log code for a record that could not be opened. The end of the attempt is written all the same; if there is none,
/// this line is the only trace.
pub const UNOPENED: &str = "usage.unopened";
/// Log code for the record of a finished attempt that could not be written.
pub const UNWRITTEN: &str = "usage.unwritten";

/// Log code for an attempt that was cut off before its usage was known. The line holds what was known, as the monitor
/// would settle it.
pub const LOST_TRACK: &str = "usage.lost_track";

/// Logs that `record` could not be written because of `error`.
pub fn log(record: &Record, error: &impl Display) {
    let (code, what) = match record.state {
        RecordState::Open => (UNOPENED, "the beginning of an AI call was not written"),
        RecordState::Abandoned => (LOST_TRACK, "a call was cut off before its usage was known"),
        RecordState::Closed | RecordState::Void => (UNWRITTEN, "an AI call's usage was not written"),
    };
    let call = &record.call;
    tracing::error!(
        code,
        request.id = call.request_id,
        account.id = call.account,
        provider = call.provider,
        %error,
        record = serde_json::to_string(record).unwrap_or_default(),
        "{what}"
    );
}

/// Error of a log line about an unwritten record from which the record cannot be read whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the line is not whole")]
pub struct NotWhole;

/// Returns the record in a log line, or `None` if the line is about something else.
///
/// # Errors
/// Returns [`NotWhole`] if the line should hold a record that cannot be read, for example because it was cut off.
pub fn read(line: &str) -> Result<Option<Record>, NotWhole> {
    #[derive(Deserialize)]
    struct UnwrittenLine {
        code: Option<String>,
        record: Option<String>,
    }
    // Skip other lines without parsing them.
    if ![UNOPENED, UNWRITTEN, LOST_TRACK].iter().any(|code| line.contains(code)) {
        return Ok(None);
    }
    // Log tools may put a prefix before the JSON.
    let json = line.find('{').map_or("", |start| &line[start..]);
    let UnwrittenLine { code, record } = serde_json::from_str(json).map_err(|_| NotWhole)?;
    // Earlier versions logged that a call was cut off, without a record.
    if code.as_deref() == Some(LOST_TRACK) && record.is_none() {
        return Ok(None);
    }
    // Check that the state fits the code, so that a damaged line is not taken for a record.
    let fits: fn(RecordState) -> bool = match code.as_deref() {
        Some(UNOPENED) => |state| state == RecordState::Open,
        Some(UNWRITTEN | LOST_TRACK) => |state| state != RecordState::Open,
        _ => return Ok(None),
    };
    let record: Record = record.and_then(|record| serde_json::from_str(&record).ok()).ok_or(NotWhole)?;
    if fits(record.state) { Ok(Some(record)) } else { Err(NotWhole) }
}

/// Returns true if `record` may be replayed at `now`.
pub fn may_be_replayed(record: &Record, now: Timestamp) -> bool {
    record.call.started_at().until(now) <= MAY_BE_REPLAYED
}

#[cfg(test)]
mod tests {
    use std::io;
    use std::sync::{Arc, Mutex};

    use proptest::prelude::*;
    use tracing_subscriber::fmt::MakeWriter;
    use tracing_subscriber::layer::SubscriberExt;

    use super::*;
    use crate::metering::call::Call;
    use crate::metering::call::tests::{call, used};
    use crate::sync::lock;

    /// Writer that collects log lines.
    #[derive(Clone, Default)]
    struct Log(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Log {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            lock(&self.0).extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    impl<'a> MakeWriter<'a> for Log {
        type Writer = Self;

        fn make_writer(&'a self) -> Self {
            self.clone()
        }
    }

    /// Returns the log lines of a function about `record`.
    fn logged(record: &Record) -> String {
        let log = Log::default();
        // Formatted as in `telemetry::init`.
        let lines = tracing_subscriber::fmt::layer().json().flatten_event(true);
        let lines = lines.with_current_span(false).with_span_list(false).with_writer(log.clone());
        let subscriber = tracing_subscriber::registry().with(lines);
        tracing::subscriber::with_default(subscriber, || super::log(record, &"no answer"));
        String::from_utf8(lock(&log.0).clone()).unwrap()
    }

    fn records(call: &Call) -> [Record; 4] {
        let open = Record::open(call.clone());
        let closed = Record::closed(call.clone(), used(7, 9), true);
        [open.clone(), closed, Record::void(call.clone()), open.abandoned()]
    }

    #[test]
    fn a_record_is_read_from_its_line_as_it_was_logged_whatever_is_before_the_line() {
        for record in records(&call()) {
            let text = logged(&record);
            assert_eq!(text.lines().count(), 1, "{text}");
            assert_eq!(read(&text), Ok(Some(record.clone())), "{text}");
            assert_eq!(read(&format!("2026-11-22T01:15:18 stream/1 {text}")), Ok(Some(record)), "{text}");
        }
    }

    #[test]
    fn a_line_about_something_else_is_none_and_one_that_is_not_whole_is_told() {
        let text = logged(&Record::closed(call(), used(7, 9), false));
        for (other, line) in [
            ("nothing", String::new()),
            ("another line", r#"{"level":"ERROR","code":"provider.cut"}"#.to_owned()),
            ("another code", text.replace("\"code\":\"usage.unwritten\"", "\"code\":\"usage.other\"")),
            ("a call without its usage", r#"{"code":"usage.lost_track"}"#.to_owned()),
            ("a mention", r#"{"code":"alert.raised","error":"usage.unwritten","record":"{}"}"#.to_owned()),
        ] {
            assert_eq!(read(&line), Ok(None), "{other}");
        }
        let record = text.find("\"record\":\"").unwrap();
        for (broken, line) in [
            ("cut off", text[..text.len() - 10].to_owned()),
            ("cut off in the record", text[..record + 40].to_owned()),
            ("without a record", r#"{"code":"usage.unwritten"}"#.to_owned()),
            ("with another record", r#"{"code":"usage.unwritten","record":"{\"id\":1}"}"#.to_owned()),
            ("with no text", r#"{"code":"usage.unwritten","record":{}}"#.to_owned()),
            ("no JSON", "usage.unwritten".to_owned()),
            ("of another state", text.replace("\\\"state\\\":\\\"closed\\\"", "\\\"state\\\":\\\"open\\\"")),
            ("of an open record", text.replace("usage.unwritten", "usage.lost_track").replace("closed", "open")),
            ("of another code", text.replace("\"code\":\"usage.unwritten\"", "\"code\":\"usage.unopened\"")),
            ("negative", text.replace("\\\"input\\\":7", "\\\"input\\\":-7")),
        ] {
            assert_eq!(read(&line), Err(NotWhole), "{broken}: {line}");
        }
    }

    #[test]
    fn a_record_may_be_brought_back_for_sixty_days() {
        let record = Record::void(call());
        let after = |secs: u64| Timestamp::from_secs(record.call.started_at + secs);
        let sixty_days = 60 * 24 * 3600;
        assert!(may_be_replayed(&record, after(0)) && may_be_replayed(&record, after(sixty_days)));
        assert!(!may_be_replayed(&record, after(sixty_days + 1)));
        assert!(may_be_replayed(&record, Timestamp::from_secs(record.call.started_at - 5)), "clocks differ");
    }

    proptest! {
        #[test]
        fn whatever_a_call_names_its_line_is_one_and_is_read_as_it_was_logged(
            model in "[\\PC\\n\\r\\t\\x1b{}\"\\\\]{0,40}",
            request_id in "\\PC{0,20}",
        ) {
            let call = Call { model, request_id, ..call() };
            for record in records(&call) {
                let text = logged(&record);
                prop_assert_eq!(text.lines().count(), 1);
                prop_assert_eq!(read(&text), Ok(Some(record)));
            }
        }

        #[test]
        fn no_line_is_too_hostile_to_be_read(line in "\\PC*", at in 0..400usize) {
            let _whatever_it_is = read(&line);
            let text = logged(&Record::closed(call(), used(7, 9), false));
            let at = at.min(text.len());
            let _whatever_it_is = read(&format!("{}{line}{}", &text[..at], &text[at..]));
        }
    }
}
