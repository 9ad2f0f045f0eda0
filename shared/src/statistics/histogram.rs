//! Histogram of the used share of a limit: one sample per span of time with calls.

use std::ops::Add;

use serde::{Deserialize, Serialize};

use crate::clock::Timestamp;
use crate::limits::Window;

/// Number of buckets: ten of a tenth of the limit each, and one for use above the limit. A bucket includes its upper
/// bound, so that a limit that is used up exactly is in the tenth one.
pub const BUCKETS: usize = 11;

/// Samples of the used share of a limit, by tenths of the limit.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Histogram(pub [u64; BUCKETS]);

/// Span of time that is one sample of a histogram: the window of a limit, but at least a minute and at most a day.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Span {
    /// Start, Unix seconds.
    pub start: u64,
    /// Sum of the weights of calls that passed in the span.
    pub used: u64,
    /// Sum of the weights of calls that the policy refused in the span.
    #[serde(default)]
    pub refused: u64,
}

impl Histogram {
    /// Adds `span` of a policy with this limit and window. The limit is scaled to the span's length.
    pub fn sample(&mut self, span: Span, limit: u64, window: Window) {
        let window_secs = window.secs(Timestamp::from_secs(span.start));
        let of_limit = u128::from(span.used) * u128::from(window_secs) * 10;
        let whole = (u128::from(limit) * u128::from(span_window(window).secs(Timestamp::from_secs(span.start)))).max(1);
        let bucket = usize::try_from(of_limit.div_ceil(whole).saturating_sub(1)).unwrap_or(BUCKETS);
        if let Some(samples) = self.0.get_mut(bucket.min(BUCKETS - 1)) {
            *samples = samples.saturating_add(1);
        }
    }
}

impl Add for Histogram {
    type Output = Self;

    fn add(mut self, other: Self) -> Self {
        for (mine, theirs) in self.0.iter_mut().zip(other.0) {
            *mine = mine.saturating_add(theirs);
        }
        self
    }
}

/// Returns the window whose spans are the samples of a policy with `window`.
pub(super) fn span_window(window: Window) -> Window {
    let Window::Secs(day) = Window::DAY else { return window };
    match window {
        Window::Secs(secs) => Window::Secs(secs.clamp(60, day)),
        Window::Month => Window::DAY,
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case(1, 100, Window::MINUTE, 0)]
    #[case(10, 100, Window::MINUTE, 0)]
    #[case(11, 100, Window::MINUTE, 1)]
    #[case(100, 100, Window::MINUTE, 9)]
    #[case(101, 100, Window::MINUTE, 10)]
    #[case(u64::MAX, 1, Window::MINUTE, 10)]
    // 10 a second are 600 a minute, and 3,100 in a month of 31 days are 100 a day.
    #[case(300, 10, Window::Secs(1), 4)]
    #[case(50, 3_100, Window::Month, 4)]
    #[case(50, 700, Window::Secs(7 * 24 * 3600), 4)]
    fn a_span_is_a_sample_of_the_limit_scaled_to_its_length(
        #[case] used: u64,
        #[case] limit: u64,
        #[case] window: Window,
        #[case] bucket: usize,
    ) {
        // 1 May 2026.
        let mut histogram = Histogram::default();
        histogram.sample(Span { start: 1_777_593_600, used, refused: 0 }, limit, window);
        assert_eq!(histogram.0.iter().position(|samples| *samples == 1), Some(bucket));
    }
}
