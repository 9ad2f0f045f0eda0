//! Versions that are needed because markers named them for records that are cached in this environment.

use std::num::NonZeroUsize;
use std::sync::Mutex;

use lru::LruCache;

use crate::limits::versions::{RecordId, Version};
use crate::sync::lock;

/// Number of needs that are remembered. The least recently used are evicted first, and their markers bring them back.
const CAPACITY: NonZeroUsize = NonZeroUsize::new(4096).unwrap();

/// The newest version of each record that a marker named.
///
/// A need is answered by a read that began after it was recorded, whatever that read returned. A record that was
/// deleted or restored may stay older than its marker, and must not be read for every request.
pub(super) struct RequiredVersions(Mutex<LruCache<RecordId, Need>>);

#[derive(Clone, Copy)]
struct Need {
    version: u64,
    is_stopped: bool,
    is_answered: bool,
}

/// Versions needed at the time when a read began.
pub(super) struct Noted(Vec<Option<u64>>);

impl RequiredVersions {
    pub(super) fn new() -> Self {
        Self(Mutex::new(LruCache::new(CAPACITY)))
    }

    /// Records the version that a marker named, unless it or a newer one is recorded.
    pub(super) fn note(&self, Version { of, version, is_stopped }: &Version) {
        let mut needs = lock(&self.0);
        let is_known = |need: &Need| (need.version, need.is_stopped) >= (*version, *is_stopped);
        if !needs.get(of).is_some_and(is_known) {
            needs.put(of.clone(), Need { version: *version, is_stopped: *is_stopped, is_answered: false });
        }
    }

    /// Returns the unanswered needs among the records `of` that are newer than the versions `held` by the caller.
    pub(super) fn open(&self, of: &[RecordId], held: impl Fn(&RecordId) -> u64) -> Vec<Version> {
        let mut needs = lock(&self.0);
        let mut open = Vec::new();
        for of in of {
            if let Some(Need { version, is_stopped, is_answered: false }) = needs.get(of).copied()
                && held(of) < version
            {
                open.push(Version { of: of.clone(), version, is_stopped });
            }
        }
        open
    }

    /// Returns the version that was needed before the record was last read.
    pub(super) fn answered(&self, of: &RecordId) -> Option<u64> {
        lock(&self.0).peek(of).filter(|need| need.is_answered).map(|need| need.version)
    }

    /// Returns the versions needed of the records `of`, to be taken before they are read.
    pub(super) fn noted(&self, of: &[RecordId]) -> Noted {
        let needs = lock(&self.0);
        Noted(of.iter().map(|of| needs.peek(of).map(|need| need.version)).collect())
    }

    /// Marks the needs as answered that were recorded before the read began. Later ones stay open.
    pub(super) fn answer(&self, of: &[RecordId], Noted(noted): &Noted) {
        let mut needs = lock(&self.0);
        for (of, noted) in of.iter().zip(noted) {
            if let Some(need) = needs.peek_mut(of)
                && Some(need.version) == *noted
            {
                need.is_answered = true;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of() -> [RecordId; 1] {
        [RecordId::Key("k".to_owned())]
    }

    fn version(version: u64) -> Version {
        Version { of: of()[0].clone(), version, is_stopped: false }
    }

    fn is_open(needs: &RequiredVersions, held: u64) -> bool {
        !needs.open(&of(), |_| held).is_empty()
    }

    #[test]
    fn an_older_version_is_not_enough_until_the_record_was_read() {
        let needs = RequiredVersions::new();
        assert!(!is_open(&needs, 0));
        needs.note(&version(5));
        assert!(is_open(&needs, 4) && !is_open(&needs, 5));
        needs.answer(&of(), &needs.noted(&of()));
        assert!(!is_open(&needs, 4));
        needs.note(&version(5));
        assert!(!is_open(&needs, 4), "it is as old as it was");
        needs.note(&version(6));
        assert!(is_open(&needs, 4));
    }

    #[test]
    fn a_read_answers_nothing_that_was_noted_while_it_was_under_way() {
        let needs = RequiredVersions::new();
        let before = needs.noted(&of());
        needs.note(&version(5));
        needs.answer(&of(), &before);
        assert!(is_open(&needs, 4));
        let between = needs.noted(&of());
        needs.note(&version(6));
        needs.answer(&of(), &between);
        assert!(is_open(&needs, 5));
    }

    #[test]
    fn an_older_marker_replaces_no_newer_one() {
        let needs = RequiredVersions::new();
        needs.note(&version(5));
        needs.note(&version(4));
        assert!(is_open(&needs, 4));
    }
}
