//! The rate of calls to all providers together, as breakers measure it.

use std::collections::VecDeque;

/// Time over which calls are counted, in seconds.
const OVER: f64 = 20.0;

/// Arrival times of recent calls.
#[derive(Debug, Clone, Default)]
pub(crate) struct Rate(VecDeque<f64>);

impl Rate {
    /// Counts a call that arrives at `at`.
    pub(crate) fn count(&mut self, at: f64) {
        self.0.push_back(at);
        while self.0.front().is_some_and(|then| *then < at - OVER) {
            self.0.pop_front();
        }
    }

    /// Returns the calls a second at the time of the last counted one.
    pub(crate) fn a_second(&self) -> f64 {
        self.0.len() as f64 / OVER
    }
}
