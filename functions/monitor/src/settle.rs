//! Settles calls that never came to their end, because their environment was killed or could not close their records.
//!
//! The usage that was known of such a call is counted as an estimate. If the call's end is written later, it replaces
//! the estimate. Two concurrent runs settle no call twice.

use std::time::Duration;

use futures_util::{StreamExt, stream};
use levee::clock::Timestamp;
use levee::metering::{Ledger, LedgerError, Record, Written};
use tokio::time::Instant;

/// Time after its deadline until a call is given up, because the write of its end may still be in flight.
const GRACE: Duration = Duration::from_secs(60);
/// Maximum number of calls that one run settles, per shard of the index. The rest waits for the next run.
const MOST: usize = 200;
/// Number of calls that are settled concurrently.
const AT_ONCE: usize = 16;

/// Result of settling overdue calls.
#[derive(Debug, Default)]
pub struct Settled {
    /// Number of calls that were settled.
    pub calls: usize,
    /// First error, if some calls could not be settled. The next run tries them again.
    pub failure: Option<LedgerError>,
}

/// Settles calls that are overdue at `now`. Begins no further call after `until`.
pub async fn settle(ledger: &Ledger, now: Timestamp, until: Instant) -> Settled {
    let mut settled = Settled::default();
    let overdue = match ledger.overdue(now.minus(GRACE), MOST).await {
        Ok(overdue) => overdue,
        Err(error) => return Settled { failure: Some(error), ..settled },
    };
    let in_time = overdue.into_iter().take_while(|_| Instant::now() < until);
    let mut results = stream::iter(in_time.map(|record| give_up(ledger, record))).buffer_unordered(AT_ONCE);
    while let Some(result) = results.next().await {
        match result {
            Ok(Written::Now) => settled.calls += 1,
            // The record is final already: the index lagged behind, or another run was first.
            Ok(Written::Before) => {}
            Err(error) => settled.failure = settled.failure.or(Some(error)),
        }
    }
    settled
}

/// Writes the abandoned record of an open call and logs it.
async fn give_up(ledger: &Ledger, open: Record) -> Result<Written, LedgerError> {
    let record = open.abandoned();
    let written = ledger.write(&record).await?;
    if written == Written::Now {
        let (call, usage) = (&record.call, &record.figures.usage);
        tracing::warn!(
            code = "usage.abandoned",
            request.id = call.request_id,
            account.id = call.account,
            provider = call.provider,
            model = call.model,
            input = usage.input,
            output = usage.output,
            "an AI call never came to its end: what was known of it is counted"
        );
    }
    Ok(written)
}
