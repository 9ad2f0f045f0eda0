//! The copies of one environment: they save the round trip to Redis while the required version is known.

use std::num::NonZeroUsize;
use std::sync::{Arc, Mutex};

use lru::LruCache;

use super::SPARED_AFTER_FAILURE;
use super::entry::{CacheEntry, header};
use super::standing::may_use_front;
use crate::clock::Timestamp;
use crate::sync::lock;

/// Number of keys that one environment holds; the least recently used are evicted first.
const CAPACITY: NonZeroUsize = NonZeroUsize::new(64).unwrap();

/// Values by key.
type ByKey<T> = Mutex<LruCache<String, T>>;
/// Entry, with the time at which it was taken.
type Taken<T> = (Arc<CacheEntry<T>>, Timestamp);
/// Entry that was decoded, with the header of its bytes.
type Decoded<T> = (Vec<u8>, Arc<CacheEntry<T>>);

/// Copies by key, the entries that were decoded last, and the times of the last failed reads of the source.
pub(super) struct CacheFront<T> {
    copies: ByKey<Taken<T>>,
    decoded: ByKey<Decoded<T>>,
    failures: ByKey<Timestamp>,
}

impl<T> Default for CacheFront<T> {
    fn default() -> Self {
        Self {
            copies: Mutex::new(LruCache::new(CAPACITY)),
            decoded: Mutex::new(LruCache::new(CAPACITY)),
            failures: Mutex::new(LruCache::new(CAPACITY)),
        }
    }
}

impl<T> CacheFront<T> {
    /// Returns the copy of `key`, if it may be used for the required version.
    pub(super) fn get(&self, key: &str, required: Option<u64>, now: Timestamp) -> Option<Arc<CacheEntry<T>>> {
        let mut copies = lock(&self.copies);
        let (entry, taken_at) = copies.get(key)?;
        may_use_front(entry, *taken_at, required, now).then(|| entry.clone())
    }

    /// Returns the copy of `key` however old it is, for a time in which neither Redis nor the source answers.
    pub(super) fn last(&self, key: &str) -> Option<Arc<CacheEntry<T>>> {
        lock(&self.copies).peek(key).map(|(entry, _)| entry.clone())
    }

    /// Holds an entry that was read from Redis or from the source at `now`.
    pub(super) fn put(&self, key: &str, entry: Arc<CacheEntry<T>>, now: Timestamp) {
        lock(&self.copies).put(key.to_owned(), (entry, now));
    }

    /// Returns the entry of `bytes` if it is the one that was decoded last: an entry stays the same for minutes, and
    /// decoding takes longer than a GET on one machine.
    pub(super) fn decoded(&self, key: &str, bytes: &[u8]) -> Option<Arc<CacheEntry<T>>> {
        let mut decoded = lock(&self.decoded);
        decoded.get(key).filter(|(known, _)| known == header(bytes)).map(|(_, entry)| entry.clone())
    }

    /// Holds the entry of `bytes`, which was decoded.
    pub(super) fn note_decoded(&self, key: &str, bytes: &[u8], entry: Arc<CacheEntry<T>>) {
        lock(&self.decoded).put(key.to_owned(), (header(bytes).to_vec(), entry));
    }

    /// Records that a read of the source for `key` failed, or did not.
    pub(super) fn note(&self, key: &str, failed_at: Option<Timestamp>) {
        let mut failures = lock(&self.failures);
        match failed_at {
            Some(at) => drop(failures.put(key.to_owned(), at)),
            None => drop(failures.pop(key)),
        }
    }

    /// Returns true if a read of the source for `key` failed within [`SPARED_AFTER_FAILURE`].
    pub(super) fn failed_lately(&self, key: &str, now: Timestamp) -> bool {
        let failed_at = lock(&self.failures).peek(key).copied();
        failed_at.is_some_and(|at| at <= now && now < at.plus(SPARED_AFTER_FAILURE))
    }
}
