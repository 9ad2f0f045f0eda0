//! Folds minutes that are over into rows.

use std::collections::BTreeMap;

use futures_util::stream::{self, TryStreamExt};
use redis::RedisError;
use tokio::time::Instant;

use super::calendar::Day;
use super::day::{DayRow, RowKey};
use super::restore::RESTORED;
use super::table::{LARGEST_BATCH, OddRows, TableError};
use super::{Statistics, StatisticsError};
use crate::clock::Timestamp;
use crate::limits::tally::{MINUTES, Tally, tally_key};

/// How long after a minute's end its tallies are complete: `check.lua` serves no clock that is off by more than 2 s.
const SETTLED_MILLIS: u64 = 5_000;
const MINUTE_MILLIS: u64 = 60_000;
/// How many fields of a minute are asked for at once.
const FIELDS_AT_ONCE: usize = 500;
/// The most minutes that one run looks at: as long as tallies are kept.
const MOST_MINUTES: usize = 180;
/// Rows that are written at the same time.
const CONCURRENCY: usize = 16;
/// How often a row is tried that another run changes meanwhile.
const ATTEMPTS: usize = 5;

/// What was folded.
#[derive(Debug, Default)]
pub struct Folded {
    /// Minutes of which everything is in rows now.
    pub minutes: usize,
    /// Rows that were written.
    pub rows: usize,
    /// Why it ended before its time; minutes that are left are the next run's.
    pub failure: Option<StatisticsError>,
}

/// One minute's tallies.
#[derive(Default)]
struct Minute {
    tallies: Vec<Tally>,
    odd: usize,
}

/// What was left out: tallies, and rows with what was to be folded into them.
#[derive(Default)]
struct Odd {
    tallies: usize,
    rows: OddRows,
}

impl Statistics {
    /// Folds all minutes that are over into rows, the oldest first, as far as it gets until `until`. Later minutes wait for
    /// one that fails.
    pub async fn fold(&self, until: Instant) -> Folded {
        let mut folded = Folded::default();
        let mut odd = Odd::default();
        folded.failure = self.fold_minutes(until, &mut folded, &mut odd).await.err();
        if odd.tallies > 0 {
            tracing::warn!(code = "statistics.odd_tally", count = odd.tallies, "tallies of another form were left out");
        }
        odd.rows.tell();
        folded
    }

    async fn fold_minutes(&self, until: Instant, folded: &mut Folded, odd: &mut Odd) -> Result<(), StatisticsError> {
        for minute in self.settled_minutes().await? {
            let Minute { tallies, odd: odd_ones } = self.tallies(minute).await?;
            // Had Redis lost its counters before these were read, restoring might count them again.
            if !self.is_restored().await? {
                return Err(StatisticsError::Emptied);
            }
            let day = Day::of(Timestamp::from_millis(minute.saturating_mul(MINUTE_MILLIS)));
            let rows: Vec<(RowKey, Vec<Tally>)> = by_row(tallies, day).into_iter().collect();
            for rows in rows.chunks(LARGEST_BATCH) {
                if Instant::now() >= until {
                    return Ok(());
                }
                folded.rows += self.fold_rows(minute, rows, &mut odd.rows).await?;
            }
            self.forget(minute).await?;
            folded.minutes += 1;
            odd.tallies += odd_ones;
            if Instant::now() >= until {
                return Ok(());
            }
        }
        Ok(())
    }

    /// The minutes that have tallies and get no more.
    async fn settled_minutes(&self) -> Result<Vec<u64>, StatisticsError> {
        let now = self.now().await?.as_millis();
        let Some(last) = (now.saturating_sub(SETTLED_MILLIS) / MINUTE_MILLIS).checked_sub(1) else {
            return Ok(Vec::new());
        };
        let mut command = redis::cmd("ZRANGE");
        command.arg(MINUTES).arg("-inf").arg(last).arg("BYSCORE").arg("LIMIT").arg(0).arg(MOST_MINUTES);
        let command = &command;
        let minutes = self.redis.run(async |mut connection| command.query_async::<Vec<u64>>(&mut connection).await);
        Ok(minutes.await?)
    }

    /// A minute's tallies, a part at a time. Redis may give a field twice.
    async fn tallies(&self, minute: u64) -> Result<Minute, StatisticsError> {
        let mut fields = BTreeMap::new();
        let mut cursor = 0_u64;
        loop {
            let mut command = redis::cmd("HSCAN");
            command.arg(tally_key(minute)).arg(cursor).arg("COUNT").arg(FIELDS_AT_ONCE);
            let command = &command;
            let scan = async |mut connection| -> Result<(u64, Vec<(String, u64)>), RedisError> {
                command.query_async(&mut connection).await
            };
            let (next, found) = self.redis.run(scan).await?;
            fields.extend(found);
            cursor = next;
            if cursor == 0 {
                break;
            }
        }
        let mut minute = Minute::default();
        for (field, calls) in fields {
            match Tally::parse(&field, calls) {
                Some(tally) => minute.tallies.push(tally),
                None => minute.odd += 1,
            }
        }
        Ok(minute)
    }

    async fn is_restored(&self) -> Result<bool, StatisticsError> {
        let exists = async |mut connection| -> Result<bool, RedisError> {
            redis::cmd("EXISTS").arg(RESTORED).query_async(&mut connection).await
        };
        Ok(self.redis.run(exists).await?)
    }

    /// Folds `minute` into at most 100 rows; how many of them were written. Those that cannot be read stay as they are.
    async fn fold_rows(
        &self,
        minute: u64,
        rows: &[(RowKey, Vec<Tally>)],
        odd: &mut OddRows,
    ) -> Result<usize, TableError> {
        let keys: Vec<RowKey> = rows.iter().map(|(key, _)| key.clone()).collect();
        let there = self.rows.rows(&keys, odd).await?;
        let readable = there.into_iter().zip(rows).filter_map(|(row, (_, tallies))| Some((row?, tallies)));
        let written = stream::iter(readable.map(Ok))
            .map_ok(|(row, tallies)| self.fold_row(row, minute, tallies))
            .try_buffer_unordered(CONCURRENCY);
        written.try_fold(0, async |count, written| Ok(count + usize::from(written))).await
    }

    /// Folds `minute` into one row; false if that has been done before.
    async fn fold_row(&self, mut row: DayRow, minute: u64, tallies: &[Tally]) -> Result<bool, TableError> {
        for _ in 0..ATTEMPTS {
            let before = row.folded;
            if before >= minute {
                return Ok(false);
            }
            let key = row.key.clone();
            if self.rows.replace(&row.fold(minute, tallies), before).await? {
                return Ok(true);
            }
            let mut odd = OddRows::default();
            let Some(now) = self.rows.rows(std::slice::from_ref(&key), &mut odd).await?.pop().flatten() else {
                odd.tell();
                return Ok(false);
            };
            row = now;
        }
        Err(TableError::contended())
    }

    /// Deletes a minute's tallies.
    async fn forget(&self, minute: u64) -> Result<(), StatisticsError> {
        let mut commands = redis::pipe();
        commands.cmd("UNLINK").arg(tally_key(minute)).ignore();
        commands.cmd("ZREM").arg(MINUTES).arg(minute).ignore();
        let commands = &commands;
        self.redis.run(async |mut connection| commands.query_async::<()>(&mut connection).await).await?;
        Ok(())
    }
}

/// The tallies by the rows that they change.
fn by_row(tallies: Vec<Tally>, day: Day) -> BTreeMap<RowKey, Vec<Tally>> {
    let mut rows = BTreeMap::<RowKey, Vec<Tally>>::new();
    for tally in tallies {
        for key in RowKey::of(&tally, day) {
            rows.entry(key).or_default().push(tally.clone());
        }
    }
    rows
}
