//! Deadlines of one attempt, derived from the usual latency of calls like it. No I/O.
//!
//! The usual latency is the 95th percentile of a class of calls: 19 of 20 are back by then.

use std::time::Duration;

/// Latency up to which a call is never late, however quick other calls are.
const NEVER_LATE: Duration = Duration::from_secs(1);
/// Least and greatest time after which a stream without content is slow. Between them it is [`SLOW`] times the usual
/// latency.
const SLOW_FIRST_CONTENT: (Duration, Duration) = (Duration::from_secs(4), Duration::from_secs(12));
/// Least times for a stream to be slow and to be given up, as multiples of the usual latency. They keep a class that
/// is always slow from counting as failing.
const LEAST_FIRST_CONTENT: (f64, f64) = (1.25, 1.5);
/// Least time after which an answer that is not streamed is slow.
const SLOW_WHOLE: Duration = Duration::from_secs(10);
/// Multiple of the usual latency after which an attempt is slow.
const SLOW: f64 = 2.5;
/// Multiple of the usual latency after which an answer that is not streamed is given up, if another provider may serve
/// the call. Never less than [`LEAST_WHOLE`].
const HOPELESS: f64 = 4.0;
const LEAST_WHOLE: Duration = Duration::from_secs(30);

/// Part of an answer that a call waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ResponseMode {
    /// The first content of a stream.
    FirstContent,
    /// The whole answer.
    Whole,
}

/// Returns the latency class of a call: by model, for streams also by the size of the body (4, 32, 256 KiB), for other
/// calls by `max_tokens` (256, 1,024, 4,096).
pub fn class(awaited: ResponseMode, model: &str, body_bytes: usize, max_tokens: Option<u64>) -> String {
    match awaited {
        ResponseMode::FirstContent => {
            let size = [4, 32, 256].into_iter().filter(|kib| body_bytes > kib * 1024).count();
            format!("stream:{model}:{size}")
        }
        ResponseMode::Whole => {
            let size =
                [256, 1_024, 4_096].into_iter().filter(|most| max_tokens.is_none_or(|asked| asked > *most)).count();
            format!("whole:{model}:{size}")
        }
    }
}

/// Deadlines of one attempt, measured from when the request was sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AttemptDeadlines {
    /// Time after which the attempt is late. `None` while the usual latency is unknown.
    pub late_after: Option<Duration>,
    /// Time after which the attempt counts as bad. `None` if only the longest wait does.
    pub slow_after: Option<Duration>,
    /// Time after which the attempt is given up, if another provider may serve the call. `None` stands for half of the
    /// time left.
    pub hopeless_after: Option<Duration>,
}

impl AttemptDeadlines {
    /// Returns the deadlines for `awaited`, for a class with the latency `usual`. A stream that another provider may
    /// serve is given up after `failover_after`, or later if it usually takes nearly as long.
    pub fn new(awaited: ResponseMode, usual: Option<Duration>, failover_after: Duration) -> Self {
        let late_after = usual.map(|usual| usual.max(NEVER_LATE));
        match awaited {
            ResponseMode::FirstContent => {
                let (least, most) = SLOW_FIRST_CONTENT;
                let (slow_by, hopeless_by) = LEAST_FIRST_CONTENT;
                let times = |by| usual.unwrap_or_default().mul_f64(by);
                let slow = usual.map_or(most, |usual| usual.mul_f64(SLOW).clamp(least, most)).max(times(slow_by));
                let hopeless = failover_after.max(times(hopeless_by));
                Self { late_after, slow_after: Some(slow), hopeless_after: Some(hopeless) }
            }
            ResponseMode::Whole => Self {
                late_after,
                slow_after: usual.map(|usual| usual.mul_f64(SLOW).max(SLOW_WHOLE)),
                hopeless_after: usual.map(|usual| usual.mul_f64(HOPELESS).max(LEAST_WHOLE)),
            },
        }
    }

    /// Returns the deadlines of a call that uses no tokens. It is given up after `failover_after`, and never late or
    /// slow.
    pub fn without_tokens(failover_after: Duration) -> Self {
        Self { late_after: None, slow_after: None, hopeless_after: Some(failover_after) }
    }

    /// Returns the time to wait for one provider, if another one may serve the call and `left` is the time left for
    /// all of them.
    pub fn within(self, left: Duration) -> Duration {
        self.hopeless_after.unwrap_or(left / 2).min(left)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    const FAILOVER: Duration = Duration::from_secs(20);

    fn secs(secs: f64) -> Option<Duration> {
        Some(Duration::from_secs_f64(secs))
    }

    fn deadlines(
        awaited: ResponseMode,
        usual: Option<Duration>,
    ) -> (Option<Duration>, Option<Duration>, Option<Duration>) {
        let AttemptDeadlines { late_after, slow_after, hopeless_after } =
            AttemptDeadlines::new(awaited, usual, FAILOVER);
        (late_after, slow_after, hopeless_after)
    }

    #[test]
    fn streams_are_alike_by_their_prompts_and_other_calls_by_how_much_they_may_answer() {
        let stream = |bytes: usize| class(ResponseMode::FirstContent, "m", bytes, Some(1));
        let sizes = [0, 4 * 1024, 4 * 1024 + 1, 32 * 1024 + 1, 256 * 1024 + 1, usize::MAX].map(stream);
        assert_eq!(sizes, ["stream:m:0", "stream:m:0", "stream:m:1", "stream:m:2", "stream:m:3", "stream:m:3"]);
        let whole = |max_tokens: Option<u64>| class(ResponseMode::Whole, "m", 1, max_tokens);
        let sizes = [Some(0), Some(256), Some(257), Some(1_025), Some(4_097), Some(u64::MAX), None].map(whole);
        assert_eq!(sizes, ["whole:m:0", "whole:m:0", "whole:m:1", "whole:m:2", "whole:m:3", "whole:m:3", "whole:m:3"]);
        assert_ne!(class(ResponseMode::Whole, "n", 1, None), whole(None));
    }

    #[test]
    fn a_model_has_a_handful_of_classes_whatever_is_asked() {
        let classes = (0..64).flat_map(|power| {
            let number = 1_u64 << power;
            let bytes = usize::try_from(number).unwrap();
            [class(ResponseMode::FirstContent, "m", bytes, None), class(ResponseMode::Whole, "m", 0, Some(number))]
        });
        assert_eq!(classes.collect::<BTreeSet<_>>().len(), 8);
    }

    #[test]
    fn a_stream_is_slow_within_bounds_unless_it_usually_takes_longer() {
        use ResponseMode::FirstContent;
        assert_eq!(deadlines(FirstContent, None), (None, secs(12.0), Some(FAILOVER)));
        assert_eq!(deadlines(FirstContent, secs(0.1)), (secs(1.0), secs(4.0), Some(FAILOVER)));
        assert_eq!(deadlines(FirstContent, secs(2.0)), (secs(2.0), secs(5.0), Some(FAILOVER)));
        assert_eq!(deadlines(FirstContent, secs(9.0)), (secs(9.0), secs(12.0), Some(FAILOVER)));
        assert_eq!(deadlines(FirstContent, secs(12.0)), (secs(12.0), secs(15.0), Some(FAILOVER)));
        assert_eq!(deadlines(FirstContent, secs(60.0)), (secs(60.0), secs(75.0), secs(90.0)));
    }

    #[test]
    fn a_whole_answer_is_slow_by_what_is_usual_and_never_while_that_is_not_known() {
        use ResponseMode::Whole;
        assert_eq!(deadlines(Whole, None), (None, None, None));
        assert_eq!(deadlines(Whole, secs(0.1)), (secs(1.0), secs(10.0), secs(30.0)));
        assert_eq!(deadlines(Whole, secs(40.0)), (secs(40.0), secs(100.0), secs(160.0)));
    }

    #[test]
    fn a_call_is_late_before_it_is_slow_and_slow_before_it_is_given_up() {
        for awaited in [ResponseMode::FirstContent, ResponseMode::Whole] {
            for (late, slow, hopeless) in (0..3_000).map(|tenths| deadlines(awaited, secs(f64::from(tenths) / 10.0))) {
                assert!(late <= slow && slow < hopeless, "{late:?} {slow:?} {hopeless:?}");
            }
        }
    }

    #[test]
    fn a_call_that_uses_no_tokens_is_given_up_soon_and_never_judged() {
        let patience = AttemptDeadlines::without_tokens(FAILOVER);
        assert_eq!((patience.late_after, patience.slow_after), (None, None));
        assert_eq!(patience.within(Duration::from_secs(285)), FAILOVER);
    }

    #[test]
    fn who_is_usually_slower_is_waited_for_no_less() {
        for awaited in [ResponseMode::FirstContent, ResponseMode::Whole] {
            let all: Vec<_> = (0..600).map(|tenths| deadlines(awaited, secs(f64::from(tenths) / 10.0))).collect();
            assert!(all.is_sorted_by(|one, next| one.0 <= next.0 && one.1 <= next.1 && one.2 <= next.2));
        }
    }

    #[test]
    fn nobody_is_waited_for_beyond_what_is_left_and_of_the_unknown_half_is_kept() {
        let patience = |awaited, usual| AttemptDeadlines::new(awaited, usual, FAILOVER);
        let left = Duration::from_secs(8);
        assert_eq!(patience(ResponseMode::FirstContent, None).within(left), left);
        assert_eq!(patience(ResponseMode::Whole, secs(1.0)).within(left), left);
        assert_eq!(patience(ResponseMode::Whole, None).within(left), left / 2);
        assert_eq!(patience(ResponseMode::FirstContent, None).within(Duration::from_secs(120)), FAILOVER);
    }
}
