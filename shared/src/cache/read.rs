//! The lookup, from this environment's copy to the source. Start reading at [`Cache::get`].

use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::time::Instant;

use super::entry::CacheEntry;
use super::standing::{Standing, fresh_until, standing};
use super::store::{LookupTurn, Put};
use super::{Cache, KEPT_STALE};
use crate::clock::Timestamp;

/// Pause between two looks for the entry of another environment.
const LOOK_EVERY: Duration = Duration::from_millis(10);

/// Names in the keys of one cache.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CacheSpace {
    /// Name of the values, such as `catalog`.
    pub name: &'static str,
    /// Number of the values' schema. A release that changes the schema uses another number, so that two releases that
    /// run side by side do not overwrite each other's entries.
    pub schema: u32,
}

/// Answer of the source.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SourceAnswer<T> {
    /// The value.
    Value(SourceValue<T>),
    /// The version that the reader holds is still the newest.
    Unchanged,
}

/// Value as the source has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SourceValue<T> {
    /// Value; `None` if the source has none.
    pub value: Option<T>,
    /// Version of the value, below 2^53.
    pub version: u64,
}

/// Error for a value that neither the cache nor the source can provide.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the source cannot be read: {0}")]
pub struct SourceGone(pub String);

/// Origin of an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum CacheStatus {
    /// From this environment's copy or from Redis, and fresh.
    Hit,
    /// From Redis or from this environment's copy, and known to be too old.
    Stale,
    /// Read from the source for this lookup or for one that it waited for.
    Miss,
}

impl CacheStatus {
    /// Returns the name in headers, logs and metrics.
    pub fn name(self) -> &'static str {
        match self {
            Self::Hit => "hit",
            Self::Stale => "stale",
            Self::Miss => "miss",
        }
    }
}

/// CacheAnswer of a lookup.
#[derive(Debug)]
pub struct CacheAnswer<T> {
    /// CacheEntry, which may say that the source has no value.
    pub entry: Arc<CacheEntry<T>>,
    /// Origin of the entry.
    pub status: CacheStatus,
    /// State of the entry in Redis that made the lookup go on; [`Standing::Fresh`] for a hit.
    pub found: Standing,
    /// True if the entry is this environment's own copy.
    pub is_front: bool,
    /// True if the lookup waited for another one that read the source.
    pub is_collapsed: bool,
    /// Number of reads of the source, 0 or 1.
    pub source_reads: u64,
    /// True if the entry was written to Redis.
    pub is_stored: bool,
    /// True if the source could not be read.
    pub is_source_gone: bool,
}

impl<T> Clone for CacheAnswer<T> {
    fn clone(&self) -> Self {
        Self { entry: self.entry.clone(), ..*self }
    }
}

impl<T> CacheAnswer<T> {
    fn new(entry: Arc<CacheEntry<T>>, status: CacheStatus, found: Standing) -> Self {
        let (is_front, is_collapsed, is_stored, is_source_gone) = (false, false, false, false);
        Self { entry, status, found, is_front, is_collapsed, source_reads: 0, is_stored, is_source_gone }
    }

    /// Returns the answer for a lookup that only waited for it.
    pub(super) fn collapsed(self) -> Self {
        Self { is_collapsed: true, source_reads: 0, is_stored: false, ..self }
    }
}

impl<T: Clone + Serialize + DeserializeOwned> Cache<T> {
    /// Returns the value of `key`, at least as new as `required`, from this environment's copy, from Redis or by `read`.
    /// `required` is the newest version that was published; `None` if it is not known, so that only the time counts.
    ///
    /// `read` must be consistent: it sees every write whose version was published before it began. It bounds its time
    /// itself. If it is given a version, a copy of that version is held, and it may answer that there is no newer one.
    ///
    /// # Errors
    /// [`SourceGone`] if the source cannot be read, and there is no value of the last 24 hours either.
    pub async fn get(
        &self,
        key: &str,
        required: Option<u64>,
        read: impl AsyncFnOnce(Option<u64>) -> Result<SourceAnswer<T>, String>,
    ) -> Result<CacheAnswer<T>, SourceGone> {
        // Use this environment's copy if it is known to be new enough.
        if let Some(entry) = self.front.get(key, required, self.clock.now()) {
            return Ok(CacheAnswer { is_front: true, ..CacheAnswer::new(entry, CacheStatus::Hit, Standing::Fresh) });
        }
        // On the heap, because the future of a read from DynamoDB is large.
        self.flights.join(key, required, async || Box::pin(self.look_up(key, required, read)).await).await
    }

    /// Looks in Redis, then in the source.
    async fn look_up(
        &self,
        key: &str,
        required: Option<u64>,
        read: impl AsyncFnOnce(Option<u64>) -> Result<SourceAnswer<T>, String>,
    ) -> Result<CacheAnswer<T>, SourceGone> {
        // Look in Redis. What cannot be read there is a miss.
        let mut turn = self.store.turn(key);
        let now = self.clock.now();
        let bytes = turn.get().await;
        let is_reachable = bytes.is_ok();
        let (mut entry, is_odd) = self.decoded(key, bytes.ok().flatten());
        let found = standing(entry.as_deref(), required, now);
        if let (Standing::Fresh, Some(entry)) = (found, &entry) {
            self.front.put(key, entry.clone(), now);
            return Ok(CacheAnswer::new(entry.clone(), CacheStatus::Hit, found));
        }
        // Without Redis, this environment's last copy may still help if the source is gone, too.
        entry = entry.or_else(|| self.front.last(key)).filter(|it| now < it.fresh_until.plus(KEPT_STALE));
        // Spare a source that failed a moment ago, if there is something else to serve.
        if let Some(entry) = entry.clone().filter(|_| self.front.failed_lately(key, now)) {
            return Ok(CacheAnswer { is_source_gone: true, ..CacheAnswer::new(entry, CacheStatus::Stale, found) });
        }

        // One environment reads the source. The others serve what is too old, or wait for the new value.
        let is_locked_by_another = is_reachable && matches!(turn.lock(self.config.lock).await, Ok(false));
        if is_locked_by_another {
            if let (Standing::Expired, Some(entry)) = (found, &entry) {
                return Ok(CacheAnswer::new(entry.clone(), CacheStatus::Stale, found));
            }
            if let Some(entry) = self.awaited(key, required, &mut turn).await {
                return Ok(CacheAnswer { is_collapsed: true, ..CacheAnswer::new(entry, CacheStatus::Miss, found) });
            }
        }

        // Read the source. It may confirm what has expired, and this environment's copy while Redis is gone: that costs
        // less than the whole value.
        let held = entry.clone().filter(|_| found == Standing::Expired || !is_reachable);
        let began = self.clock.now();
        let result = read(held.as_ref().map(|held| held.version)).await;
        self.front.note(key, result.is_err().then_some(began));
        let (value, version) = match (result, held) {
            (Ok(SourceAnswer::Value(SourceValue { value, version })), _) => (value, version),
            (Ok(SourceAnswer::Unchanged), Some(held)) => (held.value.clone(), held.version),
            (Ok(SourceAnswer::Unchanged), None) => {
                return self.without_source((key, found), entry, "it confirmed no copy", turn).await;
            }
            (Err(error), _) => return self.without_source((key, found), entry, &error, turn).await,
        };
        // Write it to Redis.
        let entry = Arc::new(self.entry(value, version.max(required.unwrap_or(0)), began));
        self.front.put(key, entry.clone(), began);
        let is_stored = self.write(key, &entry, &mut turn, is_odd).await;
        Ok(CacheAnswer { source_reads: 1, is_stored, ..CacheAnswer::new(entry, CacheStatus::Miss, found) })
    }

    /// Returns the lock, and answers with a stale entry if there is one, after the source failed with `error`.
    async fn without_source(
        &self,
        (key, found): (&str, Standing),
        entry: Option<Arc<CacheEntry<T>>>,
        error: &str,
        mut turn: LookupTurn<'_>,
    ) -> Result<CacheAnswer<T>, SourceGone> {
        turn.unlock().await;
        let entry = entry.ok_or_else(|| SourceGone(error.to_owned()))?;
        tracing::warn!(
            code = "cache.stale",
            key,
            error,
            "the source of the cache cannot be read; a stale value is served"
        );
        let answer = CacheAnswer::new(entry, CacheStatus::Stale, found);
        Ok(CacheAnswer { source_reads: 1, is_source_gone: true, ..answer })
    }

    /// Decodes the entry of `key`. The second value is true if there are bytes that cannot be read.
    fn decoded(&self, key: &str, bytes: Option<Vec<u8>>) -> (Option<Arc<CacheEntry<T>>>, bool) {
        let Some(bytes) = bytes else { return (None, false) };
        // Recognise the entry that was decoded last.
        if let Some(entry) = self.front.decoded(key, &bytes) {
            return (Some(entry), false);
        }
        match CacheEntry::decode(&bytes, self.store.space.schema) {
            Ok(entry) => {
                let entry = Arc::new(entry);
                self.front.note_decoded(key, &bytes, entry.clone());
                (Some(entry), false)
            }
            Err(error) => {
                tracing::warn!(code = "cache.unreadable", key, %error, "a cached value cannot be read; the source is");
                (None, true)
            }
        }
    }

    /// Waits until another environment has written an entry that may be used. Returns `None` if that takes too long, or
    /// if that environment has given up.
    async fn awaited(&self, key: &str, required: Option<u64>, turn: &mut LookupTurn<'_>) -> Option<Arc<CacheEntry<T>>> {
        let until = Instant::now() + self.config.wait;
        while Instant::now() < until {
            tokio::time::sleep(LOOK_EVERY).await;
            // Take the entry as soon as it may be used.
            let seen = turn.look().await.ok()?;
            let entry =
                seen.entry.and_then(|bytes| CacheEntry::decode(&bytes, self.store.space.schema).ok()).map(Arc::new);
            let now = self.clock.now();
            if let Some(entry) = entry
                && standing(Some(&entry), required, now) == Standing::Fresh
            {
                self.front.put(key, entry.clone(), now);
                return Some(entry);
            }
            // The other environment could not read the source, or could not write the entry.
            if !seen.is_locked {
                return None;
            }
        }
        None
    }

    /// Builds the entry of a value that was read from the source at `read_at`.
    fn entry(&self, value: Option<T>, version: u64, read_at: Timestamp) -> CacheEntry<T> {
        let ttl = if value.is_some() { self.config.ttl } else { self.config.negative_ttl };
        CacheEntry { value, version, read_at, fresh_until: fresh_until(read_at, ttl, rand::random()) }
    }

    /// Writes the entry to Redis and returns the lock. Returns true if it was written.
    async fn write(&self, key: &str, entry: &CacheEntry<T>, turn: &mut LookupTurn<'_>, replaces: bool) -> bool {
        let bytes = match entry.encode(self.store.space.schema) {
            Ok(bytes) => bytes,
            Err(error) => {
                tracing::error!(code = "cache.not_storable", key, %error, "a value is not cached");
                turn.unlock().await;
                return false;
            }
        };
        // Keep it beyond its time, for a time in which the source is gone.
        let kept = entry.read_at.until(entry.fresh_until.plus(KEPT_STALE));
        match turn.put(&bytes, kept, replaces).await {
            Ok(Put::Written) => true,
            Ok(Put::Older) => false,
            Ok(Put::MemoryShort) => {
                tracing::warn!(code = "cache.memory", key, "Redis uses too much of its memory; values are not cached");
                false
            }
            // The handle has reported the outage.
            Err(_) => false,
        }
    }
}
