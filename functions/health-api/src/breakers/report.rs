//! JSON form of a provider's state and of a decision about it.

use levee::breaker::{BreakerState, Mode, Peek, Reason, Transition};
use levee::clock::Timestamp;
use serde::Serialize;

use crate::snapshot::Moment;

/// State of a provider's breaker.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct BreakerReport {
    /// Name of the provider.
    pub name: String,
    /// `closed`, `shed`, `open`, `probe` or `ramp`; `None` if it could not be read.
    pub mode: Option<Mode>,
    /// Share of the calls that it gets, in percent.
    pub share: Option<f64>,
    /// Part of the ended calls that were bad or throttled since the decision, 0 to 1; `None` if unknown.
    pub failure_ratio: Option<f64>,
    /// Part of the calls that were late since the decision, 0 to 1; `None` if unknown.
    pub slow_ratio: Option<f64>,
    /// Time to the first content of recent streams, in milliseconds.
    pub ttft_ms: Option<u64>,
    /// Moment of the present decision; `None` if none was ever made.
    pub since: Option<Moment>,
    /// Reason of the present decision.
    pub reason: Option<Reason>,
    /// Moment at which an open breaker will be probed.
    pub paused_until: Option<Moment>,
    /// End of an admin's override.
    pub forced_until: Option<Moment>,
    /// Admin that made the override.
    pub by: Option<String>,
}

impl BreakerReport {
    pub(super) fn new(name: &str, state: &BreakerState, seen: Peek, now: Timestamp) -> Self {
        let forced = state.forced_at(now);
        // While an override applies, the breaker's own pause does not.
        let paused_until = state.paused_until(now).filter(|_| forced.is_none());
        let rounded = |ratio: f64| (ratio * 10_000.0).round() / 10_000.0;
        Self {
            name: name.to_owned(),
            mode: Some(state.mode),
            share: Some(state.share.percent()),
            failure_ratio: seen.failure_ratio.map(rounded),
            slow_ratio: seen.slow_ratio.map(rounded),
            ttft_ms: seen.first_content.map(|took| u64::try_from(took.as_millis()).unwrap_or(u64::MAX)),
            since: (state.generation > 0).then_some(Moment(state.since)),
            reason: Some(state.reason),
            paused_until: paused_until.map(Moment),
            forced_until: forced.map(|forced| Moment(forced.until)),
            by: forced.map(|forced| forced.by.clone()),
        }
    }

    /// Creates the report of a provider that could not be read.
    pub(crate) fn unread(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            mode: None,
            share: None,
            failure_ratio: None,
            slow_ratio: None,
            ttft_ms: None,
            since: None,
            reason: None,
            paused_until: None,
            forced_until: None,
            by: None,
        }
    }
}

/// One decision about a provider.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(super) struct Decision {
    pub(super) at: Moment,
    pub(super) generation: u64,
    pub(super) from: Mode,
    /// Share before the decision, in percent as all shares.
    pub(super) from_share: f64,
    pub(super) to: Mode,
    pub(super) share: f64,
    pub(super) reason: Reason,
    pub(super) results: u32,
    pub(super) bad: u32,
    pub(super) throttled: u32,
    pub(super) late: u32,
    pub(super) forced_until: Option<Moment>,
    pub(super) by: String,
}

impl Decision {
    pub(super) fn from_transition(transition: &Transition) -> Self {
        let Transition { at, from, from_share, to, grounds, by, .. } = transition;
        Self {
            at: Moment(*at),
            generation: to.generation,
            from: *from,
            from_share: from_share.percent(),
            to: to.mode,
            share: to.share.percent(),
            reason: to.reason,
            results: grounds.results,
            bad: grounds.bad,
            throttled: grounds.throttled,
            late: grounds.late,
            forced_until: to.forced.as_ref().map(|forced| Moment(forced.until)),
            by: by.clone(),
        }
    }
}
