//! The wide event: everything about one request in one line, which is its metrics too.

use http::StatusCode;
use levee::http::{Admitted, Problem};
use levee::telemetry::{Head, outcome};
use metrique::ServiceMetrics;
use metrique::emf::flags::NoMetric;
use metrique::timers::Timer;
use metrique::unit::{Count, Millisecond};
use metrique::unit_of_work::metrics;

/// One request. It is written when it is dropped.
#[metrics(emf::dimension_sets = [[]])]
#[derive(Debug)]
pub(crate) struct Report {
    #[metrics(flatten)]
    head: Head,
    #[metrics(name = "account.id")]
    account: Option<String>,
    #[metrics(name = "integration.id")]
    integration: Option<String>,
    #[metrics(name = "key.id")]
    key: Option<String>,
    /// `none` where there is no such route.
    route: &'static str,
    #[metrics(name = "RouteClass")]
    route_class: &'static str,
    /// `ok`, `caller_error`, `forbidden` or `failed`, or `unfinished` where the environment was stopped first.
    outcome: &'static str,
    #[metrics(flags(NoMetric))]
    status: u64,
    /// What the caller was told.
    error: Option<String>,
    #[metrics(name = "Requests", unit = Count)]
    requests: u64,
    #[metrics(name = "Duration", unit = Millisecond)]
    took: Timer,
}

/// Begins the report about the request `request_id`.
pub(crate) fn begin(request_id: &str) -> ReportGuard {
    Report {
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

impl Report {
    /// The request is `caller`'s.
    pub(crate) fn caller(&mut self, caller: &Admitted) {
        self.account = Some(caller.account.clone());
        self.integration = Some(caller.integration.clone());
        self.key = Some(caller.key.clone());
    }

    /// The request is to `route`.
    pub(crate) fn route(&mut self, route: &'static str) {
        self.route = route;
    }

    /// It was answered with `status`, because of `problem` where there was one.
    pub(crate) fn answered(&mut self, status: StatusCode, problem: Option<Problem>) {
        self.status = status.as_u16().into();
        self.error = problem.map(|problem| problem.detail);
        self.outcome = outcome(status);
    }
}
