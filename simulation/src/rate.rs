//! The calls a second to whatever provider, as breakers know it.

use std::collections::VecDeque;

/// The time over which calls are counted, seconds.
const OVER: f64 = 20.0;

/// The calls that came lately.
#[derive(Debug, Clone, Default)]
pub(crate) struct Rate(VecDeque<f64>);

impl Rate {
    /// Counts a call that comes at `at`.
    pub(crate) fn count(&mut self, at: f64) {
        self.0.push_back(at);
        while self.0.front().is_some_and(|then| *then < at - OVER) {
            self.0.pop_front();
        }
    }

    /// Returns the calls a second as of the last one that was counted.
    pub(crate) fn a_second(&self) -> f64 {
        self.0.len() as f64 / OVER
    }
}
