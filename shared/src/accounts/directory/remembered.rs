//! Bounded caches, and what is read into them.

use std::num::NonZeroUsize;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use lru::LruCache;

use crate::accounts::records::{KeyRecord, Owner, Status};
use crate::clock::Timestamp;
use crate::limits::markers::{Marked, Version};
use crate::sync::lock;

/// How many records of each kind one environment remembers; the least recently used go first.
const CAPACITY: NonZeroUsize = NonZeroUsize::new(4096).unwrap();

/// Values by id with the moment at which they were read.
pub(super) struct Remembered<T>(Mutex<LruCache<String, (T, Timestamp)>>);

impl<T: Clone> Remembered<T> {
    pub(super) fn new() -> Self {
        Self(Mutex::new(LruCache::new(CAPACITY)))
    }

    /// The value, unless it was read longer ago than `at_most`, or nobody knows when.
    pub(super) fn get(&self, id: &str, now: Timestamp, at_most: Duration) -> Option<T> {
        let mut values = lock(&self.0);
        let (value, read_at) = values.get(id)?;
        is_within(*read_at, at_most, now).then(|| value.clone())
    }

    /// Returns whether the value was read at `moment`.
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

/// Whether `moment` is less than `time` ago. One that is yet to come, noted while the clock was fast, is not.
pub(super) fn is_within(moment: Timestamp, time: Duration, now: Timestamp) -> bool {
    moment <= now && now < moment.plus(time)
}

/// What is read at once, and made of records that have versions.
pub(super) trait Versioned: Clone {
    /// The version of the record `of` in it.
    fn version(&self, of: &Marked) -> u64;

    /// It with the record stopped that `by` stops.
    fn stopped(self, by: &Version) -> Self;
}

impl Versioned for KeyRecord {
    fn version(&self, _: &Marked) -> u64 {
        self.version
    }

    fn stopped(self, by: &Version) -> Self {
        Self { status: Status::Revoked, version: by.version, ..self }
    }
}

impl Versioned for Owner {
    fn version(&self, of: &Marked) -> u64 {
        match of {
            Marked::Account(_) => self.account.version,
            _ => self.integration.version,
        }
    }

    fn stopped(mut self, by: &Version) -> Self {
        let (status, version) = match by.of {
            Marked::Account(_) => (&mut self.account.status, &mut self.account.version),
            _ => (&mut self.integration.status, &mut self.integration.version),
        };
        (*status, *version) = (Status::Suspended, by.version);
        self
    }
}

/// `value` as the versions that it lacks leave it: stopped where one of them stops it.
pub(super) fn without<T: Versioned>(value: Arc<T>, lacking: &[Version]) -> Arc<T> {
    let stopping = lacking.iter().filter(|version| version.is_stopped);
    stopping.fold(value, |value, by| Arc::new(Arc::unwrap_or_clone(value).stopped(by)))
}
