//! Bounded caches, and the versioned values that they hold.

use std::num::NonZeroUsize;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use lru::LruCache;

use crate::accounts::records::{KeyRecord, Owner, Status};
use crate::clock::Timestamp;
use crate::limits::versions::{RecordId, Version};
use crate::sync::lock;

/// Number of records of each kind that one environment caches; the least recently used are evicted first.
const CAPACITY: NonZeroUsize = NonZeroUsize::new(4096).unwrap();

/// Cache of values by id, each with the time at which it was read.
pub(super) struct RecordCache<T>(Mutex<LruCache<String, (T, Timestamp)>>);

impl<T: Clone> RecordCache<T> {
    pub(super) fn new() -> Self {
        Self(Mutex::new(LruCache::new(CAPACITY)))
    }

    /// Returns the value if it was read within `at_most`. A value with a read time in the future is not returned.
    pub(super) fn get(&self, id: &str, now: Timestamp, at_most: Duration) -> Option<T> {
        let mut values = lock(&self.0);
        let (value, read_at) = values.get(id)?;
        is_within(*read_at, at_most, now).then(|| value.clone())
    }

    /// Returns true if the value was read at `moment`.
    pub(super) fn was_read_at(&self, id: &str, moment: Timestamp) -> bool {
        lock(&self.0).peek(id).is_some_and(|(_, read_at)| *read_at == moment)
    }

    pub(super) fn put(&self, id: &str, value: T, now: Timestamp) {
        lock(&self.0).put(id.to_owned(), (value, now));
    }

    pub(super) fn forget(&self, id: &str) {
        lock(&self.0).pop(id);
    }
}

/// Returns true if `moment` is less than `time` ago. A moment in the future, recorded while the clock was fast, does
/// not count.
pub(super) fn is_within(moment: Timestamp, time: Duration, now: Timestamp) -> bool {
    moment <= now && now < moment.plus(time)
}

/// Value that is read at once and built from records with versions.
pub(super) trait Versioned: Clone {
    /// Returns the version of the record `of` in this value.
    fn version(&self, of: &RecordId) -> u64;

    /// Returns this value with the record that `by` is about marked as stopped.
    fn stopped(self, by: &Version) -> Self;
}

impl Versioned for KeyRecord {
    fn version(&self, _: &RecordId) -> u64 {
        self.version
    }

    fn stopped(self, by: &Version) -> Self {
        Self { status: Status::Revoked, version: by.version, ..self }
    }
}

impl Versioned for Owner {
    fn version(&self, of: &RecordId) -> u64 {
        match of {
            RecordId::Account(_) => self.account.version,
            RecordId::Grants(_) => self.grants_version,
            _ => self.integration.version,
        }
    }

    fn stopped(mut self, by: &Version) -> Self {
        let (status, version) = match by.of {
            // Grants are never stopped: each ends by its own time.
            RecordId::Grants(_) => return self,
            RecordId::Account(_) => (&mut self.account.status, &mut self.account.version),
            _ => (&mut self.integration.status, &mut self.integration.version),
        };
        (*status, *version) = (Status::Suspended, by.version);
        self
    }
}

/// Returns `value` with those of its records stopped that a version in `lacking` stops.
pub(super) fn without<T: Versioned>(value: Arc<T>, lacking: &[Version]) -> Arc<T> {
    let stopping = lacking.iter().filter(|version| version.is_stopped);
    stopping.fold(value, |value, by| Arc::new(Arc::unwrap_or_clone(value).stopped(by)))
}
