//! Wide event of one request: everything about it in one log line, which is also its metrics. It holds no text of a
//! report.

use levee::csp::BatchTally;
use levee::telemetry::Head;
use metrique::ServiceMetrics;
use metrique::timers::Timer;
use metrique::unit::{Count, Millisecond};
use metrique::unit_of_work::metrics;

/// Event of one request, written on drop.
#[metrics(emf::dimension_sets = [[]])]
#[derive(Debug)]
pub(crate) struct IntakeReport {
    #[metrics(flatten)]
    head: Head,
    /// Project of the reports, or `other`.
    project: Option<String>,
    /// `counted`, `preflight`, `unreadable` (no project could be read), `lost` (Redis did not answer), or `unfinished` if
    /// the environment was stopped first.
    outcome: &'static str,
    #[metrics(name = "Requests", unit = Count)]
    requests: u64,
    /// Reports that were counted in a group.
    #[metrics(name = "CspReports", unit = Count)]
    counted: u64,
    /// Reports beyond the bound of their network, and entries that are no usable report.
    #[metrics(name = "CspReportsDropped", unit = Count)]
    dropped: u64,
    /// Reports in overflow groups.
    #[metrics(name = "CspReportsOverflowed", unit = Count)]
    overflowed: u64,
    /// Reports that Redis did not take.
    #[metrics(name = "CspReportsLost", unit = Count)]
    lost: u64,
    #[metrics(name = "Duration", unit = Millisecond)]
    took: Timer,
}

/// Begins the event of the request `request_id`.
pub(crate) fn begin(request_id: &str) -> IntakeReportGuard {
    IntakeReport {
        head: Head::new("csp-report", "took in CSP reports", request_id),
        project: None,
        outcome: "unfinished",
        requests: 1,
        counted: 0,
        dropped: 0,
        overflowed: 0,
        lost: 0,
        took: Timer::start_now(),
    }
    .append_on_drop(ServiceMetrics::sink_or_discard())
}

impl IntakeReport {
    /// Records a preflight request.
    pub(crate) fn preflight(&mut self) {
        self.outcome = "preflight";
    }

    /// Records the project of the reports, and the number of entries that are no usable report.
    pub(crate) fn project(&mut self, project: &str, unusable: u64) {
        self.project = Some(project.to_owned());
        self.dropped = unusable;
    }

    /// Records that no project could be read.
    pub(crate) fn unreadable(&mut self) {
        self.outcome = "unreadable";
    }

    /// Records the counts.
    pub(crate) fn counted(&mut self, tally: BatchTally) {
        self.outcome = "counted";
        self.counted = tally.counted;
        self.dropped += tally.beyond_network;
        self.overflowed = tally.overflowed;
    }

    /// Records reports that Redis did not take.
    pub(crate) fn lost(&mut self, reports: usize) {
        self.outcome = "lost";
        self.lost = reports as u64;
    }
}
