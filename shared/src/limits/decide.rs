//! The decision about a call, given the script's counts. Pure: no I/O, time as an argument. Start reading at
//! [`decide()`].
//!
//! # Error of a sliding count
//!
//! Let `f` be the fraction of the present window that has passed. A sliding policy counts
//! `current + previous × (1 − f)`: it assumes that the calls of the previous window came evenly. If they all came at
//! that window's end, the last window's length holds all of `previous`; if they all came at its beginning, none. So
//! the count is at most `previous × f` below the true one and at most `previous × (1 − f)` above it. As `previous` is
//! at most the limit, the calls within any span of a window's length are fewer than twice the limit, as with a fixed
//! window, and within the limit if they come evenly. Months differ in length, so there the shares are those of the
//! calendar's months. (The two-window approximation is that of Cloudflare's "How we built rate limiting capable of
//! scaling to millions of domains", 2017.)

use std::sync::Arc;
use std::time::Duration;

use super::policy::{Algorithm, Charge, Mode, Policy};
use crate::clock::Timestamp;

/// Delay after which to retry a call refused for calls in flight. It is a guess, because their end is not known.
const IN_FLIGHT_RETRY: Duration = Duration::from_secs(1);

/// State of one policy after a call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reading {
    /// Policy.
    pub policy: Arc<Policy>,
    /// Calls counted, including this one if it was charged. For calls in flight, their number.
    pub used: u64,
    /// Time at which more calls fit: the window's end, or for a call beyond the limit the first moment at which it
    /// fits.
    pub resets_at: Timestamp,
    /// True if the call is beyond the limit: refused, or passed only because of the policy's mode.
    pub is_over: bool,
}

impl Reading {
    /// Returns the number of calls left.
    pub fn remaining(&self) -> u64 {
        self.policy.limit.saturating_sub(self.used)
    }

    /// Returns the used share of the limit, in thousandths.
    pub fn used_permille(&self) -> u64 {
        self.used.saturating_mul(1000) / self.policy.limit.max(1)
    }

    /// Returns true if at least 80 % of the limit is used.
    pub fn is_near(&self) -> bool {
        self.used_permille() >= 800
    }
}

/// Decision about a call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Decision {
    /// The call was charged to every policy.
    Allowed(Vec<Reading>),
    /// The call was charged to no policy.
    Refused(Refusal),
    /// Nothing was decided, because a record that the caller decided from is stale. Holds per requested marker the
    /// version in Redis, and true if that version stops the record.
    Stale(Vec<Option<(u64, bool)>>),
    /// Redis could not be asked. The call passes.
    Unchecked,
}

/// Refusal of a call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// State of every policy.
    pub readings: Vec<Reading>,
    /// The used-up policy that resets last. After its reset, the call fits all policies.
    pub binding: Reading,
}

/// Parts of a script's reply.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Reply<'a> {
    Charged(&'a [i64]),
    Refused(&'a [i64]),
    Stale(&'a [i64]),
    /// Redis's time, which differs from the caller's.
    Skewed(Timestamp),
    Odd,
}

impl<'a> Reply<'a> {
    pub(super) fn from_reply(reply: &'a [i64]) -> Self {
        match reply {
            [1, counts @ ..] => Self::Charged(counts),
            [0, counts @ ..] => Self::Refused(counts),
            [2, markers @ ..] => Self::Stale(markers),
            [3, right] => Self::Skewed(Timestamp::from_millis(u64::try_from(*right).unwrap_or(0))),
            _ => Self::Odd,
        }
    }
}

/// Turns the counts that `check.lua` replied for `charges` into a decision; `is_charged` is true if the script
/// charged them. A wrong number of counts is treated as no reply.
pub fn decide(charges: &[Charge], is_charged: bool, counts: &[i64], now: Timestamp) -> Decision {
    // Read every policy: a sliding one has two counts.
    let mut counts = counts.iter().map(|count| u64::try_from(*count).unwrap_or(0));
    let mut readings = Vec::with_capacity(charges.len());
    for charge in charges {
        let Some(count) = counts.next() else { return Decision::Unchecked };
        let previous = match charge.policy.algorithm {
            Algorithm::Sliding => match counts.next() {
                Some(previous) => previous,
                None => return Decision::Unchecked,
            },
            Algorithm::Fixed | Algorithm::Concurrency => 0,
        };
        readings.push(read(charge, is_charged, count, previous, now));
    }
    // Counts left over mean a reply of another shape.
    if counts.next().is_some() {
        return Decision::Unchecked;
    }
    if is_charged {
        return Decision::Allowed(readings);
    }
    // Find the policy to wait for. `max_by_key` takes the last of equals: the widest scope, for which the caller
    // should ask for more.
    let refusing = readings.iter().filter(|reading| reading.is_over && reading.policy.mode == Mode::Enforce);
    match refusing.max_by_key(|reading| reading.resets_at).cloned() {
        Some(binding) => Decision::Refused(Refusal { readings, binding }),
        None => Decision::Unchecked,
    }
}

/// Returns the state of one policy by its counts; `is_charged` is true if the call is among them.
pub(super) fn read(charge: &Charge, is_charged: bool, count: u64, previous: u64, now: Timestamp) -> Reading {
    let Charge { policy, weight, .. } = charge;
    let (policy, weight) = (Arc::clone(policy), *weight);
    let used = count + still_counted(previous, remaining_millionths(&policy, now));
    let is_over = if is_charged { used > policy.limit } else { used + weight > policy.limit };
    let end = policy.window.end(now);
    let resets_at = match policy.algorithm {
        Algorithm::Concurrency => now.plus(IN_FLIGHT_RETRY),
        Algorithm::Sliding if is_over => room_at(&policy, count, previous, weight, now),
        Algorithm::Fixed | Algorithm::Sliding => end,
    };
    Reading { policy, used, resets_at, is_over }
}

/// Returns the share of the previous window that the last window's length still covers, in millionths, rounded up; 0
/// for a policy that does not look back.
pub(super) fn remaining_millionths(policy: &Policy, now: Timestamp) -> u64 {
    if policy.algorithm != Algorithm::Sliding {
        return 0;
    }
    let (start, end) = (policy.window.start(now).as_millis(), policy.window.end(now).as_millis());
    let left = end.saturating_sub(now.as_millis());
    (left.saturating_mul(1_000_000)).div_ceil(end.saturating_sub(start).max(1))
}

/// Returns the calls of the previous window that still count, rounded up so that a limit is never exceeded by
/// rounding.
fn still_counted(previous: u64, millionths: u64) -> u64 {
    previous.saturating_mul(millionths).div_ceil(1_000_000)
}

/// Returns the first moment at which a call of `weight` fits, if nothing else is charged until then.
fn room_at(policy: &Policy, count: u64, previous: u64, weight: u64, now: Timestamp) -> Timestamp {
    let (start, end) = (policy.window.start(now), policy.window.end(now));
    // For a window that began at `start`, with `before` calls in the previous one and `present` in it: the share of
    // `before` must have fallen to the room that the limit leaves.
    let fits = |start: Timestamp, end: Timestamp, before: u64, present: u64| {
        let room = policy.limit.checked_sub(present.saturating_add(weight))?;
        let length = end.as_millis() - start.as_millis();
        let covered = if before <= room { length } else { length.saturating_mul(room) / before.max(1) };
        // `room` is a whole number of calls, and shares are rounded up twice: add one millionth of a window to be
        // safe.
        let margin = if before <= room { 0 } else { length.div_ceil(1_000_000) };
        Some(Timestamp::from_millis((end.as_millis() - covered + margin).min(end.as_millis())))
    };
    // Try the present window, then the next one, in which the present count is the previous one.
    fits(start, end, previous, count)
        .or_else(|| fits(end, policy.window.end(end), count, 0))
        .unwrap_or_else(|| policy.window.end(end))
        .max(Timestamp::from_millis(now.as_millis() + 1))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits::{Class, PolicyScope, Subject, Window};

    const NOW: Timestamp = Timestamp::from_millis(1_700_000_030_500);

    fn policy(algorithm: Algorithm, mode: Mode, limit: u64) -> Policy {
        Policy {
            name: "p".to_owned(),
            scope: PolicyScope::Account,
            limit,
            window: Window::MINUTE,
            algorithm,
            mode,
            classes: vec![Class::Ai],
            weights: Default::default(),
        }
    }

    fn charge(policy: Policy) -> Charge {
        Charge { policy: Arc::new(policy), subject: Subject("acme".to_owned()), weight: 1 }
    }

    fn fixed(limit: u64) -> Charge {
        charge(policy(Algorithm::Fixed, Mode::Enforce, limit))
    }

    #[test]
    fn a_charged_call_is_allowed_and_reads_every_policy() {
        let charges = vec![fixed(30), fixed(300), charge(policy(Algorithm::Concurrency, Mode::Enforce, 20))];
        let Decision::Allowed(readings) = decide(&charges, true, &[24, 10, 3], NOW) else { panic!("refused") };
        assert_eq!(readings.iter().map(Reading::remaining).collect::<Vec<_>>(), [6, 290, 17]);
        assert!(readings[0].is_near() && !readings[1].is_near());
        assert_eq!(readings[0].resets_at, Timestamp::from_secs(1_700_000_040));
        assert_eq!(readings[2].resets_at, Timestamp::from_millis(1_700_000_031_500));
    }

    #[test]
    fn a_refusal_is_bound_by_the_used_up_policy_that_resets_last() {
        let mut longer = policy(Algorithm::Fixed, Mode::Enforce, 300);
        longer.window = Window::Secs(3_600);
        let in_flight = charge(policy(Algorithm::Concurrency, Mode::Enforce, 20));
        let charges = vec![fixed(30), charge(longer), fixed(600), in_flight];
        let Decision::Refused(refusal) = decide(&charges, false, &[30, 300, 600, 20], NOW) else { panic!("allowed") };
        assert_eq!(refusal.binding.policy.limit, 300);
        assert_eq!(refusal.readings.len(), 4);
    }

    #[test]
    fn a_policy_that_only_warns_or_watches_binds_nobody() {
        let charges = vec![charge(policy(Algorithm::Fixed, Mode::Warn, 5)), fixed(30)];
        let Decision::Refused(refusal) = decide(&charges, false, &[9, 30], NOW) else { panic!("allowed") };
        assert_eq!(refusal.binding.policy.limit, 30);
        let Decision::Allowed(readings) = decide(&charges, true, &[9, 30], NOW) else { panic!("refused") };
        assert!(readings[0].is_over && !readings[1].is_over);
    }

    #[test]
    fn a_sliding_count_holds_what_is_left_of_the_previous_window() {
        // 50.5 s into the window, 9.5 s of the previous one are within the last minute: 20 × 9.5/60, rounded up, is 4.
        let sliding = charge(policy(Algorithm::Sliding, Mode::Enforce, 30));
        let Decision::Allowed(readings) = decide(&[sliding], true, &[10, 20], NOW) else { panic!("refused") };
        assert_eq!((readings[0].used, readings[0].resets_at), (14, Timestamp::from_secs(1_700_000_040)));
    }

    #[test]
    fn counts_of_another_number_let_the_call_pass_as_unchecked() {
        let sliding = charge(policy(Algorithm::Sliding, Mode::Enforce, 30));
        for counts in [&[][..], &[1][..], &[1, 2][..], &[1, 2, 3, 4][..]] {
            assert_eq!(decide(&[fixed(3), sliding.clone()], true, counts, NOW), Decision::Unchecked, "{counts:?}");
        }
        assert_eq!(decide(&[fixed(3)], false, &[1], NOW), Decision::Unchecked, "refused by nobody");
    }

    proptest::proptest! {
        #[test]
        fn a_refused_call_fits_at_the_moment_it_is_told_and_not_before(
            limit in 1u64..50, count in 0u64..60, previous in 0u64..60, weight in 1u64..4, at in 0u64..60_000,
        ) {
            let policy = policy(Algorithm::Sliding, Mode::Enforce, limit);
            let start = policy.window.start(NOW);
            let now = start.plus(Duration::from_millis(at));
            let used = |moment: Timestamp| match policy.window.start(moment) == start {
                true => count + still_counted(previous, remaining_millionths(&policy, moment)),
                false if moment < policy.window.end(policy.window.end(now)) =>
                    still_counted(count, remaining_millionths(&policy, moment)),
                false => 0,
            };
            let charge = Charge { weight, ..charge(policy.clone()) };
            let reading = read(&charge, false, count, previous, now);
            proptest::prop_assume!(reading.is_over && weight <= limit);
            proptest::prop_assert!(used(reading.resets_at) + weight <= limit, "{reading:?}");
            // It does not fit much earlier either.
            let earlier = Timestamp::from_millis(reading.resets_at.as_millis().saturating_sub(200));
            proptest::prop_assert!(earlier <= now || used(earlier) + weight > limit || earlier < start, "{reading:?}");
        }
    }
}
