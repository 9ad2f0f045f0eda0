//! Weighs evidence: decides if a provider has become bad, and estimates how bad.
//!
//! The test is a cumulative sum of log-likelihood ratios (Page, "Continuous Inspection Schemes", Biometrika 1954).
//! Each result adds ln(p1/p0) if it is bad and ln((1-p1)/(1-p0)) if it is good, and the sum never falls below 0.
//! Unlike a window it has no length: a fraction of a second of fast traffic is enough, and slow traffic takes the
//! time that it needs. It also dates the change: the results since the sum last was 0 are the sick phase, without the
//! healthy time before. The bad ratio of that phase is estimated by the lower bound of Wilson's interval (Journal of
//! the American Statistical Association, 1927).

use super::evidence::SecondBucket;
use super::state::Share;

/// Quantile of the standard normal distribution for a one-sided 95 % bound.
const Z: f64 = 1.645;

/// Two bad ratios to tell apart, and the threshold of the decision.
#[derive(Debug, Clone, Copy)]
pub(super) struct Test {
    /// Bad ratio of a healthy provider, 0 to 1.
    pub(super) healthy: f64,
    /// Bad ratio of a sick provider, 0 to 1.
    pub(super) sick: f64,
    /// Sum from which on the provider counts as sick.
    pub(super) threshold: f64,
}

/// Result of a [`Test`].
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Suspicion {
    /// True if the sum has reached the threshold.
    pub(super) is_certain: bool,
    /// Lower bound of the bad ratio since the change, 0 to 1.
    pub(super) at_least: f64,
    /// Share of good results since the change.
    pub(super) health: Share,
}

impl Test {
    /// Weighs `seconds`. `count` returns the good and bad results of one second; their order within it does not
    /// matter.
    pub(super) fn weigh(self, seconds: &[SecondBucket], count: impl Fn(&SecondBucket) -> (u32, u32)) -> Suspicion {
        let Self { healthy, sick, threshold } = self;
        let (for_good, for_bad) = (((1.0 - sick) / (1.0 - healthy)).ln(), (sick / healthy).ln());
        let (mut sum, mut results, mut bads) = (0.0, 0, 0);
        for second in seconds {
            let (good, bad) = count(second);
            sum += f64::from(good) * for_good + f64::from(bad) * for_bad;
            (results, bads) = (results + good + bad, bads + bad);
            // At 0 there is no suspicion: the sick phase can only begin after this second.
            if sum <= 0.0 {
                (sum, results, bads) = (0.0, 0, 0);
            }
        }
        Suspicion {
            is_certain: sum >= threshold,
            at_least: bounds(bads, results).0,
            health: Share::without(bads, results),
        }
    }
}

/// Returns the bounds of the bad ratio, each 0 to 1, of which `bad` of `all` is a sample (Wilson's interval,
/// one-sided 95 %).
pub fn bounds(bad: u32, all: u32) -> (f64, f64) {
    if all == 0 {
        return (0.0, 1.0);
    }
    let (bad, all) = (f64::from(bad), f64::from(all));
    let ratio = bad / all;
    let scale = 1.0 + Z * Z / all;
    let middle = ratio + Z * Z / (2.0 * all);
    let spread = Z * (ratio * (1.0 - ratio) / all + Z * Z / (4.0 * all * all)).sqrt();
    (((middle - spread) / scale).max(0.0), ((middle + spread) / scale).min(1.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEST: Test = Test { healthy: 0.1, sick: 0.6, threshold: 8.5 };

    fn weigh(seconds: &[(u32, u32)]) -> Suspicion {
        let second = |(at, (good, bad)): (u64, &(u32, u32))| SecondBucket {
            at,
            good: *good,
            bad: *bad,
            ..SecondBucket::default()
        };
        let seconds: Vec<SecondBucket> = (0..).zip(seconds).map(second).collect();
        TEST.weigh(&seconds, |second| (second.good, second.bad))
    }

    #[test]
    fn five_bad_results_in_a_row_are_enough_and_four_are_not() {
        assert!(weigh(&[(0, 5)]).is_certain);
        assert!(!weigh(&[(0, 4)]).is_certain);
        assert!(weigh(&[(0, 1), (0, 1), (0, 1), (0, 1), (0, 1)]).is_certain, "however slowly they come");
    }

    #[test]
    fn an_hour_of_health_does_not_hide_an_outage_and_is_no_part_of_its_estimate() {
        let mut seconds = vec![(50, 0); 290];
        seconds.push((0, 10));
        let suspicion = weigh(&seconds);
        assert!(suspicion.is_certain && suspicion.at_least > 0.7, "{suspicion:?}");
        assert!(!weigh(&vec![(49, 1); 290]).is_certain);
    }

    #[test]
    fn wilsons_bounds_are_those_of_the_textbook() {
        let (lower, upper) = bounds(5, 10);
        assert!((lower - 0.2693).abs() < 0.001 && (upper - 0.7307).abs() < 0.001, "{lower} {upper}");
        assert_eq!(bounds(0, 0), (0.0, 1.0));
        assert!(bounds(0, 5).1 < 0.36 && bounds(5, 5).0 > 0.64);
    }
}
