//! Which versions are needed: what markers said about records that were remembered here.

use std::num::NonZeroUsize;
use std::sync::Mutex;

use lru::LruCache;

use crate::limits::markers::{Marked, Version};
use crate::sync::lock;

/// How many needs are remembered; the least recently used go first, and their markers bring them back.
const CAPACITY: NonZeroUsize = NonZeroUsize::new(4096).unwrap();

/// The newest version of each record that a marker named.
///
/// A need is answered by a read that began after it was noted, whatever that read found: a record that was deleted or
/// restored may stay older than its marker, and must not be read for every request.
pub(super) struct Needs(Mutex<LruCache<Marked, Need>>);

#[derive(Clone, Copy)]
struct Need {
    version: u64,
    is_stopped: bool,
    is_answered: bool,
}

/// What was needed when a read began.
pub(super) struct Noted(Vec<Option<u64>>);

impl Needs {
    pub(super) fn new() -> Self {
        Self(Mutex::new(LruCache::new(CAPACITY)))
    }

    /// Notes what a marker said, unless as much is known.
    pub(super) fn note(&self, Version { of, version, is_stopped }: &Version) {
        let mut needs = lock(&self.0);
        let is_known = |need: &Need| (need.version, need.is_stopped) >= (*version, *is_stopped);
        if !needs.get(of).is_some_and(is_known) {
            needs.put(of.clone(), Need { version: *version, is_stopped: *is_stopped, is_answered: false });
        }
    }

    /// What is needed of the records `of`, of which the caller holds `held`, and was not answered yet.
    pub(super) fn open(&self, of: &[Marked], held: impl Fn(&Marked) -> u64) -> Vec<Version> {
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

    /// The version that was needed when the record was read last.
    pub(super) fn answered(&self, of: &Marked) -> Option<u64> {
        lock(&self.0).peek(of).filter(|need| need.is_answered).map(|need| need.version)
    }

    /// What is needed of the records `of` as they are about to be read.
    pub(super) fn noted(&self, of: &[Marked]) -> Noted {
        let needs = lock(&self.0);
        Noted(of.iter().map(|of| needs.peek(of).map(|need| need.version)).collect())
    }

    /// The records were read; what was noted only since then stays open.
    pub(super) fn answer(&self, of: &[Marked], Noted(noted): &Noted) {
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

    fn of() -> [Marked; 1] {
        [Marked::Key("k".to_owned())]
    }

    fn version(version: u64) -> Version {
        Version { of: of()[0].clone(), version, is_stopped: false }
    }

    fn is_open(needs: &Needs, held: u64) -> bool {
        !needs.open(&of(), |_| held).is_empty()
    }

    #[test]
    fn an_older_version_is_not_enough_until_the_record_was_read() {
        let needs = Needs::new();
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
        let needs = Needs::new();
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
        let needs = Needs::new();
        needs.note(&version(5));
        needs.note(&version(4));
        assert!(is_open(&needs, 4));
    }
}
