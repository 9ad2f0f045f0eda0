//! How long a call is waited for, by how long such calls take. No I/O.

use std::time::Duration;

/// A call that is back within this is never late, however quick others are.
const NEVER_LATE: Duration = Duration::from_secs(1);
/// Between these bounds a stream's first content is slow, where that has not come after 2.5 times as long as 19 of 20 take.
const SLOW_FIRST_CONTENT: (Duration, Duration) = (Duration::from_secs(4), Duration::from_secs(12));
/// An answer that is not streamed is never slow before this.
const SLOW_WHOLE: Duration = Duration::from_secs(10);
const SLOW: f64 = 2.5;
/// An answer that is not streamed is given up, where another provider may serve it, after so many times as long as 19 of 20
/// take, and never before [`LEAST_WHOLE`].
const HOPELESS: f64 = 4.0;
const LEAST_WHOLE: Duration = Duration::from_secs(30);

/// What a call waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Awaited {
    /// The first content of a stream.
    FirstContent,
    /// All of an answer.
    Whole,
}

/// The class of calls whose latencies are alike: by model, and streams by the size of the prompt, others by how much they may
/// answer.
pub fn class(awaited: Awaited, model: &str, body_bytes: usize, max_tokens: Option<u64>) -> String {
    match awaited {
        Awaited::FirstContent => {
            let size = [4, 32, 256].into_iter().filter(|kib| body_bytes > kib * 1024).count();
            format!("stream:{model}:{size}")
        }
        Awaited::Whole => {
            let size =
                [256, 1_024, 4_096].into_iter().filter(|most| max_tokens.is_none_or(|asked| asked > *most)).count();
            format!("whole:{model}:{size}")
        }
    }
}

/// When what.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Patience {
    /// Then the call is late: 19 of 20 used to be back. `None` while that is not known.
    pub late_after: Option<Duration>,
    /// Then it counts as bad. `None` where only the longest wait does.
    pub slow_after: Option<Duration>,
    /// Then it is given up, if another provider may serve it; `None`: at half of the time that is left.
    pub hopeless_after: Option<Duration>,
}

impl Patience {
    /// For what is waited for, of which 19 of 20 take `usual`; a stream that another provider may serve is given up after
    /// `failover_after`.
    pub fn new(awaited: Awaited, usual: Option<Duration>, failover_after: Duration) -> Self {
        let late_after = usual.map(|usual| usual.max(NEVER_LATE));
        match awaited {
            Awaited::FirstContent => {
                let (least, most) = SLOW_FIRST_CONTENT;
                let slow = usual.map_or(most, |usual| usual.mul_f64(SLOW).clamp(least, most));
                Self { late_after, slow_after: Some(slow), hopeless_after: Some(failover_after) }
            }
            Awaited::Whole => Self {
                late_after,
                slow_after: usual.map(|usual| usual.mul_f64(SLOW).max(SLOW_WHOLE)),
                hopeless_after: usual.map(|usual| usual.mul_f64(HOPELESS).max(LEAST_WHOLE)),
            },
        }
    }

    /// How long to wait of the `left` that all providers have together, where another one may serve the call.
    pub fn of(self, left: Duration) -> Duration {
        self.hopeless_after.unwrap_or(left / 2).min(left)
    }
}
