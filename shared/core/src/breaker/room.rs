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
//! | otherwise | one for each credit: a good answer earns 1.2, and at most 16 are kept |
//! | no credit is left | one a second since a call was let through last; while nothing at all is served, a tenth of all calls where that is more |
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
/// The most credits that are kept.
const MOST_CREDITS: f64 = 16.0;
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

/// The calls that a provider lately had room for.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Room {
    /// Oldest first.
    last: VecDeque<Answer>,
    credits: f64,
    /// The moment at which a call was last let through.
    admitted_at: Option<Timestamp>,
}

impl Room {
    /// Records an answer.
    pub fn record(&mut self, answer: Answer) {
        if self.last.len() == REMEMBERED {
            self.last.pop_front();
        }
        self.last.push_back(answer);
        if answer == Answer::Served {
            self.credits = MOST_CREDITS.min(self.credits + EARNED);
        }
    }

    /// Returns whether every call may go there.
    pub fn is_free(&self) -> bool {
        let lately = self.last.iter().rev().take(LATELY);
        let failed = lately.clone().filter(|answer| **answer != Answer::Served).count();
        let is_refused = self.last.contains(&Answer::Refused);
        !is_refused && (self.good_in_a_row() >= RECOVERED || failed * 2 <= lately.count())
    }

    /// Decides whether one more call may go there at `now`, where there are `rate` calls a second.
    pub fn admit(&mut self, rate: f64, now: Timestamp) -> bool {
        if self.is_free() {
            return true;
        }
        // Some that are served earn more calls; where there are none, a few more find out sooner.
        let is_served = self.last.contains(&Answer::Served);
        let every = if is_served { ONE_SECOND } else { trickles_every(rate) };
        let is_due = self.admitted_at.is_none_or(|at| at.until(now) >= every || now < at);
        let has_credit = self.credits >= 1.0;
        if has_credit {
            self.credits -= 1.0;
        }
        if has_credit || is_due {
            self.admitted_at = Some(now);
        }
        has_credit || is_due
    }

    fn good_in_a_row(&self) -> usize {
        self.last.iter().rev().take_while(|answer| **answer == Answer::Served).count()
    }
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
        each.for_each(|answer| room.record(answer));
        room
    }

    #[test]
    fn a_provider_of_which_nothing_bad_is_known_has_room_for_all() {
        assert!(after(&[]).is_free() && after(&[(Served, 40)]).is_free());
        assert!(after(&[(Served, 40), (Failed, 1)]).is_free(), "one in a hundred calls fails in health");
        let mut half = Room::default();
        for _ in 0..40 {
            half.record(Failed);
            half.record(Served);
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
                let is_admitted = room.admit(rate, *now);
                if is_admitted {
                    room.record(Failed);
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
        down.record(Served);
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
                if room.admit(50.0, NOW.plus(Duration::from_millis(second * 1_000 + call * 20))) {
                    let answer = if left > 0 { Served } else { Refused };
                    left -= i32::from(left > 0);
                    room.record(answer);
                    (served, asked) = (served + u32::from(answer == Served), asked + 1);
                }
            }
        }
        assert!(served >= 15 * 55, "{served} of 900 served");
        assert!(f64::from(asked) <= f64::from(served) * 1.3, "{asked} asked, {served} served");
    }
}
