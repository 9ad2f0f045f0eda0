//! The decision about an entry that was found in Redis. Pure: no I/O, time and randomness as arguments.

use std::time::Duration;

use super::entry::CacheEntry;
use super::{FRONT, KEPT_STALE};
use crate::clock::Timestamp;

/// Tolerated difference between the clocks of two environments.
const SKEW: Duration = Duration::from_secs(5);

/// Standing of an entry for one lookup.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// The entry is served.
    Fresh,
    /// The entry is too old. While another environment reads the source, it may be served as stale.
    Expired,
    /// A newer version than the entry's is required. It may be served only while the source is gone.
    Outdated,
    /// There is no entry that may be used for anything.
    Missing,
}

/// Decides about `entry`, if a lookup requires a version of at least `required`; `None` if no version is known, so that
/// only the time counts.
pub fn standing<T>(entry: Option<&CacheEntry<T>>, required: Option<u64>, now: Timestamp) -> Standing {
    let Some(entry) = entry else { return Standing::Missing };
    // An entry from the future was written by a fast clock, and one that was kept for longer is no longer of use.
    let is_from_the_future = entry.read_at > now.plus(SKEW);
    if is_from_the_future || now >= entry.fresh_until.plus(KEPT_STALE) {
        return Standing::Missing;
    }
    if required.is_some_and(|required| entry.version < required) {
        return Standing::Outdated;
    }
    if now < entry.fresh_until { Standing::Fresh } else { Standing::Expired }
}

/// Returns true if this environment's own copy, taken at `taken_at`, may be served: it is fresh, the required version is
/// known, and the copy is at least as new.
pub fn may_use_front<T>(entry: &CacheEntry<T>, taken_at: Timestamp, required: Option<u64>, now: Timestamp) -> bool {
    required.is_some()
        && taken_at <= now
        && now < taken_at.plus(FRONT)
        && standing(Some(entry), required, now) == Standing::Fresh
}

/// Returns the time until which a value that was read at `read_at` is fresh: `ttl` later, ±10 % by `random`, which is
/// from 0 to 1.
pub fn fresh_until(read_at: Timestamp, ttl: Duration, random: f64) -> Timestamp {
    read_at.plus(ttl.mul_f64(0.9 + 0.2 * random.clamp(0.0, 1.0)))
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    const READ_AT: Timestamp = Timestamp::from_secs(1_700_000_000);
    const DAY: u64 = 24 * 3600;

    fn entry() -> CacheEntry<()> {
        let fresh_until = READ_AT.plus(Duration::from_secs(300));
        CacheEntry { value: Some(()), version: 7, read_at: READ_AT, fresh_until }
    }

    fn after(secs: u64) -> Timestamp {
        READ_AT.plus(Duration::from_secs(secs))
    }

    #[rstest]
    #[case::at_once(0, Some(7), Standing::Fresh)]
    #[case::newer_than_required(299, Some(6), Standing::Fresh)]
    #[case::without_a_version(299, None, Standing::Fresh)]
    #[case::too_old(300, Some(7), Standing::Expired)]
    #[case::a_newer_version(1, Some(8), Standing::Outdated)]
    #[case::a_newer_version_of_an_old_one(301, Some(8), Standing::Outdated)]
    #[case::nearly_a_day(300 + DAY - 1, Some(7), Standing::Expired)]
    #[case::a_day(300 + DAY, Some(7), Standing::Missing)]
    #[case::a_day_and_a_newer_version(300 + DAY, Some(8), Standing::Missing)]
    fn an_entry_stands_by_its_age_and_version(
        #[case] secs: u64,
        #[case] required: Option<u64>,
        #[case] expected: Standing,
    ) {
        assert_eq!(standing(Some(&entry()), required, after(secs)), expected);
    }

    #[test]
    fn an_entry_from_the_future_and_none_at_all_are_missing() {
        let fast = CacheEntry { read_at: after(6), ..entry() };
        assert_eq!(standing(Some(&fast), Some(7), READ_AT), Standing::Missing);
        assert_eq!(standing(Some(&fast), Some(7), after(1)), Standing::Fresh);
        assert_eq!(standing::<()>(None, None, READ_AT), Standing::Missing);
    }

    #[rstest]
    #[case::same_version(4, Some(7), true)]
    #[case::newer_copy(4, Some(6), true)]
    #[case::too_long_ago(5, Some(7), false)]
    #[case::newer_version(0, Some(8), false)]
    #[case::unknown_version(0, None, false)]
    fn the_front_is_used_for_five_seconds_and_only_for_a_known_version(
        #[case] secs: u64,
        #[case] required: Option<u64>,
        #[case] expected: bool,
    ) {
        assert_eq!(may_use_front(&entry(), READ_AT, required, after(secs)), expected);
        assert!(!may_use_front(&entry(), after(secs + 1), required, after(secs)), "a copy from the future");
    }

    #[test]
    fn times_to_live_differ_by_a_tenth_at_most() {
        let ttl = Duration::from_secs(300);
        let secs = |random| READ_AT.until(fresh_until(READ_AT, ttl, random)).as_secs();
        assert_eq!((secs(0.0), secs(0.5), secs(1.0), secs(7.0)), (270, 300, 330, 330));
    }
}
