//! The authorizer's wide event: everything about one authorization in one line, which is its metrics too.

use std::time::Duration;

use levee::accounts::Caller;
use levee::http::Route;
use levee::limits::{Decision, Reading};
use levee::telemetry::Head;
use metrique::ServiceMetrics;
use metrique::timers::Timer;
use metrique::unit::{Count, Millisecond};
use metrique::unit_of_work::metrics;

use crate::event::Event;

/// One authorization. It is written when it is dropped.
#[metrics(emf::dimension_sets = [["RouteClass"], []])]
#[derive(Debug)]
pub struct Report {
    #[metrics(flatten)]
    head: Head,
    route: String,
    #[metrics(name = "RouteClass")]
    route_class: &'static str,
    #[metrics(name = "account.id")]
    account: Option<String>,
    #[metrics(name = "integration.id")]
    integration: Option<String>,
    #[metrics(name = "key.id")]
    key: Option<String>,
    /// `allowed`, `unchecked`, `limited`, `unauthorized`, `forbidden` or `failed`.
    verdict: &'static str,
    /// Why not, in words for operators.
    reason: Option<String>,
    /// Where each policy stands, as `account 12/600`.
    policies: Vec<String>,
    /// The policy that refused.
    #[metrics(name = "policy.name")]
    policy: Option<&'static str>,
    #[metrics(name = "Requests", unit = Count)]
    requests: u64,
    #[metrics(name = "Limited", unit = Count)]
    limited: bool,
    #[metrics(name = "NearLimit", unit = Count)]
    near_limit: bool,
    #[metrics(name = "Unauthorized", unit = Count)]
    unauthorized: bool,
    #[metrics(name = "FailOpen", unit = Count)]
    fail_open: bool,
    #[metrics(name = "AuthorizationFailed", unit = Count)]
    failed: bool,
    #[metrics(name = "LimitsDuration", unit = Millisecond)]
    limits_took: Option<Duration>,
    #[metrics(name = "Duration", unit = Millisecond)]
    took: Timer,
}

/// Begins the report about `event`. Until something is known, it says that the authorization failed.
pub fn begin(event: &Event, route: Route) -> ReportGuard {
    Report {
        head: Head::new("authorizer", "authorized a request", event.request_id()),
        route: event.resource.clone(),
        route_class: route.class().name(),
        account: None,
        integration: None,
        key: None,
        verdict: "failed",
        reason: None,
        policies: Vec::new(),
        policy: None,
        requests: 1,
        limited: false,
        near_limit: false,
        unauthorized: false,
        fail_open: false,
        failed: true,
        limits_took: None,
        took: Timer::start_now(),
    }
    .append_on_drop(ServiceMetrics::sink_or_discard())
}

impl Report {
    /// The caller is known.
    pub fn caller(&mut self, caller: &Caller) {
        self.account = Some(caller.owner.account.id.clone());
        self.integration = Some(caller.owner.integration.id.clone());
        self.key = Some(caller.key.id.clone());
    }

    /// There is no valid key.
    pub fn unauthorized(&mut self, reason: &str) {
        self.unauthorized = true;
        self.end("unauthorized", Some(reason));
    }

    /// The key may not do this.
    pub fn forbidden(&mut self, reason: &str) {
        self.end("forbidden", Some(reason));
    }

    /// It cannot be known who is calling.
    pub fn failed(&mut self, reason: &str) {
        self.end("failed", Some(reason));
        self.failed = true;
    }

    /// The limits were checked, in `took`.
    pub fn decided(&mut self, decision: &Decision, took: Duration) {
        self.limits_took = Some(took);
        let readings = match decision {
            Decision::Unchecked => {
                self.fail_open = true;
                return self.end("unchecked", Some("the limits could not be checked"));
            }
            Decision::Allowed(readings) => {
                self.end("allowed", None);
                readings
            }
            Decision::Refused(refusal) => {
                self.limited = true;
                self.policy = Some(refusal.binding.policy.name);
                self.end("limited", None);
                &refusal.readings
            }
        };
        self.near_limit = readings.iter().any(Reading::is_near);
        self.policies = readings.iter().map(standing).collect();
    }

    fn end(&mut self, verdict: &'static str, reason: Option<&str>) {
        self.verdict = verdict;
        self.reason = reason.map(str::to_owned);
        self.failed = false;
    }
}

fn standing(reading: &Reading) -> String {
    format!("{} {}/{}", reading.policy.name, reading.used, reading.policy.limit)
}
