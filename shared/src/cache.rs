//! Read-through cache on Redis, in front of a source that is slower or costs more: a value is read from the source
//! once, and every environment takes it from Redis until it expires.
//!
//! [`Cache::get`] is the only way in. Its parts are [`entry`] (a value as it is stored), [`standing`] (the pure decision
//! about an entry), `store` (the round trips and `put.lua`), `front` (the values of this environment) and `flight`
//! (one lookup at a time in this environment).
//!
//! Invariants:
//! - A value is fresh for the configured time, ±10 %, so that entries that were written together expire apart.
//! - Every value carries the version that it is at least as new as. A caller that requires a newer version gets a newer
//!   value, or a stale one that is marked as such while the source is gone.
//! - One environment reads the source at a time, by a short lock. Others take the stale value if it may be used, or wait
//!   for at most [`WAIT`] and then read the source themselves.
//! - Redis is never needed: while it is gone the source answers, one read at a time in each environment.
//! - An entry never displaces a counter. Nothing is evicted from Redis, so an entry is not written while Redis uses more
//!   than 70 % of its memory, and the last 30 % belong to the counters. Entries are bounded in size and expire.
//!
//! Start reading at [`Cache::get`].

mod entry;
mod flight;
mod front;
mod read;
pub mod standing;
mod store;

use std::sync::Arc;
use std::time::Duration;

pub use self::entry::{CacheEntry, LARGEST_VALUE, Unreadable};
use self::flight::Flights;
use self::front::CacheFront;
pub use self::read::{CacheAnswer, CacheSpace, CacheStatus, SourceAnswer, SourceGone, SourceValue};
use self::store::CacheStore;
use crate::clock::Clock;
use crate::config::Reader;
use crate::stores::redis::Redis;

/// Longest time for which a lookup waits for another environment that reads the source.
pub const WAIT: Duration = Duration::from_millis(200);
/// Time for which an expired value is kept, to be used while the source is gone.
pub const KEPT_STALE: Duration = Duration::from_secs(24 * 3600);
/// Time for which an environment uses its own copy of a value, if the required version is known.
pub const FRONT: Duration = Duration::from_secs(5);
/// Time after a failed read of the source for which stale values are served without another read.
pub const SPARED_AFTER_FAILURE: Duration = Duration::from_secs(2);

/// Configuration of a cache.
#[derive(Debug, Clone, Copy)]
pub struct CacheConfig {
    /// `CACHE_TTL_SECS`: time for which a value is fresh, seconds, ±10 %. Default 300, 10 to 3,000.
    pub ttl: Duration,
    /// Time for which the source's answer that there is no value is fresh. 30 s, or the whole TTL if that is shorter.
    pub negative_ttl: Duration,
    /// Longest wait for another environment. Default [`WAIT`].
    pub wait: Duration,
    /// Time after which the lock of an environment that was killed expires: longer than any read of the source.
    pub lock: Duration,
}

impl CacheConfig {
    /// Reads the variables that the fields name.
    pub fn read(reader: &mut Reader<'_>) -> Self {
        Self::new(Duration::from_secs(reader.number("CACHE_TTL_SECS", 300, 10..=3_000)))
    }

    /// Creates a configuration with a time to live and the defaults for everything else.
    pub fn new(ttl: Duration) -> Self {
        Self { ttl, negative_ttl: ttl.min(Duration::from_secs(30)), wait: WAIT, lock: Duration::from_secs(5) }
    }
}

/// Read-through cache of values of one type.
pub struct Cache<T> {
    store: CacheStore,
    clock: Clock,
    config: CacheConfig,
    front: CacheFront<T>,
    flights: Flights<T>,
}

impl<T> Cache<T> {
    /// Creates an empty cache on `redis`. Times are read from `clock`.
    pub fn new(space: CacheSpace, redis: Arc<Redis>, clock: Clock, config: CacheConfig) -> Self {
        Self {
            store: CacheStore::new(redis, space),
            clock,
            config,
            front: CacheFront::default(),
            flights: Flights::default(),
        }
    }

    /// Connects to Redis and loads the script ahead of the first lookup. A failure has no effect.
    pub async fn warm_up(&self) {
        self.store.warm_up().await;
    }
}
