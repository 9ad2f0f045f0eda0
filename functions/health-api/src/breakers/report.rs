//! What is told of a provider, and of a decision about it.

use levee::breaker::{Mode, Peek, Reason, State, Transition};
use levee::clock::Timestamp;
use serde::Serialize;

use crate::snapshot::Moment;

/// Where a provider stands.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct BreakerReport {
    /// Its name.
    pub name: String,
    /// `closed`, `shed`, `open`, `probe` or `ramp`; `None` where it could not be read.
    pub mode: Option<Mode>,
    /// How much of the calls it gets, percent.
    pub share: Option<f64>,
    /// How much of the calls since the decision went badly, 0 to 1; `None` where that is not known.
    pub failure_ratio: Option<f64>,
    /// How much of them was late, 0 to 1.
    pub slow_ratio: Option<f64>,
    /// How long the first content of streams lately took.
    pub ttft_ms: Option<u64>,
    /// When this was decided; `None` where nothing ever was.
    pub since: Option<Moment>,
    /// Why.
    pub reason: Option<Reason>,
    /// When a provider that was given up is probed.
    pub paused_until: Option<Moment>,
    /// Until when an admin holds it.
    pub forced_until: Option<Moment>,
    /// Which admin.
    pub by: Option<String>,
}

impl BreakerReport {
    pub(super) fn new(name: &str, state: &State, seen: Peek, now: Timestamp) -> Self {
        let forced = state.forced_at(now);
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

    /// A provider of which nothing could be read.
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

/// A decision.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(super) struct Decision {
    pub(super) at: Moment,
    pub(super) generation: u64,
    pub(super) from: Mode,
    /// Percent, as all shares.
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
    pub(super) fn of(transition: &Transition) -> Self {
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
