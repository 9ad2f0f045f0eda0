//! A decision about a provider as it is recorded: a log line that is also a metric, and a row of the history.

use metrique::ServiceMetrics;
use metrique::emf::flags::NoMetric;
use metrique::unit::Count;
use metrique::unit_of_work::metrics;
use serde::{Deserialize, Serialize};

use super::evidence::Evidence;
use super::state::{BreakerState, Mode, Reason, Share};
use crate::clock::{Clock, Timestamp};

/// Evidence that a decision was made from.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct Grounds {
    /// Results since the last decision.
    pub results: u32,
    /// Bad ones among them.
    pub bad: u32,
    /// Throttled ones among them.
    pub throttled: u32,
    /// Calls that were late.
    pub late: u32,
    /// AI calls a second to all providers together.
    pub rate: f64,
    /// Environments that saw results; 16 and more are 16.
    pub environments: u32,
    /// Environments among them that saw bad, throttled or late results.
    pub troubled_environments: u32,
}

impl From<&Evidence> for Grounds {
    fn from(evidence: &Evidence) -> Self {
        let totals = evidence.totals();
        Self {
            results: totals.results,
            bad: totals.bad,
            throttled: totals.throttled,
            late: totals.late,
            rate: evidence.rate,
            environments: evidence.environments,
            troubled_environments: evidence.troubled_environments,
        }
    }
}

/// A decision and the one that it replaced.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Transition {
    /// Name of the provider.
    pub provider: String,
    /// Time of the decision.
    pub at: Timestamp,
    /// Mode before the decision.
    pub from: Mode,
    /// Share before the decision.
    pub from_share: Share,
    /// The decision.
    pub to: BreakerState,
    /// Evidence for the decision; all zero if it was not made from evidence, as an admin's.
    pub grounds: Grounds,
    /// Writer of the decision: an environment or an admin.
    pub by: String,
}

impl Transition {
    /// Creates the transition from `from` to the decision `to` about `provider`.
    pub fn new(provider: &str, from: &BreakerState, to: BreakerState, grounds: Grounds, by: &str) -> Self {
        let (provider, by) = (provider.to_owned(), by.to_owned());
        Self { provider, at: to.since, from: from.mode, from_share: from.share, to, grounds, by }
    }

    /// Returns the reason for the decision.
    pub fn reason(&self) -> Reason {
        self.to.reason
    }

    /// Writes the log line, which is also a metric. `is_saved` is true if DynamoDB has the decision.
    pub fn tell(&self, function: &'static str, is_saved: bool) {
        let Self { provider, from, from_share, to, grounds, .. } = self;
        let Grounds { results, bad, throttled, late, rate, environments, troubled_environments } = *grounds;
        let is_worse = to.share < *from_share;
        drop(
            BreakerTransition {
                timestamp: Clock::system().now().to_rfc3339_millis(),
                level: if is_worse { "WARN" } else { "INFO" },
                message: "a provider's share changes",
                code: "breaker.transition",
                function,
                provider: provider.clone(),
                generation: to.generation,
                from: from.to_string(),
                from_share: from_share.basis_points().into(),
                to: to.mode.to_string(),
                reason: to.reason.to_string(),
                results: results.into(),
                bad: bad.into(),
                throttled: throttled.into(),
                late: late.into(),
                rate,
                environments: environments.into(),
                troubled_environments: troubled_environments.into(),
                saved: is_saved,
                transitions: 1,
                share: to.share.basis_points().into(),
            }
            .append_on_drop(ServiceMetrics::sink_or_discard()),
        );
    }
}

/// Log line and metric of a decision.
#[metrics(emf::dimension_sets = [["Provider"]])]
#[derive(Debug)]
struct BreakerTransition {
    timestamp: String,
    level: &'static str,
    message: &'static str,
    code: &'static str,
    #[metrics(name = "Function")]
    function: &'static str,
    #[metrics(name = "Provider")]
    provider: String,
    #[metrics(flags(NoMetric))]
    generation: u64,
    from: String,
    #[metrics(flags(NoMetric))]
    from_share: u64,
    to: String,
    reason: String,
    #[metrics(flags(NoMetric))]
    results: u64,
    #[metrics(flags(NoMetric))]
    bad: u64,
    #[metrics(flags(NoMetric))]
    throttled: u64,
    #[metrics(flags(NoMetric))]
    late: u64,
    #[metrics(flags(NoMetric))]
    rate: f64,
    #[metrics(flags(NoMetric))]
    environments: u64,
    #[metrics(flags(NoMetric))]
    troubled_environments: u64,
    #[metrics(flags(NoMetric))]
    saved: bool,
    #[metrics(name = "BreakerTransitions", unit = Count)]
    transitions: u64,
    /// Share of the calls, in basis points.
    #[metrics(name = "ProviderShare", unit = Count)]
    share: u64,
}

#[cfg(test)]
mod tests {
    use super::*;

    /// History row in the stored format. Tables keep rows for 14 days, and the decision in them (the state row) for
    /// ever.
    const STORED: &str = r#"{"provider":"primary","at":1795310118001,"from":"closed","from_share":10000,"to":{
        "generation":7,"mode":"shed","share":2500,"since":1795310118001,"not_before":1795310120000,"failed_rounds":1,
        "penalty":{"points":1.5,"at":1795310000000},"reason":"still-failing","health":4000,
        "forced":{"share":0,"until":1795313600000,"by":"ada@example.com"},"word":6},
        "grounds":{"results":12,"bad":5,"throttled":1,"late":2,"rate":3.5,"environments":4,"troubled_environments":3},
        "by":"00c0ffee"}"#;

    #[test]
    fn what_is_stored_keeps_its_shape() {
        let stored: serde_json::Value = serde_json::from_str(STORED).unwrap();
        let read: Transition = serde_json::from_str(STORED).unwrap();
        assert_eq!(serde_json::to_value(&read).unwrap(), stored);
        assert_eq!((read.to.mode, read.to.share, read.to.word), (Mode::Shed, Share::from_basis_points(2_500), 6));
    }

    #[test]
    fn a_decision_without_the_generation_of_an_admins_last_word_is_read() {
        let older = STORED.replace(",\"word\":6", "");
        assert_ne!(older, STORED);
        let read: Transition = serde_json::from_str(&older).unwrap();
        assert_eq!((read.to.word, read.to.generation), (0, 7));
    }
}
