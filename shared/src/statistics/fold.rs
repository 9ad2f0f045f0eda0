//! Folds completed minutes into rows. Start reading at [`Statistics::fold`].

use std::collections::BTreeMap;

use futures_util::stream::{self, TryStreamExt};
use redis::RedisError;
use tokio::time::Instant;

use super::calendar::Day;
use super::day::{DayRow, RowKey};
use super::restore::RESTORED;
use super::table::{LARGEST_BATCH, OddRows, StatisticsTableError};
use super::{Statistics, StatisticsError};
use crate::clock::Timestamp;
use crate::limits::tally::{MINUTES, Tally, tally_key};

/// Delay after a minute's end until its tallies are complete, milliseconds: `check.lua` serves no clock that is off
/// by more than 2 s (3 s within the second for which a clock is trusted).
const SETTLED_MILLIS: u64 = 5_000;
const MINUTE_MILLIS: u64 = 60_000;
/// Number of a minute's fields requested at once.
const FIELDS_AT_ONCE: usize = 500;
/// Largest number of minutes in one run, minutes: as long as tallies are kept.
const MOST_MINUTES: usize = 180;
/// Number of rows written at the same time.
const CONCURRENCY: usize = 16;
/// Attempts at a row that another run changes meanwhile.
const ATTEMPTS: usize = 5;

/// Result of folding.
#[derive(Debug, Default)]
pub struct Folded {
    /// Minutes of which all tallies are in rows now.
    pub minutes: usize,
    /// Rows written.
    pub rows: usize,
    /// Error that ended the run early. The next run folds the minutes that are left.
    pub failure: Option<StatisticsError>,
}

/// Tallies of one minute, and the number of those that could not be parsed.
#[derive(Default)]
struct Minute {
    tallies: Vec<Tally>,
    odd: usize,
}

/// Malformed tallies, and rows that could not be read; both were left out.
#[derive(Default)]
struct Odd {
    tallies: usize,
    rows: OddRows,
}

impl Statistics {
    /// Folds all completed minutes into rows, the oldest first, until it is done or `until` has passed. A minute that
    /// fails stops the run, so that later minutes wait for it.
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
            // If Redis lost its counters before these tallies were read, restoring might count them again.
            if !self.is_restored().await? {
                return Err(StatisticsError::Emptied);
            }
            // Fold the minute's tallies into their rows, a batch at a time.
            let day = Day::from_timestamp(Timestamp::from_millis(minute.saturating_mul(MINUTE_MILLIS)));
            let rows: Vec<(RowKey, Vec<Tally>)> = by_row(tallies, day).into_iter().collect();
            for rows in rows.chunks(LARGEST_BATCH) {
                if Instant::now() >= until {
                    return Ok(());
                }
                folded.rows += self.fold_rows(minute, rows, &mut odd.rows).await?;
            }
            // All rows are written: delete the tallies.
            self.forget(minute).await?;
            folded.minutes += 1;
            odd.tallies += odd_ones;
            if Instant::now() >= until {
                return Ok(());
            }
        }
        Ok(())
    }

    /// Returns the minutes that have tallies and get no more.
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

    /// Reads a minute's tallies in parts. The map drops fields that Redis returns twice.
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
        // Parse the fields, and count those that are malformed.
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

    /// Folds `minute` into at most 100 rows and returns the number written. Rows that cannot be read stay as they
    /// are.
    async fn fold_rows(
        &self,
        minute: u64,
        rows: &[(RowKey, Vec<Tally>)],
        odd: &mut OddRows,
    ) -> Result<usize, StatisticsTableError> {
        let keys: Vec<RowKey> = rows.iter().map(|(key, _)| key.clone()).collect();
        let there = self.rows.rows(&keys, odd).await?;
        let readable = there.into_iter().zip(rows).filter_map(|(row, (_, tallies))| Some((row?, tallies)));
        let written = stream::iter(readable.map(Ok))
            .map_ok(|(row, tallies)| self.fold_row(row, minute, tallies))
            .try_buffer_unordered(CONCURRENCY);
        written.try_fold(0, async |count, written| Ok(count + usize::from(written))).await
    }

    /// Folds `minute` into one row. Returns false if it was folded before, or if the row cannot be read.
    async fn fold_row(&self, mut row: DayRow, minute: u64, tallies: &[Tally]) -> Result<bool, StatisticsTableError> {
        for _ in 0..ATTEMPTS {
            let before = row.folded;
            if before >= minute {
                return Ok(false);
            }
            let key = row.key.clone();
            // Write the row unless another run has folded a minute into it.
            if self.rows.replace(&row.fold(minute, tallies), before).await? {
                return Ok(true);
            }
            // It has: read the row again and retry.
            let mut odd = OddRows::default();
            let Some(now) = self.rows.rows(std::slice::from_ref(&key), &mut odd).await?.pop().flatten() else {
                odd.tell();
                return Ok(false);
            };
            row = now;
        }
        Err(StatisticsTableError::contended())
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

/// Groups the tallies by the rows that they change.
fn by_row(tallies: Vec<Tally>, day: Day) -> BTreeMap<RowKey, Vec<Tally>> {
    let mut rows = BTreeMap::<RowKey, Vec<Tally>>::new();
    for tally in tallies {
        for key in RowKey::from_tally(&tally, day) {
            rows.entry(key).or_default().push(tally.clone());
        }
    }
    rows
}
