//! The round trips to Redis of one lookup. All of them together take at most the handle's budget.

use std::sync::Arc;
use std::time::Duration;

use redis::{RedisError, Script};
use tokio::time::Instant;

use super::read::CacheSpace;
use crate::stores::redis::{Redis, Unavailable};

/// Largest used part of Redis's memory with which entries are written, percent.
const MOST_MEMORY_PERCENT: u32 = 70;
/// Part of the budget below which no further round trip begins.
const LEAST_PART: u32 = 4;

/// Redis, as the cache uses it.
pub(super) struct CacheStore {
    redis: Arc<Redis>,
    put: Script,
    /// Names in this cache's keys.
    pub(super) space: CacheSpace,
}

/// Result of writing an entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Put {
    /// The entry is in Redis.
    Written,
    /// A newer entry is in Redis.
    Older,
    /// Redis uses so much memory that entries are not written.
    MemoryShort,
}

/// An entry and the lock of its key, as one command found them.
pub(super) struct EntryAndLock {
    pub(super) entry: Option<Vec<u8>>,
    pub(super) is_locked: bool,
}

/// One lookup's use of Redis.
pub(super) struct LookupTurn<'a> {
    store: &'a CacheStore,
    entry: String,
    lock: String,
    /// Random text that proves that a lock is this lookup's.
    token: String,
    spent: Duration,
}

impl CacheStore {
    pub(super) fn new(redis: Arc<Redis>, space: CacheSpace) -> Self {
        Self { redis, put: Script::new(include_str!("put.lua")), space }
    }

    /// Connects and loads the script.
    pub(super) async fn warm_up(&self) {
        self.redis.warm_up(async |mut connection| self.put.load_async(&mut connection).await.map(drop)).await;
    }

    /// Begins a lookup of `key`.
    pub(super) fn turn(&self, key: &str) -> LookupTurn<'_> {
        let CacheSpace { name, schema } = self.space;
        LookupTurn {
            store: self,
            entry: format!("{{levee}}:cache:{name}.{schema}:{key}"),
            lock: format!("{{levee}}:cache-lock:{name}.{schema}:{key}"),
            token: format!("{:032x}", rand::random::<u128>()),
            spent: Duration::ZERO,
        }
    }
}

impl LookupTurn<'_> {
    /// Reads the entry: the only round trip of a hit.
    pub(super) async fn get(&mut self) -> Result<Option<Vec<u8>>, Unavailable> {
        let command = redis::cmd("GET").arg(&self.entry).to_owned();
        self.run(async |mut connection| command.query_async(&mut connection).await).await
    }

    /// Reads the entry, and whether an environment holds the lock, in one command.
    pub(super) async fn look(&mut self) -> Result<EntryAndLock, Unavailable> {
        let command = redis::cmd("MGET").arg(&self.entry).arg(&self.lock).to_owned();
        let (entry, lock): (Option<Vec<u8>>, Option<Vec<u8>>) =
            self.run(async |mut connection| command.query_async(&mut connection).await).await?;
        Ok(EntryAndLock { entry, is_locked: lock.is_some() })
    }

    /// Takes the lock for `time`, unless another environment holds it.
    pub(super) async fn lock(&mut self, time: Duration) -> Result<bool, Unavailable> {
        let millis = u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
        let command = redis::cmd("SET").arg(&self.lock).arg(&self.token).arg("NX").arg("PX").arg(millis).to_owned();
        let taken: Option<()> = self.run(async |mut connection| command.query_async(&mut connection).await).await?;
        Ok(taken.is_some())
    }

    /// Writes the entry for `time` and returns the lock, if it is this lookup's. `replaces` is true if the bytes that
    /// are there cannot be read.
    pub(super) async fn put(&mut self, bytes: &[u8], time: Duration, replaces: bool) -> Result<Put, Unavailable> {
        let millis = u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
        let mut call = self.store.put.key(&self.entry);
        call.key(&self.lock).arg(&self.token).arg(bytes).arg(millis).arg(MOST_MEMORY_PERCENT).arg(i32::from(replaces));
        let call = &call;
        let reply: i64 = self.run(async |mut connection| call.invoke_async(&mut connection).await).await?;
        Ok(match reply {
            1 => Put::Written,
            0 => Put::Older,
            _ => Put::MemoryShort,
        })
    }

    /// Returns the lock without writing an entry. A failure has no effect but that the lock expires by itself.
    pub(super) async fn unlock(&mut self) {
        let _expires = self.put(b"", Duration::ZERO, false).await; // the lock expires within seconds
    }

    /// Runs one round trip within the rest of the budget.
    async fn run<T, F>(&mut self, operation: impl Fn(redis::aio::MultiplexedConnection) -> F) -> Result<T, Unavailable>
    where
        F: Future<Output = Result<T, RedisError>>,
    {
        let budget = self.store.redis.budget();
        let left = budget.saturating_sub(self.spent);
        // With a shorter time, a healthy Redis would look lost.
        if left < budget / LEAST_PART {
            return Err(Unavailable::TimedOut(budget));
        }
        // Count the time against the whole lookup.
        let began = Instant::now();
        let outcome = self.store.redis.run_within(left, operation).await;
        self.spent += began.elapsed();
        outcome
    }
}
