//! Restores the counters of long windows where Redis has come back empty.
//!
//! A counter of a minute or so is soon right again by itself; that of a day or a month is not. So a sentinel lives in Redis
//! as long as its counters do. Where it is missing, every account's rows are [recalled](recall) and added to what has been
//! counted since, each counter once (`restore.lua`). A restoration that does not come to its end is gone on with by the
//! next run.

use std::time::Duration;

use futures_util::stream::{self, StreamExt, TryStreamExt};
use redis::{RedisError, Script};
use tokio::time::Instant;

use super::calendar::Day;
use super::recall::{Recalled, first_day, recall};
use super::table::{History, OddRows};
use super::{Statistics, StatisticsError};
use crate::clock::Timestamp;

/// The sentinel: there while Redis holds what it should.
pub(super) const RESTORED: &str = "{levee}:restored";
/// What has been restored.
const RESTORING: &str = "{levee}:restoring";
/// How long both are kept without a run: longer than any counter of this moment.
const KEPT: Duration = Duration::from_secs(70 * 24 * 3600);
/// How long what has been restored is remembered when all of it has: longer than any run takes.
const KEPT_AFTERWARDS: Duration = Duration::from_secs(3600);
/// How long a counter outlives the time it is needed.
const COUNTER_KEPT_AFTERWARDS: Duration = Duration::from_secs(60);
/// Accounts that are looked at before what was done is written down.
const ACCOUNTS_AT_ONCE: usize = 50;
/// Accounts that are read at the same time.
const CONCURRENCY: usize = 8;
/// Counters that one script call adds to.
const COUNTERS_AT_ONCE: usize = 200;

/// What `restore.lua` replies where another run has restored everything.
const BY_ANOTHER_RUN: i64 = -2;

/// What a run restored.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Restored {
    /// Whether Redis now holds what it should; only then may anything be folded.
    pub is_complete: bool,
    /// Counters that were added to.
    pub counters: usize,
    /// Accounts that were looked at.
    pub accounts: usize,
}

/// How far a restoration is.
struct Progress {
    began: u64,
    after: Option<String>,
}

impl Statistics {
    /// Restores counters where Redis has come back empty, as far as it gets until `until`.
    ///
    /// # Errors
    /// [`StatisticsError`]; the next run goes on.
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
        let Progress { began, mut after } = self.begin(now).await?;
        let mut restored = Restored::default();
        loop {
            if Instant::now() >= until {
                return Ok(restored);
            }
            let (accounts, next) = self.accounts.account_ids(after.as_deref(), ACCOUNTS_AT_ONCE).await?;
            let mut histories = stream::iter(&accounts)
                .map(|account| self.rows.history(account, first_day(now), Day::of(now)))
                .buffer_unordered(CONCURRENCY);
            let mut counters: Vec<Recalled> = Vec::new();
            while let Some(History { rows, odd: odd_ones, .. }) = histories.try_next().await? {
                counters.extend(recall(&rows, now));
                odd.add(odd_ones);
            }
            let mut parts = counters.chunks(COUNTERS_AT_ONCE).peekable();
            loop {
                // What is done is written down with the last part, which may be an empty one.
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

    /// Keeps the sentinel for longer; false if there is none.
    async fn keep_sentinel(&self) -> Result<bool, StatisticsError> {
        let keep = async |mut connection| -> Result<bool, RedisError> {
            redis::cmd("PEXPIRE").arg(RESTORED).arg(millis(KEPT)).query_async(&mut connection).await
        };
        Ok(self.redis.run(keep).await?)
    }

    /// Begins a restoration, or goes on with one.
    async fn begin(&self, now: Timestamp) -> Result<Progress, StatisticsError> {
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
        Ok(Progress { began, after })
    }

    /// Adds to counters, and writes down that all accounts up to `after` are done, or all there are. How many counters had
    /// not been added to before; `None` where another run has restored everything.
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
