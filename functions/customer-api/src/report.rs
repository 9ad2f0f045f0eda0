//! Wide event of the customers' API: everything about one request in one log line, which is also its metrics.

use http::StatusCode;
use levee::http::{Caller, Problem};
use levee::telemetry::{Head, outcome};
use metrique::ServiceMetrics;
use metrique::emf::flags::NoMetric;
use metrique::timers::Timer;
use metrique::unit::{Count, Millisecond};
use metrique::unit_of_work::metrics;

/// Event of one request, written on drop.
#[metrics(emf::dimension_sets = [[]])]
#[derive(Debug)]
pub(crate) struct CustomerApiReport {
    #[metrics(flatten)]
    head: Head,
    #[metrics(name = "account.id")]
    account: Option<String>,
    #[metrics(name = "integration.id")]
    integration: Option<String>,
    #[metrics(name = "key.id")]
    key: Option<String>,
    /// Path of the route as declared, or `none` if there is no such route.
    route: &'static str,
    #[metrics(name = "RouteClass")]
    route_class: &'static str,
    /// `ok`, `caller_error`, `forbidden` or `failed`; `unfinished` if the environment was stopped first.
    outcome: &'static str,
    #[metrics(flags(NoMetric))]
    status: u64,
    /// Message of the problem that the caller got.
    error: Option<String>,
    #[metrics(name = "Requests", unit = Count)]
    requests: u64,
    #[metrics(name = "Duration", unit = Millisecond)]
    took: Timer,
}

/// Begins the event of the request `request_id`.
pub(crate) fn begin(request_id: &str) -> CustomerApiReportGuard {
    CustomerApiReport {
        head: Head::new("customer-api", "answered a customer", request_id),
        account: None,
        integration: None,
        key: None,
        route: "none",
        route_class: "self",
        outcome: "unfinished",
        status: 0,
        error: None,
        requests: 1,
        took: Timer::start_now(),
    }
    .append_on_drop(ServiceMetrics::sink_or_discard())
}

impl CustomerApiReport {
    /// Records the caller.
    pub(crate) fn caller(&mut self, caller: &Caller) {
        self.account = Some(caller.account.clone());
        self.integration = Some(caller.integration.clone());
        self.key = Some(caller.key.clone());
    }

    /// Records the route.
    pub(crate) fn route(&mut self, route: &'static str) {
        self.route = route;
    }

    /// Records the status of the answer, and its problem if it has one.
    pub(crate) fn answered(&mut self, status: StatusCode, problem: Option<Problem>) {
        self.status = status.as_u16().into();
        self.error = problem.map(|problem| problem.detail);
        self.outcome = outcome(status);
    }
}
