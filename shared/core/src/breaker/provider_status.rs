//! The status of a provider, as read at the start of a call.

use std::time::Duration;

use super::state::BreakerState;
use crate::clock::Timestamp;

/// Maximum age of a served call that counts as proof that the provider works.
pub const SERVED_LATELY: Duration = Duration::from_secs(10);

/// Status of a provider for one call.
#[derive(Debug, Clone)]
pub struct ProviderStatus {
    /// Decision about the provider.
    pub state: BreakerState,
    /// AI calls a second to all providers together, as far as known.
    pub rate: f64,
    /// Time within which 19 of 20 calls of this class ended or, for streams, had their first content. `None` while
    /// too few calls are known.
    pub late_after: Option<Duration>,
    /// Recent time to the first content of streams.
    pub first_content: Option<Duration>,
    /// True if environments share their results at the moment. If not, no decisions are made.
    pub is_shared: bool,
    /// True if this environment's own breaker keeps it away from the provider.
    pub is_away: bool,
    /// True if the provider recently had room for all calls, however small its share is.
    pub has_room: bool,
    /// Pause that the provider asked for, if it has served no call since.
    pub pause: Option<Pause>,
    /// True if the provider served another account's call within [`SERVED_LATELY`].
    pub served_another: bool,
    /// Time at which this status was read.
    pub now: Timestamp,
}

/// Pause that a provider asked for (`Retry-After`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pause {
    /// End of the pause.
    pub until: Timestamp,
    /// True if a call should be sent in spite of the pause, to check that it still applies.
    pub is_probe_due: bool,
    /// True if this account may call the provider if no other one is left: the provider announced the pause to other
    /// accounts only, and such a call is due.
    pub may_ask: bool,
}
