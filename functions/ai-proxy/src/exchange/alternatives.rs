//! The providers that are left for a call after an attempt. No I/O.

use levee::breaker::{Entry, Mode, ProviderStatus, Target};

/// Other providers that may serve a call after this attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Alternatives {
    /// No other provider is left.
    Nobody,
    /// Only providers that take single calls, and may refuse this one. An attempt is given up for them only if its
    /// provider is failing.
    OnProbation,
    /// At least one provider takes the call.
    Somebody,
}

impl Alternatives {
    /// Classifies the providers of `stops`, the rest of the route, by their `standings`.
    pub(super) fn from_targets(stops: &[Target], standings: &[ProviderStatus]) -> Self {
        let takes = |stop: &Target| {
            let ProviderStatus { state, has_room, .. } = &standings[stop.provider];
            match stop.entry {
                Entry::Free => true,
                Entry::Room => *has_room && matches!(state.mode, Mode::Closed | Mode::Shed | Mode::Ramp),
                Entry::Probe | Entry::Pause | Entry::LastPause => false,
            }
        };
        match stops {
            [] => Self::Nobody,
            _ if stops.iter().any(takes) => Self::Somebody,
            _ => Self::OnProbation,
        }
    }
}
