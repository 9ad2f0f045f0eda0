//! Limits how much a provider is asked while no other one can take its calls. No I/O.
//!
//! A share says which provider is asked first. Where nobody else is left, what a provider served lately decides, and not
//! the share: a provider that is well again gets everything within seconds, and one that is down gets a trickle that
//! finds out. It is admission control as in TCP's slow start (RFC 5681) and in the client-side throttling of Google's
//! "Site Reliability Engineering" (chapter 21), on results that all environments share:
//!
//! | the last answers | calls that may go there |
//! | --- | --- |
//! | none known; or none was a refusal, and the last one, or half of the last eight, were good | all |
//! | bad ones of up to three accounts since the last good one, and no refusal since then | all calls of other accounts |
//! | otherwise | one for each credit |
//!
//! | a credit is earned by | |
//! | --- | --- |
//! | a good answer | 1.2, up to 16 |
//! | time without a call that a credit let through, while fewer than two are left (fewer than one, where a call was refused) | one a second; or a tenth of all calls, where that is more and no call was refused; up to ten seconds of it |
//!
//! So a provider that is down is asked once a second, or a tenth of all calls. One that was not asked for a while gets up to
//! a second's calls at once: its answers are old, and the callers have nobody else to ask. Every other call costs a
//! credit too, if there is one, once it is answered: it uses the same capacity. A few accounts' calls may be at fault
//! themselves, so that others are not kept away by what these met.
//!
//! A **refusal** is a provider's word that it is asked too much (429, 529). One among the last 32 answers is enough to
//! count: a provider at the edge of its capacity serves most calls, and is asked a fifth more than it serves. Where that
//! is less than a call a second, it is asked once a second.
//!
//! `mirror/standing.lua` and `mirror/admit.lua` are the same rules in Redis; a test drives both.

use std::collections::VecDeque;
use std::time::Duration;

use crate::clock::Timestamp;

/// So many accounts' calls may be at fault themselves, while no call is served.
const FEW: usize = 3;
/// Answers that are remembered.
const REMEMBERED: usize = 32;
/// Of so many last answers, half may have failed.
const LATELY: usize = 8;
/// The credit that a good answer earns.
const EARNED: f64 = 1.2;
/// The most credits that good answers come to.
const MOST_CREDITS: f64 = 16.0;
/// The credits from which on time without a call earns no more. Two calls that come at once, to several providers one
/// after the other, do not take each other's credit.
const ENOUGH: f64 = 2.0;
/// The longest time without a call that earns credits.
const LONGEST_UNASKED: Duration = Duration::from_secs(10);
/// The part of all calls that time earns credits for; one a second at least.
const TRICKLE: f64 = 0.1;
const ONE_SECOND: Duration = Duration::from_secs(1);

/// A provider's answer to a call, as far as room is concerned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Answer {
    /// It served the call.
    Served,
    /// It failed, or gave no answer.
    Failed,
    /// It said that it is asked too much.
    Refused,
}

impl Answer {
    /// The letter that stands for it in Redis.
    pub const fn letter(self) -> &'static str {
        match self {
            Self::Served => "g",
            Self::Failed => "f",
            Self::Refused => "r",
        }
    }
}

/// The rule that let a call through.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum By {
    /// The provider's share, or room for all calls; also where its wish to be left alone is tried out.
    #[default]
    Share,
    /// A probe's place.
    Probe,
    /// A credit of the provider's room.
    Room,
}

impl By {
    /// The word that stands for it in scripts.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Share => "share",
            Self::Probe => "probe",
            Self::Room => "room",
        }
    }
}

/// The accounts that got bad answers and that no good answer cleared: a few by name, or more than that.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Spoilers {
    Few(Vec<String>),
    Many,
}

impl Default for Spoilers {
    fn default() -> Self {
        Self::Few(Vec::new())
    }
}

impl Spoilers {
    fn add(&mut self, account: &str) {
        match self {
            Self::Few(accounts) if accounts.iter().any(|one| one == account) => {}
            Self::Few(accounts) if accounts.len() < FEW => accounts.push(account.to_owned()),
            Self::Few(_) | Self::Many => *self = Self::Many,
        }
    }

    /// Returns true if others than `account` got bad answers, and so few that their calls may be at fault themselves.
    fn are_others_than(&self, account: &str) -> bool {
        match self {
            Self::Few(accounts) => !accounts.is_empty() && accounts.iter().all(|one| one != account),
            Self::Many => false,
        }
    }
}

/// The calls that a provider lately had room for.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Room {
    /// Oldest first.
    last: VecDeque<Answer>,
    spoilers: Spoilers,
    credits: f64,
    /// The moment of the last call that a credit let through.
    admitted_at: Option<Timestamp>,
}

impl Room {
    /// Records the answer to a call of `account` that was let through `by` some rule.
    ///
    /// A call that room let through has cost a credit already. Any other one costs it now, if there is one: it uses the
    /// same capacity.
    pub fn record(&mut self, answer: Answer, by: By, account: &str) {
        if self.last.len() == REMEMBERED {
            self.last.pop_front();
        }
        self.last.push_back(answer);
        if by != By::Room {
            self.credits = (self.credits - 1.0).max(0.0);
        }
        if answer == Answer::Served {
            self.credits = MOST_CREDITS.min(self.credits + EARNED);
        }
        if self.is_free() {
            self.spoilers = Spoilers::default();
        } else if answer != Answer::Served {
            self.spoilers.add(account);
        }
    }

    /// Returns whether every call of `account` may go there: the bad answers of a few accounts say nothing of another's.
    pub fn is_free_for(&self, account: &str) -> bool {
        self.is_free() || self.spoilers.are_others_than(account)
    }

    /// Returns whether every call may go there.
    fn is_free(&self) -> bool {
        let lately = self.last.iter().rev().take(LATELY);
        let failed = lately.clone().filter(|answer| **answer != Answer::Served).count();
        let is_served = self.last.back().is_none_or(|answer| *answer == Answer::Served);
        !self.is_refusing() && (is_served || failed * 2 <= lately.count())
    }

    fn is_refusing(&self) -> bool {
        self.last.contains(&Answer::Refused)
    }

    /// Decides whether one more call of `account` may go there at `now`, where there are `rate` calls a second. It costs a
    /// credit, unless every call of the account may go there.
    pub fn admit(&mut self, rate: f64, account: &str, now: Timestamp) -> bool {
        if self.is_free_for(account) {
            return true;
        }
        // A provider at its capacity is asked by what it serves; one that is down may be back.
        let every = if self.is_refusing() { ONE_SECOND } else { trickles_every(rate) };
        let unasked = self.admitted_at.map_or(Duration::ZERO, |at| at.until(now));
        if unasked >= LONGEST_UNASKED {
            self.credits = self.credits.min(ENOUGH);
        }
        // Beside what served calls earn, a provider at its capacity has no use for a second credit.
        let enough = if self.is_refusing() { 1.0 } else { ENOUGH };
        if self.credits < enough {
            let is_due = self.admitted_at.is_none_or(|at| now < at);
            self.credits += if is_due { 1.0 } else { f64::from(earned(unasked, every)) };
        }
        let is_admitted = self.credits >= 1.0;
        if is_admitted {
            self.credits -= 1.0;
            self.admitted_at = Some(now);
        }
        is_admitted
    }
}

/// Returns the credits that a provider earns that was not asked for so long: one for each `every`.
fn earned(unasked: Duration, every: Duration) -> u32 {
    // At most ten seconds by the millisecond, so it fits.
    (unasked.min(LONGEST_UNASKED).as_millis() / every.as_millis().max(1)) as u32
}

/// Returns the time without a call that earns a credit, where there are `rate` calls a second and none is refused as too
/// many.
pub fn trickles_every(rate: f64) -> Duration {
    ONE_SECOND.div_f64((rate * TRICKLE).max(1.0))
}

#[cfg(test)]
mod tests {
    use super::Answer::{Failed, Refused, Served};
    use super::*;

    const NOW: Timestamp = Timestamp::from_secs(1_795_310_000);

    fn after(answers: &[(Answer, usize)]) -> Room {
        let mut room = Room::default();
        let each = answers.iter().flat_map(|(answer, times)| std::iter::repeat_n(*answer, *times));
        each.for_each(|answer| room.record(answer, By::Room, "a"));
        room
    }

    #[test]
    fn a_provider_of_which_nothing_bad_is_known_has_room_for_all() {
        assert!(after(&[]).is_free() && after(&[(Served, 40)]).is_free());
        assert!(after(&[(Served, 40), (Failed, 1)]).is_free(), "one in a hundred calls fails in health");
        let mut half = Room::default();
        for _ in 0..40 {
            half.record(Failed, By::Room, "a");
            half.record(Served, By::Room, "a");
            assert!(half.is_free(), "half of its answers are better than none");
        }
    }

    #[test]
    fn a_provider_that_is_down_gets_a_call_a_second_and_a_tenth_of_many() {
        for (rate, expected) in [(0.5, 10), (3.0, 10), (50.0, 50)] {
            let mut room = after(&[(Served, 32), (Failed, 32)]);
            room.credits = 0.0;
            let calls = (0..1_000_u64).map(|at| NOW.plus(Duration::from_millis(at * 10)));
            let admitted = calls.filter(|now| {
                let is_admitted = room.admit(rate, "a", *now);
                if is_admitted {
                    room.record(Failed, By::Room, "a");
                }
                is_admitted
            });
            assert_eq!(admitted.count(), expected, "{rate} calls a second, within 10 s");
        }
    }

    #[test]
    fn a_good_answer_ends_a_failure_and_not_a_refusal() {
        let mut down = after(&[(Failed, 40)]);
        assert!(!down.is_free());
        down.record(Served, By::Room, "a");
        assert!(down.is_free());
        assert!(!after(&[(Refused, 1), (Served, 31)]).is_free());
        assert!(after(&[(Refused, 1), (Served, 32)]).is_free());
    }

    #[test]
    fn a_provider_at_its_capacity_is_asked_a_fifth_more_than_it_serves() {
        let mut room = after(&[(Refused, 32)]);
        // It serves 15 calls a second of 50, and refuses the others.
        let (mut served, mut asked) = (0, 0);
        for second in 0..60_u64 {
            let mut left = 15;
            for call in 0..50_u64 {
                if room.admit(50.0, "a", NOW.plus(Duration::from_millis(second * 1_000 + call * 20))) {
                    let answer = if left > 0 { Served } else { Refused };
                    left -= i32::from(left > 0);
                    room.record(answer, By::Room, "a");
                    (served, asked) = (served + u32::from(answer == Served), asked + 1);
                }
            }
        }
        assert!(served >= 15 * 55, "{served} of 900 served");
        assert!(f64::from(asked) <= f64::from(served) * 1.3, "{asked} asked, {served} served");
    }

    #[test]
    fn a_provider_that_nobody_asked_for_a_while_gets_a_seconds_calls_at_once() {
        for (rate, expected) in [(0.5, 10), (3.0, 10), (50.0, 50), (500.0, 500)] {
            let mut room = after(&[(Failed, 32)]);
            assert!(room.admit(rate, "a", NOW));
            let later = NOW.plus(Duration::from_secs(3_600));
            assert_eq!((0..1_000).filter(|_| room.admit(rate, "a", later)).count(), expected, "{rate} calls a second");
        }
    }

    #[test]
    fn calls_of_the_share_use_the_same_capacity() {
        let mut room = after(&[(Refused, 1), (Served, 20)]);
        (0..40).for_each(|_| room.record(Refused, By::Share, "a"));
        assert!(room.credits.abs() < f64::EPSILON, "and it owes nothing: {}", room.credits);
        let later = NOW.plus(ONE_SECOND);
        assert!(room.admit(5.0, "a", later), "one a second goes there in any case");
        room.record(Refused, By::Share, "a");
        assert!(!room.admit(5.0, "a", later.plus(ONE_SECOND / 2)), "it was asked just now");
    }

    #[test]
    fn credits_that_were_left_are_no_store_for_later() {
        let mut room = after(&[(Failed, 32)]);
        let later = NOW.plus(Duration::from_secs(3_600));
        assert!(room.admit(500.0, "a", NOW) && room.admit(500.0, "a", later), "of 500 that time earned");
        room.record(Refused, By::Room, "a");
        let even_later = later.plus(Duration::from_secs(86_000));
        let admitted = (0..1_000).filter(|_| room.admit(500.0, "a", even_later)).count();
        assert_eq!(admitted, 2, "it refuses calls: what time earned is gone");
    }

    #[test]
    fn a_clock_that_was_set_back_lets_one_call_through() {
        let mut room = after(&[(Failed, 32)]);
        assert!(room.admit(3.0, "a", NOW) && !room.admit(3.0, "a", NOW));
        let before = NOW.minus(Duration::from_secs(600));
        assert!(room.admit(3.0, "a", before) && !room.admit(3.0, "a", before));
    }

    #[test]
    fn what_a_few_accounts_calls_met_keeps_no_other_account_away() {
        let mut room = after(&[(Served, 4), (Failed, 8)]);
        assert!(!room.is_free_for("a") && room.is_free_for("b"));
        room.record(Failed, By::Share, "b");
        room.record(Failed, By::Share, "c");
        assert!(!room.is_free_for("b") && room.is_free_for("d"));
        room.record(Failed, By::Share, "d");
        assert!(!room.is_free_for("e"), "four accounts are enough");
        room.record(Served, By::Room, "a");
        assert!(room.is_free_for("e"), "a good answer shows that the provider is there");
        room.record(Failed, By::Room, "a");
        assert!(!room.is_free_for("a") && room.is_free_for("e"));
    }

    #[test]
    fn a_provider_that_refuses_calls_is_not_free_for_whoever_has_not_met_that() {
        let mut room = Room::default();
        for account in ["a", "b", "c", "d"] {
            room.record(Refused, By::Share, account);
        }
        room.record(Served, By::Share, "e");
        assert!(!room.is_free_for("f"));
    }
}
