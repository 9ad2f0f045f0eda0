//! The provider and its faults.

use rand::RngExt;
use rand::rngs::SmallRng;
use rand_distr::{Distribution, LogNormal};

/// Duration above which a call is too slow to be good, in seconds.
pub const SLOW: f64 = 8.0;
/// Time-out of a call, in seconds.
pub const TIMEOUT: f64 = 30.0;
/// Start of the fault, in seconds.
pub const FALLS_ILL: f64 = 300.0;

/// Median latency of a call, in seconds.
const MEDIAN: f64 = 2.0;
/// Standard deviation of the latency's logarithm.
const SPREAD: f64 = 0.5;
/// Ratio of calls that fail in health.
const ERRORS: f64 = 0.01;
/// Latency of a failure, in seconds.
const FAILS_IN: f64 = 0.3;
/// Latency of a refusal by a provider over its capacity, in seconds.
const OVERLOADED_IN: f64 = 0.5;

/// Fault of the provider.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scenario {
    /// No fault.
    Healthy,
    /// All calls fail for 3 s.
    Blip,
    /// All calls fail for 120 s.
    Outage,
    /// All calls hang for 120 s.
    Hang,
    /// 40 % of the calls fail for 300 s.
    Errors,
    /// All calls take six times as long for 300 s.
    Slow,
    /// All calls fail for 20 s, and none for the next 20 s, for 300 s.
    Flapping,
    /// All calls fail for 120 s; then the capacity grows from 10 % to 100 % within 180 s.
    LimitedRecovery,
}

impl Scenario {
    /// All scenarios.
    pub const ALL: [Self; 8] = [
        Self::Healthy,
        Self::Blip,
        Self::Outage,
        Self::Hang,
        Self::Errors,
        Self::Slow,
        Self::Flapping,
        Self::LimitedRecovery,
    ];

    /// Returns the name in tables.
    pub fn name(self) -> &'static str {
        match self {
            Self::Healthy => "healthy",
            Self::Blip => "blip, 3 s",
            Self::Outage => "outage, 120 s",
            Self::Hang => "hang, 120 s",
            Self::Errors => "40 % errors, 300 s",
            Self::Slow => "6 x slow, 300 s",
            Self::Flapping => "flapping, 300 s",
            Self::LimitedRecovery => "limited recovery",
        }
    }

    /// Returns the end of the fault, in seconds.
    pub fn is_well_from(self) -> f64 {
        match self {
            Self::Healthy => FALLS_ILL,
            Self::Blip => FALLS_ILL + 3.0,
            Self::Outage | Self::Hang => FALLS_ILL + 120.0,
            Self::Errors | Self::Slow | Self::Flapping | Self::LimitedRecovery => FALLS_ILL + 300.0,
        }
    }

    /// Returns the latency in seconds of a call at `at`, and true if it fails. `load` is the provider's present rate
    /// of calls, of `rate` calls a second in all.
    pub(crate) fn call(self, at: f64, load: f64, rate: f64, rng: &mut SmallRng) -> (f64, bool) {
        // Latency and failures in health.
        let spread: f64 = LogNormal::new(0.0, SPREAD).map_or(1.0, |spread| spread.sample(rng));
        let latency = MEDIAN * spread;
        let well = (latency, rng.random::<f64>() < ERRORS);
        if !(FALLS_ILL..self.is_well_from()).contains(&at) {
            return well;
        }
        // Deviations from that during the fault.
        let since = at - FALLS_ILL;
        match self {
            Self::Healthy => well,
            Self::Blip | Self::Outage => (FAILS_IN, true),
            Self::Hang => (TIMEOUT, true),
            Self::Errors => (latency, rng.random::<f64>() < 0.4),
            Self::Slow => (latency * 6.0, well.1),
            Self::Flapping if (since / 20.0).rem_euclid(2.0) < 1.0 => (FAILS_IN, true),
            Self::LimitedRecovery if since < 120.0 => (FAILS_IN, true),
            Self::LimitedRecovery => {
                // Refuse about as many calls as exceed the capacity, and a few more.
                let capacity = rate * (0.1 + 0.9 * (since - 120.0) / 180.0);
                let beyond = (load - capacity) / load.max(1e-9);
                let is_refused = load > capacity * 1.1 && rng.random::<f64>() < beyond + 0.2;
                if is_refused { (OVERLOADED_IN, true) } else { well }
            }
            Self::Flapping => well,
        }
    }
}
