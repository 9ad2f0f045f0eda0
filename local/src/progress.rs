//! One line on standard error for each step of the start.

use std::{fmt::Display, time::Instant};

/// Tells what was started and how long it took.
pub(crate) struct Progress {
    step: Instant,
}

impl Progress {
    pub(crate) fn begin() -> Self {
        Self { step: Instant::now() }
    }

    /// The step that began with the last call has ended.
    pub(crate) fn done(&mut self, what: &str, detail: impl Display) {
        eprintln!("  {what:<12} {:>5} ms  {detail}", self.step.elapsed().as_millis());
        self.step = Instant::now();
    }
}
