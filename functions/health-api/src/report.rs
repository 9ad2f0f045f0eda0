//! The board's wide event: one log line with all facts about one request, which carries its metrics too.

use http::StatusCode;
use levee::http::Problem;
use levee::telemetry::{Head, outcome};
use metrique::ServiceMetrics;
use metrique::emf::flags::NoMetric;
use metrique::timers::Timer;
use metrique::unit::{Count, Millisecond};
use metrique::unit_of_work::metrics;

/// Wide event of one request. It is written when it is dropped.
#[metrics(emf::dimension_sets = [[]])]
#[derive(Debug)]
pub(crate) struct BoardReport {
    #[metrics(flatten)]
    head: Head,
    /// Path of the route; `none` if the request matches none of the board's routes.
    route: &'static str,
    /// `health`, `login`, `admin` or `none`.
    #[metrics(name = "RouteClass")]
    route_class: &'static str,
    /// `ok`, `caller_error`, `forbidden` or `failed`; `unfinished` if the environment was stopped first.
    outcome: &'static str,
    #[metrics(flags(NoMetric))]
    status: u64,
    /// Sentence that the caller got, if there was a problem.
    error: Option<String>,
    #[metrics(name = "Requests", unit = Count)]
    requests: u64,
    #[metrics(name = "Duration", unit = Millisecond)]
    took: Timer,
}

/// Begins the report about the request `request_id`.
pub(crate) fn begin(request_id: &str) -> BoardReportGuard {
    BoardReport {
        head: Head::new("health-api", "answered a request to the board", request_id),
        route: "none",
        route_class: "none",
        outcome: "unfinished",
        status: 0,
        error: None,
        requests: 1,
        took: Timer::start_now(),
    }
    .append_on_drop(ServiceMetrics::sink_or_discard())
}

impl BoardReport {
    /// Records the route of the request, if there is one.
    pub(crate) fn route(&mut self, route: Option<&'static str>) {
        let Some(route) = route else { return };
        self.route = route;
        self.route_class = match route {
            "/health" => "health",
            "/login" | "/logout" => "login",
            _ => "admin",
        };
    }

    /// Records the status of the answer, and the problem if there was one.
    pub(crate) fn answered(&mut self, status: StatusCode, problem: Option<&Problem>) {
        self.status = status.as_u16().into();
        self.error = problem.map(|problem| problem.detail.clone());
        self.outcome = outcome(problem.map_or(status, |problem| problem.status));
    }
}
