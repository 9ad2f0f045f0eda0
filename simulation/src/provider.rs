//! The provider, and how it is sick.

use rand::RngExt;
use rand::rngs::SmallRng;
use rand_distr::{Distribution, LogNormal};

/// From so many seconds on a call is too slow to be good.
pub const SLOW: f64 = 8.0;
/// After so many seconds a call is given up.
pub const TIMEOUT: f64 = 30.0;
/// When the provider falls ill, seconds.
pub const FALLS_ILL: f64 = 300.0;

/// The median of a call's latency, seconds.
const MEDIAN: f64 = 2.0;
/// The spread of its logarithm.
const SPREAD: f64 = 0.5;
/// How many calls fail in health.
const ERRORS: f64 = 0.01;
/// How long a failure takes, seconds.
const FAILS_IN: f64 = 0.3;
/// How long a provider that is over its capacity takes to say so, seconds.
const OVERLOADED_IN: f64 = 0.5;

/// What becomes of the provider.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scenario {
    /// Nothing.
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
    /// All calls fail for 120 s; then the capacity comes back from 10 % to 100 % within 180 s.
    LimitedRecovery,
}

impl Scenario {
    /// All of them.
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

    /// Its name in tables.
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

    /// When the provider is well again, seconds.
    pub fn is_well_from(self) -> f64 {
        match self {
            Self::Healthy => FALLS_ILL,
            Self::Blip => FALLS_ILL + 3.0,
            Self::Outage | Self::Hang => FALLS_ILL + 120.0,
            Self::Errors | Self::Slow | Self::Flapping | Self::LimitedRecovery => FALLS_ILL + 300.0,
        }
    }

    /// What becomes of a call that is made at `at`, while the provider gets `load` of the `rate` calls a second that
    /// there are: its latency in seconds, and whether it fails.
    pub(crate) fn call(self, at: f64, load: f64, rate: f64, rng: &mut SmallRng) -> (f64, bool) {
        let spread: f64 = LogNormal::new(0.0, SPREAD).map_or(1.0, |spread| spread.sample(rng));
        let latency = MEDIAN * spread;
        let well = (latency, rng.random::<f64>() < ERRORS);
        if !(FALLS_ILL..self.is_well_from()).contains(&at) {
            return well;
        }
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
                let capacity = rate * (0.1 + 0.9 * (since - 120.0) / 180.0);
                let beyond = (load - capacity) / load.max(1e-9);
                let is_refused = load > capacity * 1.1 && rng.random::<f64>() < beyond + 0.2;
                if is_refused { (OVERLOADED_IN, true) } else { well }
            }
            Self::Flapping => well,
        }
    }
}
