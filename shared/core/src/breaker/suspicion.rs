//! How evidence is weighed.
//!
//! Whether a provider has *become* bad is asked by a cumulative sum of log-likelihood ratios (Page, "Continuous Inspection
//! Schemes", Biometrika 1954): each result speaks for the sick ratio or for the healthy one by ln(p1/p0) or
//! ln((1-p1)/(1-p0)), and the sum never falls below 0. Against a window it needs no length: of fast traffic a fraction
//! of a second is enough, and of slow traffic it waits. And it knows since when: what came since the sum last was 0 is what
//! the ratio is estimated from, without the healthy time before. That estimate is the lower bound of Wilson's
//! interval (Journal of the American Statistical Association, 1927).

use super::evidence::Second;
use super::state::Share;

/// One-sided 95 %.
const Z: f64 = 1.645;

/// Two ratios to tell apart.
#[derive(Debug, Clone, Copy)]
pub(super) struct Test {
    /// What is healthy.
    pub(super) healthy: f64,
    /// What is sick.
    pub(super) sick: f64,
    /// The sum at which the matter is decided.
    pub(super) threshold: f64,
}

/// What a test comes to.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Suspicion {
    /// It is decided that the provider is sick.
    pub(super) is_certain: bool,
    /// At least so much of what came since then was bad.
    pub(super) at_least: f64,
    /// How much of it went well.
    pub(super) health: Share,
}

impl Test {
    /// Weighs `seconds`, of which `count` says how much was good and how much bad. Within one second nothing is first.
    pub(super) fn weigh(self, seconds: &[Second], count: impl Fn(&Second) -> (u32, u32)) -> Suspicion {
        let Self { healthy, sick, threshold } = self;
        let (for_good, for_bad) = (((1.0 - sick) / (1.0 - healthy)).ln(), (sick / healthy).ln());
        let (mut sum, mut results, mut bads) = (0.0, 0, 0);
        for second in seconds {
            let (good, bad) = count(second);
            sum += f64::from(good) * for_good + f64::from(bad) * for_bad;
            (results, bads) = (results + good + bad, bads + bad);
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

/// Returns the bounds of the ratio that `bad` of `all` are a sample of (Wilson's interval, one-sided 95 %), each 0 to 1.
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
        let second = |(at, (good, bad)): (u64, &(u32, u32))| Second { at, good: *good, bad: *bad, ..Second::default() };
        let seconds: Vec<Second> = (0..).zip(seconds).map(second).collect();
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
