//! Remembered refusals, which spare Redis in a flood: a call that was refused a moment ago is refused again without a
//! round trip.
//!
//! A used-up limit stays used up until its window ends, unless an admin raises it. So a refusal is remembered for
//! [`REMEMBERED`] only, and publishing a raised limit waits that long before it reports success
//! (`accounts::publication`). Invariant: no remembered refusal outlives a raised limit. Refusals from memory are
//! tallied for the statistics and sent to Redis with the next call that it is asked about.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::num::NonZeroUsize;
use std::sync::Mutex;
use std::time::Duration;

use lru::LruCache;

use super::check::Ask;
use super::decide::Refusal;
use super::policy::Algorithm;
use crate::clock::Timestamp;
use crate::sync::lock;

/// Time for which a refusal is repeated without asking Redis.
pub const REMEMBERED: Duration = Duration::from_millis(200);
/// Number of refusals that are remembered; the least recently used are evicted first.
const CAPACITY: NonZeroUsize = NonZeroUsize::new(1024).unwrap();
/// Largest number of tallies sent with one call.
const TALLIES_AT_ONCE: usize = 16;
/// Largest number of different tallies held. Refusals beyond that are missing from the statistics.
const MOST_TALLIES: usize = 1024;

/// Refusals made a moment ago, and the tallies of their repetitions.
pub(super) struct RefusalCache {
    refusals: Mutex<LruCache<String, (Refusal, Timestamp)>>,
    tallies: Mutex<BTreeMap<String, u64>>,
}

impl Default for RefusalCache {
    fn default() -> Self {
        Self { refusals: Mutex::new(LruCache::new(CAPACITY)), tallies: Mutex::default() }
    }
}

impl RefusalCache {
    /// Returns the refusal of `ask` if the same call was refused a moment ago, and tallies the repetition.
    pub(super) fn refusal(&self, ask: &Ask, now: Timestamp) -> Option<Refusal> {
        // Find a refusal that is fresh, and whose window has not ended.
        let refusal = {
            let mut refusals = lock(&self.refusals);
            if refusals.is_empty() {
                return None;
            }
            let (refusal, at) = refusals.get(&key(ask, now))?;
            let is_fresh = *at <= now && now < at.plus(REMEMBERED).min(refusal.binding.resets_at);
            is_fresh.then(|| refusal.clone())?
        };
        // Tally the refusal under each policy that is over its limit, as the script would.
        if !ask.group.is_empty() {
            let mut tallies = lock(&self.tallies);
            for (place, _) in refusal.readings.iter().enumerate().filter(|(_, reading)| reading.is_over) {
                let field = format!("{} {}", place + 1, ask.group);
                if tallies.len() < MOST_TALLIES || tallies.contains_key(&field) {
                    *tallies.entry(field).or_default() += 1;
                }
            }
        }
        Some(refusal)
    }

    /// Remembers a refusal by Redis. Refusals by calls in flight are not remembered, because a place may become free
    /// at any moment.
    pub(super) fn remember(&self, ask: &Ask, refusal: &Refusal, now: Timestamp) {
        if refusal.binding.policy.algorithm != Algorithm::Concurrency {
            lock(&self.refusals).put(key(ask, now), (refusal.clone(), now));
        }
    }

    /// Takes the tallies to be sent with the next call.
    pub(super) fn take_tallies(&self) -> Vec<(String, u64)> {
        let mut tallies = lock(&self.tallies);
        std::iter::from_fn(|| tallies.pop_first()).take(TALLIES_AT_ONCE).collect()
    }

    /// Puts back tallies that could not be sent.
    pub(super) fn keep_tallies(&self, kept: Vec<(String, u64)>) {
        let mut tallies = lock(&self.tallies);
        for (field, calls) in kept {
            *tallies.entry(field).or_default() += calls;
        }
    }
}

/// Returns a key that is equal for calls that all policies treat alike.
fn key(ask: &Ask, now: Timestamp) -> String {
    let mut key = ask.group.clone();
    for charge in &ask.charges {
        let (start, limit) = (charge.policy.window.start(now).as_secs(), charge.policy.limit);
        let _infallible = write!(key, "|{}:{}:{start}:{limit}*{}", charge.policy.name, charge.subject.0, charge.weight);
    }
    for known in &ask.known {
        let _infallible = write!(key, "|{}", known.version);
    }
    key
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits::decide::{Decision, decide};
    use crate::limits::versions::{RecordId, Version};
    use crate::limits::{ChargedCall, Class, LimitsConfig, Overrides};

    const NOW: Timestamp = Timestamp::from_millis(1_700_000_030_500);

    fn ask(limit: u64, version: u64) -> Ask {
        let platform = Overrides::new();
        let asked = ChargedCall {
            class: Class::Login,
            resource: "/login",
            address: Some("a"),
            party: None,
            platform: &platform,
        };
        let known = vec![Version { of: RecordId::Platform, version, is_stopped: false }];
        let charges = LimitsConfig::default().with(&[("login-address", limit)]).charges(&asked, NOW);
        Ask { charges, known, group: "g".to_owned(), id: "r".to_owned() }
    }

    fn refused(ask: &Ask) -> Refusal {
        let Decision::Refused(refusal) = decide(&ask.charges, false, &[10], NOW) else { panic!("allowed") };
        refusal
    }

    #[test]
    fn a_refusal_is_repeated_for_a_moment_and_tallied() {
        let spared = RefusalCache::default();
        let ask = ask(10, 1);
        assert_eq!(spared.refusal(&ask, NOW), None);
        spared.remember(&ask, &refused(&ask), NOW);
        let later = |millis| NOW.plus(Duration::from_millis(millis));
        assert!(spared.refusal(&ask, NOW).is_some() && spared.refusal(&ask, later(199)).is_some());
        assert_eq!(spared.refusal(&ask, later(200)), None);
        assert_eq!(spared.refusal(&ask, Timestamp::from_millis(NOW.as_millis() - 1)), None, "a clock that went back");
        assert_eq!(spared.take_tallies(), [("1 g".to_owned(), 2)]);
        assert_eq!(spared.take_tallies(), []);
        spared.keep_tallies(vec![("1 g".to_owned(), 2)]);
        assert_eq!(spared.take_tallies(), [("1 g".to_owned(), 2)]);
    }

    #[test]
    fn another_limit_and_another_version_are_asked_about() {
        let spared = RefusalCache::default();
        spared.remember(&ask(10, 1), &refused(&ask(10, 1)), NOW);
        assert_eq!(spared.refusal(&ask(11, 1), NOW), None);
        assert_eq!(spared.refusal(&ask(10, 2), NOW), None);
    }

    #[test]
    fn a_refusal_does_not_outlive_its_window() {
        let spared = RefusalCache::default();
        let end = Timestamp::from_millis(1_700_000_039_900);
        spared.remember(&ask(10, 1), &refused(&ask(10, 1)), end);
        assert_eq!(spared.refusal(&ask(10, 1), Timestamp::from_millis(1_700_000_040_000)), None);
    }
}
