//! Limits the calls to a provider while no other one can take them. No I/O.
//!
//! A share says which provider is asked first. If no other provider is left, its recent answers decide instead of the
//! share: a provider that has recovered gets all calls within seconds, and one that is down gets a trickle that shows
//! its recovery. This is admission control as in TCP's slow start (RFC 5681) and in the client-side throttling of
//! Google's "Site Reliability Engineering" (chapter 21), on results that all environments share:
//!
//! | last answers | calls let through |
//! | --- | --- |
//! | none known; or no refusal among them, and the last one, or half of the last eight, were good | all |
//! | bad answers of at most three accounts since the rule above last held | all calls of other accounts |
//! | otherwise | one for each credit |
//!
//! Credits are earned in two ways:
//!
//! - A good answer earns 1.2, up to 16.
//! - Time without a call that a credit let through earns one a second, or a tenth of all calls if that is more, for ten
//!   seconds at most. It earns nothing while two credits are left. After a refusal it earns one a second, and nothing
//!   while one credit is left.
//!
//! So a provider that is down is asked once a second, or by a tenth of all calls. One that was not asked for a while
//! gets up to a second's calls at once: its answers are old, and the callers have no other provider. Every call that
//! was let through by another rule costs a credit too, if there is one, as soon as it is answered: it uses the same
//! capacity. A few accounts' calls may be at fault themselves, so their bad answers do not block other accounts.
//!
//! A **refusal** is a provider's answer that it gets too many calls (429, 529). One refusal among the last 32 answers
//! is enough for the rules above: a provider at the edge of its capacity serves most calls, and is asked a fifth more
//! than it serves. If that is less than a call a second, it is asked once a second.
//!
//! `mirror/standing.lua` and `mirror/admit.lua` implement the same rules in Redis; a test drives both.

use std::collections::VecDeque;
use std::time::Duration;

use crate::clock::Timestamp;

/// Largest number of accounts whose bad answers may be their own calls' fault.
const FEW: usize = 3;
/// Answers that are kept.
const REMEMBERED: usize = 32;
/// Last answers of which half may be bad.
const LATELY: usize = 8;
/// Credits that a good answer earns.
const EARNED: f64 = 1.2;
/// Upper bound of the credits that good answers earn.
const MOST_CREDITS: f64 = 16.0;
/// Credits from which on time earns no more. Two allow two calls at the same moment, each to several providers in
/// turn, without one taking the other's credit.
const ENOUGH: f64 = 2.0;
/// Longest time without a call that earns credits.
const LONGEST_UNASKED: Duration = Duration::from_secs(10);
/// Part of all calls that time earns credits for; at least one credit a second.
const TRICKLE: f64 = 0.1;
const ONE_SECOND: Duration = Duration::from_secs(1);

/// Answer of a provider to a call, as far as room is concerned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Answer {
    /// The provider served the call.
    Served,
    /// The provider failed, or gave no answer.
    Failed,
    /// The provider refused the call because it gets too many.
    Refused,
}

impl Answer {
    /// Returns the letter that stands for the answer in Redis.
    pub const fn letter(self) -> &'static str {
        match self {
            Self::Served => "g",
            Self::Failed => "f",
            Self::Refused => "r",
        }
    }
}

/// Rule that let a call through.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum By {
    /// The provider's share, or room for all calls; also a call in spite of a pause that the provider asked for.
    #[default]
    Share,
    /// A probe slot.
    Probe,
    /// A credit of the provider's room.
    Room,
}

impl By {
    /// Returns the word that stands for the rule in scripts.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Share => "share",
            Self::Probe => "probe",
            Self::Room => "room",
        }
    }
}

/// Accounts with bad answers since the provider last had room for all calls: a few by name, or many.
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

    /// Returns true if accounts other than `account` got bad answers, and these accounts are few.
    fn are_others_than(&self, account: &str) -> bool {
        match self {
            Self::Few(accounts) => !accounts.is_empty() && accounts.iter().all(|one| one != account),
            Self::Many => false,
        }
    }
}

/// Recent capacity of a provider: its last answers, and credits for further calls.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Room {
    /// Last answers, oldest first.
    last: VecDeque<Answer>,
    spoilers: Spoilers,
    credits: f64,
    /// Time of the last call that a credit let through.
    admitted_at: Option<Timestamp>,
}

impl Room {
    /// Records the answer to a call of `account` that was let through by the rule `by`.
    ///
    /// A call that a credit let through has paid for it already. Any other call pays now, if there is a credit: it
    /// uses the same capacity.
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
        // Once there is room for all calls again, earlier bad answers of single accounts no longer matter.
        if self.is_free() {
            self.spoilers = Spoilers::default();
        } else if answer != Answer::Served {
            self.spoilers.add(account);
        }
    }

    /// Returns true if all calls of `account` may go to the provider, even if a few other accounts got bad answers.
    pub fn is_free_for(&self, account: &str) -> bool {
        self.is_free() || self.spoilers.are_others_than(account)
    }

    /// Returns true if all calls may go to the provider.
    fn is_free(&self) -> bool {
        let lately = self.last.iter().rev().take(LATELY);
        let failed = lately.clone().filter(|answer| **answer != Answer::Served).count();
        let is_served = self.last.back().is_none_or(|answer| *answer == Answer::Served);
        !self.is_refusing() && (is_served || failed * 2 <= lately.count())
    }

    fn is_refusing(&self) -> bool {
        self.last.contains(&Answer::Refused)
    }

    /// Decides if one more call of `account` may go to the provider at `now`, at `rate` calls a second in all. The
    /// call costs a credit, unless all calls of the account may go there.
    pub fn admit(&mut self, rate: f64, account: &str, now: Timestamp) -> bool {
        if self.is_free_for(account) {
            return true;
        }
        // A provider at its capacity gets calls by its good answers; one that is down gets a trickle.
        let every = if self.is_refusing() { ONE_SECOND } else { trickles_every(rate) };
        // Credits left from a time long ago say nothing about the provider now.
        let unasked = self.admitted_at.map_or(Duration::ZERO, |at| at.until(now));
        if unasked >= LONGEST_UNASKED {
            self.credits = self.credits.min(ENOUGH);
        }
        // A provider at its capacity earns credits by its good answers, so time adds no second one.
        let enough = if self.is_refusing() { 1.0 } else { ENOUGH };
        // The first call is due at once, and so is the first one after the clock was set back.
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

/// Returns the credits for the time `unasked` without a call: one for each `every`.
fn earned(unasked: Duration, every: Duration) -> u32 {
    // At most ten seconds in milliseconds, so it fits.
    (unasked.min(LONGEST_UNASKED).as_millis() / every.as_millis().max(1)) as u32
}

/// Returns the time without a call that earns a credit, at `rate` calls a second in all and without refusals.
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
