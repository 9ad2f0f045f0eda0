//! Limits how much a provider is asked while no other one can take its calls. No I/O.
//!
//! A share says which provider is asked first. Where nobody else is left, what a provider served lately decides, and not
//! the share: a provider that is well again gets everything within seconds, and one that is down gets a trickle that
//! finds out. It is admission control as in TCP's slow start (RFC 5681) and in the client-side throttling of Google's
//! "Site Reliability Engineering" (chapter 21), on results that all environments share:
//!
//! | the last answers | calls that may go there |
//! | --- | --- |
//! | none known; or none was a refusal, and the last two, or half of the last eight, were good | all |
//! | otherwise | one for each credit |
//!
//! | what earns credits | how many |
//! | --- | --- |
//! | a good answer | 1.2, up to 16 |
//! | time in which no call was let through, while fewer than two credits are left | one a second, up to 10; where none of the last 32 answers was good, as many as a tenth of all calls, up to a second's calls |
//!
//! A provider that is down is so asked once a second, or a tenth of all calls. One that nobody has asked for a while gets up to
//! a second's calls at once: what is known of it is old, and the callers have nobody else to ask. Calls of the share cost a
//! credit too, if there is one, when they are answered: they use the same capacity. As long as one account alone got bad
//! answers, all calls of others may go there: its calls may be at fault themselves.
//!
//! A **refusal** is a provider's word that it is asked too much (429, 529). One among the last 32 answers is enough to
//! count: a provider at the edge of its capacity serves most calls, and is asked a fifth more than it serves.
//!
//! `mirror/standing.lua` and `mirror/admit.lua` are the same rules in Redis; a test drives both.

use std::collections::VecDeque;
use std::time::Duration;

use crate::clock::Timestamp;

/// Answers that are remembered.
const REMEMBERED: usize = 32;
/// So many good answers in a row show that a failure is over.
const RECOVERED: usize = 2;
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
/// The part of all calls that is let through while none of them is served; at least one a second is.
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
    /// The provider's share, or its wish to be left alone that was tried out.
    #[default]
    Share,
    /// A probe's place.
    Probe,
    /// The provider's room.
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

/// The accounts that got bad answers.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
enum Spoilers {
    #[default]
    Nobody,
    One(String),
    Several,
}

/// The calls that a provider lately had room for.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Room {
    /// Oldest first.
    last: VecDeque<Answer>,
    /// The accounts that got bad answers since every call might go there.
    spoilers: Spoilers,
    credits: f64,
    /// The moment at which a call was last let through.
    admitted_at: Option<Timestamp>,
}

impl Room {
    /// Records an answer to a call of `account` that was let through `by` some rule. One that room let through has cost a credit then;
    /// any other one costs it now, if there is one: it uses the same capacity.
    pub fn record(&mut self, answer: Answer, by: By, account: &str) {
        if self.last.len() == REMEMBERED {
            self.last.pop_front();
        }
        self.last.push_back(answer);
        if by != By::Room {
            self.credits = (self.credits - 1.0).max(0.0);
        }
        if answer == Answer::Served {
            self.credits = self.credits.max(MOST_CREDITS.min(self.credits + EARNED));
        }
        if self.is_free() {
            self.spoilers = Spoilers::Nobody;
        } else if answer != Answer::Served {
            self.spoilers = match std::mem::take(&mut self.spoilers) {
                Spoilers::Nobody => Spoilers::One(account.to_owned()),
                Spoilers::One(one) if one == account => Spoilers::One(one),
                Spoilers::One(_) | Spoilers::Several => Spoilers::Several,
            };
        }
    }

    /// Returns whether every call of `account` may go there: what one account's calls met says nothing of another's.
    pub fn is_free_for(&self, account: &str) -> bool {
        matches!(&self.spoilers, Spoilers::One(one) if one != account) || self.is_free()
    }

    /// Returns whether every call may go there.
    fn is_free(&self) -> bool {
        let lately = self.last.iter().rev().take(LATELY);
        let failed = lately.clone().filter(|answer| **answer != Answer::Served).count();
        let is_refused = self.last.contains(&Answer::Refused);
        !is_refused && (self.good_in_a_row() >= RECOVERED || failed * 2 <= lately.count())
    }

    /// Decides whether one more call of `account` may go there at `now`, where there are `rate` calls a second.
    pub fn admit(&mut self, rate: f64, account: &str, now: Timestamp) -> bool {
        if self.is_free_for(account) {
            return true;
        }
        // Some that are served earn more calls; where there are none, a few more find out sooner.
        let is_served = self.last.contains(&Answer::Served);
        let every = if is_served { ONE_SECOND } else { trickles_every(rate) };
        if self.credits < ENOUGH {
            let earned = self.admitted_at.map_or(1, |at| earned(at, now, every));
            self.credits += f64::from(earned);
        }
        let is_admitted = self.credits >= 1.0;
        if is_admitted {
            self.credits -= 1.0;
            self.admitted_at = Some(now);
        }
        is_admitted
    }

    fn good_in_a_row(&self) -> usize {
        self.last.iter().rev().take_while(|answer| **answer == Answer::Served).count()
    }
}

/// Returns the credits that a provider earns that was not asked since `at`: one for each `every`. Where the clock was set
/// back, it is one.
fn earned(at: Timestamp, now: Timestamp, every: Duration) -> u32 {
    if now < at {
        return 1;
    }
    let unasked = at.until(now).min(LONGEST_UNASKED);
    // At most ten seconds by the millisecond, so it fits.
    (unasked.as_millis() / every.as_millis().max(1)) as u32
}

/// Returns after how long without a call one is let through, where there are `rate` calls a second and none is served.
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
    fn two_good_answers_end_a_failure_and_not_a_refusal() {
        let mut down = after(&[(Failed, 40), (Served, 1)]);
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
        let credits = room.credits;
        room.record(Served, By::Share, "a");
        assert!((room.credits - credits.min(MOST_CREDITS)).abs() < 0.3);
        (0..40).for_each(|_| room.record(Refused, By::Share, "a"));
        assert!(room.credits.abs() < f64::EPSILON, "and it owes nothing: {}", room.credits);
        assert!(room.admit(5.0, "a", NOW), "one a second goes there in any case");
        assert!(!room.admit(5.0, "a", NOW));
    }

    #[test]
    fn a_clock_that_was_set_back_lets_one_call_through() {
        let mut room = after(&[(Failed, 32)]);
        assert!(room.admit(3.0, "a", NOW) && !room.admit(3.0, "a", NOW));
        let before = NOW.minus(Duration::from_secs(600));
        assert!(room.admit(3.0, "a", before) && !room.admit(3.0, "a", before));
    }

    #[test]
    fn what_one_accounts_calls_met_keeps_no_other_account_away() {
        let mut room = after(&[(Served, 4), (Failed, 8)]);
        assert!(!room.is_free_for("a") && room.is_free_for("b"));
        room.record(Failed, By::Room, "b");
        assert!(!room.is_free_for("b") && !room.is_free_for("c"), "two accounts are enough");
        room.record(Served, By::Room, "c");
        room.record(Served, By::Room, "c");
        assert!(room.is_free_for("a"));
        (0..8).for_each(|_| room.record(Failed, By::Room, "b"));
        assert!(!room.is_free_for("b") && room.is_free_for("a"), "what was before is over");
    }
}
