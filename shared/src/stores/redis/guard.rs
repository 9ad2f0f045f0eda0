//! The guard that limits the cost of an outage: it decides which uses may try Redis. No I/O.

use std::time::Duration;

use tokio::time::Instant;

/// Pause before the first probe after a failure; doubled by each failed probe.
const FIRST_PROBE_AFTER: Duration = Duration::from_secs(2);
/// Longest pause between probes.
const LAST_PROBE_AFTER: Duration = Duration::from_secs(30);

/// Circuit breaker for Redis. While it is closed, every use may try. While it is open, one use in each pause may try.
#[derive(Debug, Default)]
pub(super) struct Guard {
    /// Time of the next probe, and the pause after it. `None` while the guard is closed.
    open: Option<(Instant, Duration)>,
}

/// Kind of an admitted use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Turn {
    /// The guard was closed.
    Regular,
    /// The guard was open; the result of this use decides if it closes.
    Probe,
}

impl Guard {
    /// Admits a use, or returns `None`. While the guard is open, one use is admitted after each pause.
    pub(super) fn admit(&mut self, now: Instant) -> Option<Turn> {
        match &mut self.open {
            None => Some(Turn::Regular),
            Some((probe_at, _)) if now < *probe_at => None,
            Some((probe_at, pause)) => {
                *probe_at = now + *pause;
                Some(Turn::Probe)
            }
        }
    }

    /// Opens the guard after a failure, or doubles the pause after a failed probe. Returns true if it was closed
    /// before. Later failures of uses that were admitted before it opened change nothing.
    pub(super) fn open(&mut self, turn: Turn, now: Instant) -> bool {
        let pause = match (self.open, turn) {
            (None, _) => FIRST_PROBE_AFTER,
            (Some(_), Turn::Regular) => return false,
            (Some((_, pause)), Turn::Probe) => (pause * 2).min(LAST_PROBE_AFTER),
        };
        self.open.replace((now + pause, pause)).is_none()
    }

    /// Closes the guard after an answer. Returns true if it was open before.
    pub(super) fn close(&mut self) -> bool {
        self.open.take().is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_open_guard_lets_one_probe_through_per_pause_and_backs_off_to_thirty_seconds() {
        let start = Instant::now();
        let mut guard = Guard::default();
        assert_eq!(guard.admit(start), Some(Turn::Regular));
        assert!(guard.open(Turn::Regular, start));

        let mut now = start;
        for pause in [2, 4, 8, 16, 30, 30] {
            let pause = Duration::from_secs(pause);
            assert_eq!(guard.admit(now + pause - Duration::from_millis(1)), None, "no probe before {pause:?}");
            now += pause;
            assert_eq!(guard.admit(now), Some(Turn::Probe), "one probe after {pause:?}");
            assert_eq!(guard.admit(now), None, "and only one");
            assert!(!guard.open(Turn::Probe, now), "it was open already");
        }
        assert!(guard.close());
        assert_eq!(guard.admit(now), Some(Turn::Regular));
    }

    #[test]
    fn failures_of_uses_that_began_together_lengthen_no_pause() {
        let start = Instant::now();
        let mut guard = Guard::default();
        assert!(guard.open(Turn::Regular, start));
        assert!(!guard.open(Turn::Regular, start));
        assert_eq!(guard.admit(start + FIRST_PROBE_AFTER), Some(Turn::Probe));
    }
}
