//! One line on standard error for each step of the start.

use std::{fmt::Display, time::Instant};

/// Reporter of the steps of the start and their durations.
pub(crate) struct Progress {
    step: Instant,
}

impl Progress {
    pub(crate) fn begin() -> Self {
        Self { step: Instant::now() }
    }

    /// Reports the end of a step, which began with the previous call.
    pub(crate) fn done(&mut self, what: &str, detail: impl Display) {
        eprintln!("  {what:<12} {:>5} ms  {detail}", self.step.elapsed().as_millis());
        self.step = Instant::now();
    }
}
