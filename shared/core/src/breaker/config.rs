//! The breaker's constants. They were tuned with `cargo xtask bench breaker`.

use std::time::Duration;

use super::state::Share;

/// Constants that decide how the breaker judges and how fast it moves.
#[derive(Debug, Clone, PartialEq)]
pub struct BreakerConfig {
    /// Length of the first pause without calls. It doubles with every round of probes that fails.
    pub first_pause: Duration,
    /// Upper bound of such a pause, unless the provider asks for a longer one.
    pub longest_pause: Duration,
    /// Longest pause that a provider's Retry-After can ask for.
    pub longest_retry_after: Duration,
    /// Shortest time for which a share is held before it is raised.
    pub dwell: Duration,
    /// Results needed under the present share before it is raised.
    pub results_to_rise: u32,
    /// Time for which a share is held before it is raised on few results or none, provided that none is bad.
    pub quiet_dwell: Duration,
    /// Smallest partial share that the breaker chooses by itself.
    pub smallest_share: Share,
    /// Minimum rate of calls to a provider with a partial share, in calls a second, so that there are results to
    /// judge. Bounded by [`BreakerConfig::largest_floor`].
    pub floor_rate: f64,
    /// Largest share that [`BreakerConfig::floor_rate`] may result in.
    pub largest_floor: Share,
    /// Time after which an opening counts half towards the penalty.
    pub penalty_half_life: Duration,
    /// Environments that must have seen bad results before these count, or all environments if there are fewer.
    pub quorum: u32,
    /// Accounts that must have got bad results before these count, or all accounts that called if there are fewer.
    /// One account's calls may be at fault themselves.
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
            smallest_share: Share::from_basis_points(500),
            floor_rate: 1.0,
            largest_floor: Share::from_basis_points(5_000),
            penalty_half_life: Duration::from_secs(300),
            quorum: 3,
            account_quorum: 2,
        }
    }
}
