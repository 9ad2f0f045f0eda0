//! Statistics of limits: how much of each limit was used, by account and day.
//!
//! `check.lua` tallies calls per minute ([`tally`](super::tally)). The monitor [folds](Statistics::fold) each minute that is
//! over into [`DayRow`]s in the usage table, and [restores](Statistics::restore) from them the counters of long windows
//! where Redis has come back empty. Start reading at [`DayRow::fold`], which is pure; [`recall()`] is its way back.
//!
//! Invariants: a minute is folded into a row once, however often and by however many runs that is tried; its tallies are
//! deleted only after all of its rows are written; nothing is folded before Redis's counters are restored, so that no call
//! is counted twice; what cannot be known exactly is restored as too little rather than too much; a row that cannot be read
//! costs nobody but those whom it is about.

mod calendar;
mod day;
mod fold;
mod histogram;
mod recall;
mod restore;
mod stored;
mod table;

pub use calendar::Day;
pub use day::{Counted, DayRow, MOST_IN_A_ROW, PolicyDay, RowKey};
pub use fold::Folded;
pub use histogram::{BUCKETS, Histogram, Span};
pub use recall::{Recalled, recall};
pub use restore::Restored;
pub use table::{History, MOST_ROWS, OddRows, StatisticsTable, TableError};

use std::sync::Arc;

use redis::RedisError;

use crate::accounts::{self, AccountsTable};
use crate::clock::{Clock, Timestamp};
use crate::stores::redis::{Redis, Unavailable};

/// Why statistics were not folded, or counters not restored. The next run goes on where this one stopped.
#[derive(Debug, thiserror::Error)]
pub enum StatisticsError {
    /// Redis cannot be asked.
    #[error("Redis: {0}")]
    Redis(#[from] Unavailable),
    /// The rows cannot be read or written.
    #[error(transparent)]
    Rows(#[from] TableError),
    /// The accounts cannot be listed.
    #[error("accounts: {0}")]
    Accounts(#[from] accounts::TableError),
    /// Redis lost its counters meanwhile, or has lost them and they are not restored yet.
    #[error("Redis has come back empty")]
    Emptied,
}

/// Keeps the statistics, and restores counters from them.
pub struct Statistics {
    redis: Arc<Redis>,
    clock: Clock,
    accounts: AccountsTable,
    rows: StatisticsTable,
}

impl Statistics {
    /// Statistics about what is counted in `redis`, in `rows`.
    pub fn new(redis: Arc<Redis>, clock: Clock, accounts: AccountsTable, rows: StatisticsTable) -> Self {
        Self { redis, clock, accounts, rows }
    }

    /// Redis's time, which decides what is counted in which window.
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
