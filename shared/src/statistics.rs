//! Statistics of limits: the used share of each limit, by account and day.
//!
//! `check.lua` tallies calls per minute ([`tally`](crate::limits::tally)). The monitor [folds](Statistics::fold) each
//! completed minute into [`DayRow`]s in the usage table. If Redis has come back empty, it
//! [restores](Statistics::restore) the counters of long windows from them. Start reading at [`DayRow::fold`], which
//! is pure; [`recall()`] is its inverse.
//!
//! Invariants:
//! - A minute is folded into a row once, however often and by however many runs that is tried.
//! - A minute's tallies are deleted only after all of its rows are written.
//! - Nothing is folded before Redis's counters are restored, so that no call is counted twice.
//! - Counts that cannot be known exactly are restored as too little, never as too much.
//! - A row that cannot be read affects only the account that it is about.

mod calendar;
mod day;
mod demand;
mod fold;
mod histogram;
mod recall;
mod restore;
mod stored;
mod table;
mod trial;

pub use calendar::Day;
pub use day::{Counted, DayRow, MOST_IN_A_ROW, PolicyDay, RowKey};
pub use demand::{Between, Demand};
pub use fold::Folded;
pub use histogram::{BUCKETS, Histogram, Span};
pub use recall::{Recalled, recall};
pub use restore::Restored;
pub use table::{History, MOST_ROWS, OddRows, StatisticsTable, StatisticsTableError};
pub use trial::{Trial, trial};

use std::sync::Arc;

use redis::RedisError;

use crate::accounts::{self, AccountsTable};
use crate::clock::{Clock, Timestamp};
use crate::stores::redis::{Redis, Unavailable};

/// Errors of folding statistics or restoring counters. The next run continues from the point that this one reached.
#[derive(Debug, thiserror::Error)]
pub enum StatisticsError {
    /// Redis could not be reached.
    #[error("Redis: {0}")]
    Redis(#[from] Unavailable),
    /// The rows could not be read or written.
    #[error(transparent)]
    Rows(#[from] StatisticsTableError),
    /// The accounts could not be listed.
    #[error("accounts: {0}")]
    Accounts(#[from] accounts::AccountsTableError),
    /// Redis has lost its counters, and they are not restored yet.
    #[error("Redis has come back empty")]
    Emptied,
}

/// Maintains the statistics, and restores counters from them.
pub struct Statistics {
    redis: Arc<Redis>,
    clock: Clock,
    accounts: AccountsTable,
    rows: StatisticsTable,
}

impl Statistics {
    /// Creates a handle to the statistics in `rows` about the counts in `redis`.
    pub fn new(redis: Arc<Redis>, clock: Clock, accounts: AccountsTable, rows: StatisticsTable) -> Self {
        Self { redis, clock, accounts, rows }
    }

    /// Returns Redis's time, which decides the window that a call is counted in.
    async fn now(&self) -> Result<Timestamp, Unavailable> {
        let time = async |mut connection| -> Result<(u64, u64), RedisError> {
            redis::cmd("TIME").query_async(&mut connection).await
        };
        let (secs, micros) = self.redis.run(time).await?;
        let millis = secs.saturating_mul(1000) + micros / 1000;
        Ok(Timestamp::from_millis(millis.saturating_add_signed(self.clock.offset_millis())))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits::tally::Tally;

    pub(super) fn at(secs: u64) -> Timestamp {
        Timestamp::from_secs(secs)
    }

    pub(super) fn tally(field: &str, calls: u64) -> Tally {
        Tally::parse(field, calls).unwrap_or_else(|| panic!("{field} is no tally"))
    }
}
