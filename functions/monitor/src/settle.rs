//! Settles calls that never came to their end: their environment was killed, or had to leave their records open.
//!
//! What was known of such a call becomes its usage, as an estimate. Should its end be written after all, it takes the
//! estimate's place. Two runs at the same time settle nothing twice.

use std::time::Duration;

use futures_util::{StreamExt, stream};
use levee::clock::Timestamp;
use levee::metering::{Ledger, LedgerError, Record, Written};
use tokio::time::Instant;

/// How long after its deadline a call is given up on: its end may be on its way.
const GRACE: Duration = Duration::from_secs(60);
/// Calls that one run settles, of each part of the index. More of them wait for the next run.
const MOST: usize = 200;
/// Calls that are settled at the same time.
const AT_ONCE: usize = 16;

/// What became of the calls that are overdue.
#[derive(Debug, Default)]
pub struct Settled {
    /// Calls that were given up on.
    pub calls: usize,
    /// Why others were not, of which the next run tries each again: what came first.
    pub failure: Option<LedgerError>,
}

/// Settles what is overdue at `now`. From `until` on nothing more is begun.
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
            // It is over: the index was late to tell, or another run was first.
            Ok(Written::Before) => {}
            Err(error) => settled.failure = settled.failure.or(Some(error)),
        }
    }
    settled
}

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
