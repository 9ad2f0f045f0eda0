//! An environment's own breaker. It is for what is wrong with the environment alone, such as a connection pool that has gone
//! bad: its bad results do not count as the provider's before others see them too, and until then it helps itself.

use std::time::Duration;

use crate::clock::Timestamp;

/// After so many bad results in a row the environment stays away.
const LONGEST_RUN: u32 = 5;
/// For so long at first; twice as long each time that it then meets another one.
const FIRST_PAUSE: Duration = Duration::from_secs(10);
/// And never for longer than that.
const LONGEST_PAUSE: Duration = Duration::from_secs(60);

/// What one environment has seen of a provider lately.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Local {
    run: u32,
    pauses: u32,
    away_until: Timestamp,
}

impl Local {
    /// Nothing.
    pub const fn new() -> Self {
        Self { run: 0, pauses: 0, away_until: Timestamp::from_millis(0) }
    }

    /// Takes a result. True where the environment stays away from now on: its connections had better be made anew.
    pub fn record(&mut self, is_good: bool, now: Timestamp) -> bool {
        if is_good {
            *self = Self { away_until: self.away_until, ..Self::new() };
            return false;
        }
        self.run = self.run.saturating_add(1);
        if self.run < LONGEST_RUN {
            return false;
        }
        // From here on one good result is enough to begin anew, and one bad one for the next pause.
        let pause = LONGEST_PAUSE.min(FIRST_PAUSE * 2u32.pow(self.pauses.min(8)));
        self.pauses += 1;
        self.away_until = now.plus(pause);
        true
    }

    /// Whether calls of this environment may go to the provider.
    pub fn lets_through(&self, now: Timestamp) -> bool {
        now >= self.away_until
    }
}

impl Default for Local {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn five_bad_results_in_a_row_keep_an_environment_away_for_a_while() {
        let at = Timestamp::from_secs;
        let mut local = Local::new();
        for second in 1..=4 {
            assert!(!local.record(false, at(second)));
        }
        assert!(!local.record(true, at(5)), "a good one in between begins anew");
        assert_eq!((6..=10).map(|second| local.record(false, at(second))).filter(|away| *away).count(), 1);
        assert!(!local.lets_through(at(19)) && local.lets_through(at(20)));
        assert!(local.record(false, at(20)), "still bad: one is enough");
        assert!(!local.lets_through(at(39)) && local.lets_through(at(40)), "and the pause is longer");
        assert!(!local.record(true, at(40)));
        assert!(!local.record(false, at(41)), "one good one is enough too");
    }
}
