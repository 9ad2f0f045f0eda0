//! Restores the counters of long windows after Redis has come back empty.
//!
//! Counters of short windows become right again by themselves; those of a day or a month do not. A sentinel in Redis
//! lives as long as the counters. If it is missing, every account's rows are [recalled](recall) and added to the
//! calls counted since, each counter once (`restore.lua`). The next run continues a restoration that did not finish.

use std::time::Duration;

use futures_util::stream::{self, StreamExt, TryStreamExt};
use redis::{RedisError, Script};
use tokio::time::Instant;

use super::calendar::Day;
use super::recall::{Recalled, first_day, recall};
use super::table::{History, OddRows};
use super::{Statistics, StatisticsError};
use crate::clock::Timestamp;

/// Sentinel, which exists while Redis holds all counters that it should.
pub(super) const RESTORED: &str = "{levee}:restored";
/// Guard: a hash of the counters restored so far and of the progress.
const RESTORING: &str = "{levee}:restoring";
/// Time for which both are kept without a run: longer than any current counter is needed.
const KEPT: Duration = Duration::from_secs(70 * 24 * 3600);
/// Time for which the guard is kept after all counters are restored: longer than any run takes.
const KEPT_AFTERWARDS: Duration = Duration::from_secs(3600);
/// Time for which a counter is kept after it is needed.
const COUNTER_KEPT_AFTERWARDS: Duration = Duration::from_secs(60);
/// Accounts between two records of the progress.
const ACCOUNTS_AT_ONCE: usize = 50;
/// Number of accounts read at the same time.
const CONCURRENCY: usize = 8;
/// Number of counters in one script call.
const COUNTERS_AT_ONCE: usize = 200;

/// Reply of `restore.lua` if another run has restored everything.
const BY_ANOTHER_RUN: i64 = -2;

/// Result of a restoration run.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Restored {
    /// True if Redis now holds all counters that it should. Only then may minutes be folded.
    pub is_complete: bool,
    /// Number of counters that were added to.
    pub counters: usize,
    /// Number of accounts that were read.
    pub accounts: usize,
}

/// Progress of a restoration: its start, Unix milliseconds, and the last account that is done.
struct RestoreProgress {
    began: u64,
    after: Option<String>,
}

impl Statistics {
    /// Restores counters if Redis has come back empty, until it is done or `until` has passed.
    ///
    /// # Errors
    /// [`StatisticsError`]; the next run continues.
    pub async fn restore(&self, until: Instant) -> Result<Restored, StatisticsError> {
        if self.keep_sentinel().await? {
            return Ok(Restored { is_complete: true, ..Restored::default() });
        }
        let mut odd = OddRows::default();
        let restored = self.restore_all(until, &mut odd).await;
        odd.tell();
        restored
    }

    async fn restore_all(&self, until: Instant, odd: &mut OddRows) -> Result<Restored, StatisticsError> {
        let now = self.now().await?;
        let RestoreProgress { began, mut after } = self.begin(now).await?;
        let mut restored = Restored::default();
        loop {
            if Instant::now() >= until {
                return Ok(restored);
            }
            // Recall the counters of the next accounts from their rows.
            let (accounts, next) = self.accounts.account_ids(after.as_deref(), ACCOUNTS_AT_ONCE).await?;
            let mut histories = stream::iter(&accounts)
                .map(|account| self.rows.history(account, first_day(now), Day::from_timestamp(now)))
                .buffer_unordered(CONCURRENCY);
            let mut counters: Vec<Recalled> = Vec::new();
            while let Some(History { rows, odd: odd_ones, .. }) = histories.try_next().await? {
                counters.extend(recall(&rows, now));
                odd.add(odd_ones);
            }
            let mut parts = counters.chunks(COUNTERS_AT_ONCE).peekable();
            loop {
                // Add the counters in parts. The last part, which may be empty, records the progress.
                let part = parts.next().unwrap_or_default();
                let done = parts.peek().is_none();
                let (after, is_last) = if done { (next.as_deref(), next.is_none()) } else { (None, false) };
                match self.add(began, part, after.unwrap_or_default(), is_last, now).await? {
                    Some(added) => restored.counters += added,
                    None => return Ok(Restored { is_complete: true, ..restored }),
                }
                if done {
                    break;
                }
            }
            restored.accounts += accounts.len();
            if next.is_none() {
                break;
            }
            after = next;
        }
        self.forget_guard_soon().await?;
        restored.is_complete = true;
        tracing::info!(
            code = "statistics.restored",
            counters = restored.counters,
            accounts = restored.accounts,
            "Redis was empty; its counters of long windows are what they were"
        );
        Ok(restored)
    }

    /// Extends the sentinel's life. Returns false if it does not exist.
    async fn keep_sentinel(&self) -> Result<bool, StatisticsError> {
        let keep = async |mut connection| -> Result<bool, RedisError> {
            redis::cmd("PEXPIRE").arg(RESTORED).arg(millis(KEPT)).query_async(&mut connection).await
        };
        Ok(self.redis.run(keep).await?)
    }

    /// Begins a restoration, or continues an existing one.
    async fn begin(&self, now: Timestamp) -> Result<RestoreProgress, StatisticsError> {
        let mut commands = redis::pipe();
        commands.atomic();
        commands.cmd("HSETNX").arg(RESTORING).arg("began").arg(now.as_millis()).ignore();
        commands.cmd("PEXPIRE").arg(RESTORING).arg(millis(KEPT)).ignore();
        commands.cmd("HMGET").arg(RESTORING).arg("began").arg("after");
        let commands = &commands;
        let run = async |mut connection| -> Result<((u64, Option<String>),), RedisError> {
            commands.query_async(&mut connection).await
        };
        let ((began, after),) = self.redis.run(run).await?;
        Ok(RestoreProgress { began, after })
    }

    /// Adds to counters, and records that all accounts up to `after` are done, or that all there are if `is_last`.
    /// Returns the number of counters that had not been added to before; `None` if another run has restored
    /// everything.
    async fn add(
        &self,
        began: u64,
        counters: &[Recalled],
        after: &str,
        is_last: bool,
        now: Timestamp,
    ) -> Result<Option<usize>, StatisticsError> {
        let script = Script::new(include_str!("restore.lua"));
        let mut call = script.prepare_invoke();
        call.key(RESTORING).key(RESTORED);
        call.arg(began).arg(millis(KEPT)).arg(after).arg(u8::from(is_last));
        for Recalled { key, count, needed_until } in counters {
            let kept = now.until(needed_until.plus(COUNTER_KEPT_AFTERWARDS));
            call.key(key).arg(*count).arg(millis(kept));
        }
        let call = &call;
        let added = self.redis.run(async |mut connection| call.invoke_async::<i64>(&mut connection).await).await?;
        match added {
            BY_ANOTHER_RUN => Ok(None),
            added => usize::try_from(added).map(Some).map_err(|_| StatisticsError::Emptied),
        }
    }

    async fn forget_guard_soon(&self) -> Result<(), StatisticsError> {
        let forget = async |mut connection| -> Result<(), RedisError> {
            redis::cmd("PEXPIRE").arg(RESTORING).arg(millis(KEPT_AFTERWARDS)).query_async(&mut connection).await
        };
        Ok(self.redis.run(forget).await?)
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
