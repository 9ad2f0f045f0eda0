//! Breakers and their decisions, as they are shown.

use levee::breaker::{BreakerState, Transition};
use levee::clock::Timestamp;
use serde::Serialize;

use crate::output::NOTHING;

/// State of a provider's breaker.
#[derive(Debug, Serialize)]
pub(super) struct BreakerView {
    provider: String,
    mode: String,
    /// Share of the calls, in percent.
    share: f64,
    /// Moment of the present decision; `None` if none was ever made.
    since: Option<String>,
    reason: String,
    /// Moment at which an open breaker will be probed.
    paused_until: Option<String>,
    /// End of an override.
    forced_until: Option<String>,
    /// True if the override has ended and no call has noticed it yet.
    over: bool,
    /// Admin or operator that made the override.
    by: Option<String>,
}

impl BreakerView {
    pub(super) const HEADERS: &[&str] =
        &["PROVIDER", "MODE", "SHARE", "SINCE", "REASON", "PAUSED UNTIL", "FORCED UNTIL", "BY"];

    pub(super) fn new(provider: &str, state: &BreakerState, now: Timestamp) -> Self {
        let forced = state.forced.as_ref();
        let paused_until = state.paused_until(now).filter(|_| forced.is_none());
        Self {
            provider: provider.to_owned(),
            mode: state.mode.to_string(),
            share: state.share.percent(),
            since: (state.generation > 0).then(|| past(state.since)),
            reason: state.reason.to_string(),
            paused_until: paused_until.map(Timestamp::to_rfc3339),
            forced_until: forced.map(|forced| forced.until.to_rfc3339()),
            over: forced.is_some_and(|forced| forced.until <= now),
            by: forced.map(|forced| forced.by.clone()),
        }
    }

    pub(super) fn row(&self) -> Vec<String> {
        self.fields().into_iter().map(|(_, value)| value).collect()
    }

    pub(super) fn fields(&self) -> Vec<(&'static str, String)> {
        let or_nothing = |text: &Option<String>| text.clone().unwrap_or_else(|| NOTHING.to_owned());
        let over = if self.over { " (over)" } else { "" };
        vec![
            ("provider", self.provider.clone()),
            ("mode", self.mode.clone()),
            ("share", format!("{} %", self.share)),
            ("since", or_nothing(&self.since)),
            ("reason", self.reason.clone()),
            ("paused until", or_nothing(&self.paused_until)),
            ("forced until", or_nothing(&self.forced_until) + over),
            ("by", or_nothing(&self.by)),
        ]
    }
}

/// One decision about a provider.
#[derive(Debug, Serialize)]
pub(super) struct DecisionView {
    at: String,
    generation: u64,
    from: String,
    /// Share before the decision, in percent.
    from_share: f64,
    to: String,
    /// Share since the decision, in percent.
    share: f64,
    reason: String,
    results: u32,
    bad: u32,
    throttled: u32,
    late: u32,
    forced_until: Option<String>,
    by: String,
}

impl DecisionView {
    pub(super) const HEADERS: &[&str] =
        &["AT", "FROM", "TO", "SHARE", "REASON", "RESULTS", "BAD", "THROTTLED", "LATE", "FORCED UNTIL", "BY"];

    pub(super) fn new(decision: &Transition) -> Self {
        let Transition { at, from, from_share, to, grounds, by, .. } = decision;
        Self {
            at: past(*at),
            generation: to.generation,
            from: from.to_string(),
            from_share: from_share.percent(),
            to: to.mode.to_string(),
            share: to.share.percent(),
            reason: to.reason.to_string(),
            results: grounds.results,
            bad: grounds.bad,
            throttled: grounds.throttled,
            late: grounds.late,
            forced_until: to.forced.as_ref().map(|forced| forced.until.to_rfc3339()),
            by: by.clone(),
        }
    }

    pub(super) fn row(&self) -> Vec<String> {
        let counts = [self.results, self.bad, self.throttled, self.late].map(|count| count.to_string());
        let before =
            [self.at.clone(), self.from.clone(), self.to.clone(), format!("{} %", self.share), self.reason.clone()];
        let forced_until = self.forced_until.clone().unwrap_or_else(|| NOTHING.to_owned());
        before.into_iter().chain(counts).chain([forced_until, self.by.clone()]).collect()
    }
}

/// Formats a moment in whole seconds, rounded down so that it does not lie in the future.
fn past(moment: Timestamp) -> String {
    Timestamp::from_secs(moment.as_secs()).to_rfc3339()
}

#[cfg(test)]
mod tests {
    use levee::breaker::{Mode, Reason, Share, force};

    use super::*;

    const NOW: Timestamp = Timestamp::from_secs(1_795_305_600); // 2026-11-22T00:00:00Z

    #[test]
    fn a_pause_is_shown_while_it_lasts_and_what_an_admin_said_also_when_it_is_over() {
        let later = Timestamp::from_secs(NOW.as_secs() + 60);
        let open = BreakerState {
            generation: 7,
            mode: Mode::Open,
            share: Share::NONE,
            since: NOW,
            not_before: later,
            reason: Reason::Failing,
            ..BreakerState::new()
        };
        let shown = BreakerView::new("primary", &open, NOW).row();
        let since = "2026-11-22T00:00:00Z";
        assert_eq!(shown, ["primary", "open", "0 %", since, "failing", "2026-11-22T00:01:00Z", "-", "-"]);
        assert_eq!(BreakerView::new("primary", &open, later).paused_until, None);
        let pinned = force(&open, Share::from_basis_points(2_550), later, "cli:ada", NOW);
        let shown = BreakerView::new("primary", &pinned, later).row();
        assert_eq!(shown[2..3], ["25.5 %"]);
        assert_eq!(shown[5..], ["-", "2026-11-22T00:01:00Z (over)", "cli:ada"]);
        let fresh = BreakerView::new("primary", &BreakerState::new(), NOW).row();
        assert_eq!(fresh, ["primary", "closed", "100 %", "-", "fresh", "-", "-", "-"]);
    }
}
