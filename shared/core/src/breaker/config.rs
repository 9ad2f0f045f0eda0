//! The breaker's constants. What they were found with is `cargo xtask bench breaker`.

use std::time::Duration;

use super::state::Share;

/// How the breaker judges and how fast it moves.
#[derive(Debug, Clone, PartialEq)]
pub struct BreakerConfig {
    /// How long the first pause without calls is; doubled with every round of probes that fails.
    pub first_pause: Duration,
    /// The longest such pause, unless the provider asks for a longer one.
    pub longest_pause: Duration,
    /// The longest pause that a provider's Retry-After can ask for.
    pub longest_retry_after: Duration,
    /// How long a share is held before it is raised.
    pub dwell: Duration,
    /// How many results of the present share are needed before it is raised.
    pub results_to_rise: u32,
    /// The time a share is held before it is raised on few results, or on none, as long as none is bad.
    pub quiet_dwell: Duration,
    /// A smaller share than this is none.
    pub smallest_share: Share,
    /// Calls a second that a provider gets at least while its share is a part of all, so that there is something to judge
    /// it by; at most [`BreakerConfig::largest_floor`].
    pub floor_rate: f64,
    /// The largest share that [`BreakerConfig::floor_rate`] may come to.
    pub largest_floor: Share,
    /// After so long an opening weighs half.
    pub penalty_half_life: Duration,
    /// How many environments must have seen bad results before they count, or all that there are, if they are fewer.
    pub quorum: u32,
    /// The number of accounts that must have got bad results before they count, or all that called, if fewer: one
    /// caller's calls may be at fault themselves.
    pub account_quorum: u32,
}

impl Default for BreakerConfig {
    fn default() -> Self {
        Self {
            first_pause: Duration::from_secs(5),
            longest_pause: Duration::from_secs(60),
            longest_retry_after: Duration::from_secs(300),
            dwell: Duration::from_secs(10),
            results_to_rise: 10,
            quiet_dwell: Duration::from_secs(30),
            smallest_share: Share::of(500),
            floor_rate: 1.0,
            largest_floor: Share::of(5_000),
            penalty_half_life: Duration::from_secs(300),
            quorum: 3,
            account_quorum: 2,
        }
    }
}
