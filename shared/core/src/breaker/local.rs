//! The breaker of one environment. It covers faults of that environment alone, such as a bad connection pool: its bad
//! results do not count against the provider until other environments see them too.

use std::time::Duration;

use crate::clock::Timestamp;

/// Consecutive bad results after which the environment stops calling the provider.
const LONGEST_RUN: u32 = 5;
/// Length of the first pause. It doubles with each bad result that follows a pause.
const FIRST_PAUSE: Duration = Duration::from_secs(10);
/// Upper bound of a pause.
const LONGEST_PAUSE: Duration = Duration::from_secs(60);

/// Recent results of one environment at one provider.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Local {
    run: u32,
    pauses: u32,
    away_until: Timestamp,
}

impl Local {
    /// Returns a breaker without any results.
    pub const fn new() -> Self {
        Self { run: 0, pauses: 0, away_until: Timestamp::from_millis(0) }
    }

    /// Records a result. Returns true if it starts a pause; the caller should then discard its connections.
    pub fn record(&mut self, is_good: bool, now: Timestamp) -> bool {
        if is_good {
            *self = Self { away_until: self.away_until, ..Self::new() };
            return false;
        }
        self.run = self.run.saturating_add(1);
        if self.run < LONGEST_RUN {
            return false;
        }
        // The run is not reset: after the pause one bad result starts the next one, one good result clears it.
        let pause = LONGEST_PAUSE.min(FIRST_PAUSE * 2u32.pow(self.pauses.min(8)));
        self.pauses += 1;
        self.away_until = now.plus(pause);
        true
    }

    /// Returns true if calls of this environment may go to the provider.
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
