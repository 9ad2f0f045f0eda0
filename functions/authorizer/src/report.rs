//! Wide event of the authorizer: everything about one authorization in one log line, which is also its metrics.

use std::time::Duration;

use levee::accounts::AuthenticatedKey;
use levee::limits::Route;
use levee::limits::{Decision, Mode, Reading};
use levee::telemetry::Head;
use metrique::ServiceMetrics;
use metrique::timers::Timer;
use metrique::unit::{Count, Millisecond};
use metrique::unit_of_work::metrics;

use crate::event::Event;
use crate::identity::Identity;

/// Event of one authorization, written on drop.
#[metrics(emf::dimension_sets = [["RouteClass"], []])]
#[derive(Debug)]
pub struct AuthorizationReport {
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
    /// `allowed`, `unchecked`, `limited`, `unauthorized`, `forbidden`, `bad_request` or `failed`.
    verdict: &'static str,
    /// Reason for a verdict other than `allowed`, for operators.
    reason: Option<String>,
    /// Usage of each policy, such as `account 12/600`. `over (warn)` or `over (shadow)` follows if the call passed
    /// beyond the limit.
    policies: Vec<String>,
    /// Name of the policy that refused.
    #[metrics(name = "policy.name")]
    policy: Option<String>,
    #[metrics(name = "Requests", unit = Count)]
    requests: u64,
    #[metrics(name = "Limited", unit = Count)]
    limited: bool,
    #[metrics(name = "NearLimit", unit = Count)]
    near_limit: bool,
    #[metrics(name = "Warned", unit = Count)]
    warned: bool,
    #[metrics(name = "Shadowed", unit = Count)]
    shadowed: bool,
    #[metrics(name = "StaleRecords", unit = Count)]
    stale: u64,
    #[metrics(name = "Unauthorized", unit = Count)]
    unauthorized: bool,
    #[metrics(name = "UnknownAddress", unit = Count)]
    unknown_address: bool,
    #[metrics(name = "FailOpen", unit = Count)]
    fail_open: bool,
    #[metrics(name = "AuthorizationFailed", unit = Count)]
    failed: bool,
    #[metrics(name = "LimitsDuration", unit = Millisecond)]
    limits_took: Option<Duration>,
    #[metrics(name = "Duration", unit = Millisecond)]
    took: Timer,
}

/// Begins the event of one authorization. Its verdict is `failed` until another one is recorded.
pub fn begin(event: &Event, route: Route) -> AuthorizationReportGuard {
    AuthorizationReport {
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
        warned: false,
        shadowed: false,
        stale: 0,
        unauthorized: false,
        unknown_address: false,
        fail_open: false,
        failed: true,
        limits_took: None,
        took: Timer::start_now(),
    }
    .append_on_drop(ServiceMetrics::sink_or_discard())
}

impl AuthorizationReport {
    /// Records that the client's address cannot be read.
    pub fn unknown_address(&mut self) {
        self.unknown_address = true;
    }

    /// Records the caller, as far as it is known, and a verdict that follows from its standing.
    pub(crate) fn stands(&mut self, standing: &Identity) {
        self.unauthorized = matches!(standing, Identity::Nobody(..));
        (self.verdict, self.reason) = ("failed", None);
        match standing {
            Identity::Anyone => {}
            Identity::Nobody(reason, _) => self.end("unauthorized", Some(reason)),
            Identity::Ambiguous(ambiguous) => self.end("bad_request", Some(&ambiguous.to_string())),
            Identity::Caller(caller) => self.caller(caller),
            Identity::Forbidden(caller, reason) => {
                if let Some(caller) = caller {
                    self.caller(caller);
                }
                self.end("forbidden", Some(reason));
            }
        }
    }

    fn caller(&mut self, caller: &AuthenticatedKey) {
        self.account = Some(caller.owner.account.id.clone());
        self.integration = Some(caller.owner.integration.id.clone());
        self.key = Some(caller.key.id.clone());
    }

    /// Records that a record was stale, and the time `took` that finding it out cost.
    pub fn stale(&mut self, took: Duration) {
        self.stale += 1;
        self.limits_took = Some(self.limits_took.unwrap_or_default() + took);
    }

    /// Records that the caller could not be identified.
    pub fn failed(&mut self, reason: &str) {
        self.end("failed", Some(reason));
        self.failed = true;
    }

    /// Records the decision about the limits, which took `took`. A verdict that refuses the caller stays, unless a
    /// limit refuses too.
    pub fn decided(&mut self, decision: &Decision, took: Duration) {
        self.limits_took = Some(self.limits_took.unwrap_or_default() + took);
        let may_call = !matches!(self.verdict, "unauthorized" | "forbidden" | "bad_request");
        let readings = match decision {
            Decision::Unchecked | Decision::Stale(_) => {
                self.fail_open = true;
                if may_call {
                    self.end("unchecked", Some("the limits could not be checked"));
                }
                return;
            }
            Decision::Allowed(readings) => {
                if may_call {
                    self.end("allowed", None);
                }
                readings
            }
            Decision::Refused(refusal) => {
                self.limited = true;
                self.policy = Some(refusal.binding.policy.name.clone());
                self.verdict = "limited";
                self.failed = false;
                &refusal.readings
            }
        };
        // Record the policies, and those that are near or over their limit.
        let is_over = |mode| readings.iter().any(|reading| reading.is_over && reading.policy.mode == mode);
        (self.warned, self.shadowed) = (is_over(Mode::Warn), is_over(Mode::Shadow));
        self.near_limit = readings.iter().any(|reading| reading.is_near() && reading.policy.mode != Mode::Shadow);
        self.policies = readings.iter().map(standing).collect();
    }

    fn end(&mut self, verdict: &'static str, reason: Option<&str>) {
        self.verdict = verdict;
        self.reason = reason.map(str::to_owned);
        self.failed = false;
    }
}

/// Returns the usage of a policy as text, such as `account 12/600`.
fn standing(reading: &Reading) -> String {
    let over = match reading.policy.mode {
        Mode::Warn if reading.is_over => " over (warn)",
        Mode::Shadow if reading.is_over => " over (shadow)",
        _ => "",
    };
    format!("{} {}/{}{over}", reading.policy.name, reading.used, reading.policy.limit)
}
