//! Source of the current time. Domain code takes a [`Timestamp`] as an argument; only a [`Clock`] asks the system.

use std::path::PathBuf;
use std::time::{SystemTime, UNIX_EPOCH};

pub use levee_core::clock::Timestamp;

use crate::config::Reader;

/// Clock that reads the current time.
#[derive(Debug, Clone)]
pub struct Clock {
    /// File with a whole number of seconds to add to the system's time.
    offset_file: Option<PathBuf>,
}

impl Clock {
    /// Reads the configuration of a function's clock.
    ///
    /// `LEVEE_CLOCK_OFFSET_FILE` (optional, set by the local stack) names a file with a whole number of seconds to add
    /// to the system's time. The file is read at every call, so that a running stack can be moved through time.
    pub fn read(reader: &mut Reader<'_>) -> Self {
        Self { offset_file: reader.optional("LEVEE_CLOCK_OFFSET_FILE").map(PathBuf::from) }
    }

    /// Returns the system's clock.
    pub fn system() -> Self {
        Self { offset_file: None }
    }

    /// Returns the current time.
    pub fn now(&self) -> Timestamp {
        system_now().shifted(self.offset_millis())
    }

    /// Returns the configured offset from the system's clock, in milliseconds. It may be negative.
    pub fn offset_millis(&self) -> i64 {
        let Some(file) = &self.offset_file else { return 0 };
        let secs: i64 = std::fs::read_to_string(file).ok().and_then(|text| text.trim().parse().ok()).unwrap_or(0);
        secs.saturating_mul(1000)
    }
}

#[expect(clippy::disallowed_methods, reason = "this is the one place that asks the system's clock")]
fn system_now() -> Timestamp {
    let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Timestamp::from_millis(0).plus(since_epoch)
}
