//! Wide event of the monitor: everything about one run in one log line, which is also its metrics.

use levee::telemetry::Head;
use metrique::ServiceMetrics;
use metrique::timers::Timer;
use metrique::unit::{Count, Millisecond};
use metrique::unit_of_work::metrics;

use crate::handle::Summary;

/// Event of one run, written on drop. It counts as failed unless [`RunReport::end`] was called.
#[metrics]
#[derive(Debug)]
pub struct RunReport {
    #[metrics(flatten)]
    head: Head,
    #[metrics(name = "Requests", unit = Count)]
    requests: u64,
    #[metrics(name = "CountersRestored", unit = Count)]
    restored: u64,
    #[metrics(name = "MinutesFolded", unit = Count)]
    minutes: u64,
    #[metrics(name = "StatisticsWritten", unit = Count)]
    rows: u64,
    #[metrics(name = "AbandonedCalls", unit = Count)]
    settled: u64,
    #[metrics(name = "CspMinutesFolded", unit = Count)]
    csp_minutes: u64,
    #[metrics(name = "BreadcrumbsJudged", unit = Count)]
    judged: u64,
    #[metrics(name = "AlertsRaised", unit = Count)]
    raised: u64,
    #[metrics(name = "AlertsSent", unit = Count)]
    sent: u64,
    #[metrics(name = "AlertsWaiting", unit = Count)]
    waiting: u64,
    #[metrics(name = "MonitorFailed", unit = Count)]
    failed: bool,
    #[metrics(name = "Duration", unit = Millisecond)]
    took: Timer,
}

/// Begins the event of the run `id`.
pub fn begin(id: &str) -> RunReportGuard {
    RunReport {
        head: Head::new("monitor", "ran the monitor", id),
        requests: 1,
        restored: 0,
        minutes: 0,
        rows: 0,
        settled: 0,
        csp_minutes: 0,
        judged: 0,
        raised: 0,
        sent: 0,
        waiting: 0,
        failed: true,
        took: Timer::start_now(),
    }
    .append_on_drop(ServiceMetrics::sink_or_discard())
}

impl RunReport {
    /// Records the end of the run. `is_whole` is true if no part failed.
    pub fn end(&mut self, summary: &Summary, is_whole: bool) {
        let Summary { restored, minutes, rows, settled, csp_minutes, judged, raised, sent, digested, waiting } =
            *summary;
        let count = |number: usize| u64::try_from(number).unwrap_or(u64::MAX);
        self.restored = count(restored);
        self.minutes = count(minutes);
        self.rows = count(rows);
        self.settled = count(settled);
        self.csp_minutes = count(csp_minutes);
        self.judged = count(judged);
        self.raised = count(raised);
        self.sent = count(sent + digested);
        self.waiting = count(waiting);
        self.failed = !is_whole;
    }
}
