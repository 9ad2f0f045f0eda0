//! One run of the monitor, from top to bottom.

use std::pin::Pin;
use std::time::Duration;

use lambda_runtime::Diagnostic;
use levee::accounts::publish;
use levee::breadcrumbs::{Breadcrumb, BreadcrumbTable, BreadcrumbTableError, Filter};
use levee::breaker::{self, BreakersTable};
use levee::catalogs;
use levee::clock::Timestamp;
use levee::limits::versions::{CATALOGS_NAME, RecordId};
use levee::statistics::{Folded, Restored, StatisticsError};
use serde::{Deserialize, Serialize};
use tokio::time::Instant;

use crate::config::MonitorState;
use crate::csp;
use crate::judge::{BreakerSummary, WINDOW, breakers, judge};
use crate::report;
use crate::settle::{Settled, settle};

/// Number of breadcrumbs per page.
const PAGE: usize = 100;
/// Maximum number of pages that are read. Of more breadcrumbs, only the newest are judged.
const PAGES: usize = 20;
/// Number of decisions that are read about a provider that is given up. Its first minute has fewer.
const DECISIONS: u16 = 50;
/// Time budget of a run for statistics and counters, which leaves time for alerts.
const STATISTICS_BUDGET: Duration = Duration::from_secs(25);
/// Time after which a run begins to settle no further calls.
const SETTLING_BUDGET: Duration = Duration::from_secs(8);
/// Time budget of a run for CSP reports.
const CSP_BUDGET: Duration = Duration::from_secs(8);
/// Maximum number of changes that one event may publish.
const MOST_PUBLISHED: usize = 100;

/// Fields of EventBridge's scheduled event, or of an event that the operators' command sends.
#[derive(Debug, Clone, Default, Deserialize)]
pub struct MonitorEvent {
    /// Id of the event, which identifies the run in logs.
    #[serde(default)]
    pub id: String,
    /// Changes to publish, in the text form of [`RecordId`] or `catalogs`; at most 100. If there are any, the run does nothing else.
    /// The operators' command uses this, because it cannot reach Redis.
    #[serde(default)]
    pub publish: Vec<String>,
}

/// Result of an event.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(untagged)]
pub enum RunAnswer {
    /// A complete run.
    Ran(Summary),
    /// Published changes.
    Published {
        /// Number of changes.
        published: usize,
    },
}

/// Summary of a run.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Summary {
    /// Counters that were restored in Redis.
    pub restored: usize,
    /// Minutes whose tallies were folded into statistics.
    pub minutes: usize,
    /// Rows of statistics that were written.
    pub rows: usize,
    /// Calls that were settled as abandoned.
    pub settled: usize,
    /// Minutes of CSP reports that were folded.
    pub csp_minutes: usize,
    /// Breadcrumbs that were judged.
    pub judged: usize,
    /// New alerts that were raised.
    pub raised: usize,
    /// Alerts that were sent, each in a message of its own.
    pub sent: usize,
    /// Alerts that were sent in one digest.
    pub digested: usize,
    /// Alerts that still wait to be sent.
    pub waiting: usize,
}

/// Error of a run in which a part failed. All parts were tried, and the next run tries again.
#[derive(Debug, thiserror::Error)]
#[error("{}", .0.join("; "))]
pub struct RunFailure(Vec<String>);

impl From<RunFailure> for Diagnostic {
    fn from(failure: RunFailure) -> Self {
        Self { error_type: "MonitorFailure".to_owned(), error_message: failure.to_string() }
    }
}

/// Runs the monitor: folds statistics, settles calls that never came to their end, judges recent errors and the state
/// of providers, raises alerts, and sends those that wait. If the event names changes, publishes them instead.
///
/// # Errors
/// Returns [`RunFailure`] with everything that failed, after all of it was tried.
// Boxed, because the nested future exceeds the compiler's recursion limit in the surrounding program.
pub fn handle(
    state: &MonitorState,
    event: MonitorEvent,
) -> Pin<Box<dyn Future<Output = Result<RunAnswer, RunFailure>> + '_>> {
    Box::pin(run(state, event))
}

async fn run(state: &MonitorState, event: MonitorEvent) -> Result<RunAnswer, RunFailure> {
    let now = state.clock.now();
    let mut report = report::begin(&event.id);
    let mut summary = Summary::default();
    let mut failures = Vec::new();
    let mut failed = |code: &'static str, error: String| {
        tracing::error!(code, request.id = event.id, error, "a part of the monitor's run failed");
        failures.push(error);
    };

    // Publish changes, if the event names any, and do nothing else.
    if !event.publish.is_empty() {
        let published =
            published(state, &event.publish, now).await.map_err(|error| failed("monitor.unpublished", error));
        report.end(&summary, failures.is_empty());
        return published.map(|published| RunAnswer::Published { published }).map_err(|()| RunFailure(failures));
    }

    // Restore counters that Redis has lost, then fold its tallies. An outage of Redis is reported under its own code
    // and is not a failure of this run.
    let until = Instant::now() + STATISTICS_BUDGET;
    match state.statistics.restore(until).await {
        Ok(Restored { is_complete, counters, .. }) => {
            summary.restored = counters;
            if is_complete {
                let Folded { minutes, rows, failure } = state.statistics.fold(until).await;
                (summary.minutes, summary.rows) = (minutes, rows);
                if let Some(error) = failure.filter(is_failure) {
                    failed("statistics.unfolded", error.to_string());
                }
            }
        }
        Err(error) if is_failure(&error) => failed("statistics.unrestored", error.to_string()),
        Err(_) => {}
    }

    // Settle calls that never came to their end.
    let Settled { calls, failure } = settle(&state.ledger, now, Instant::now() + SETTLING_BUDGET).await;
    summary.settled = calls;
    if let Some(error) = failure {
        failed("usage.unsettled", error.to_string());
    }

    // Fold the counts of CSP reports, and judge their patterns.
    let csp = csp::run(&state.csp_folder, &state.csp, state.csp_thresholds, now, Instant::now() + CSP_BUDGET).await;
    summary.csp_minutes = csp.minutes;
    for error in csp.failures {
        failed("csp.unfolded", error);
    }

    // Read recent breadcrumbs.
    let breadcrumbs = recent(&state.breadcrumbs, now).await.unwrap_or_else(|error| {
        failed("monitor.blind", error.to_string());
        Vec::new()
    });
    summary.judged = breadcrumbs.len();

    // Read the state of all providers.
    let standings = standings(&state.breakers).await.unwrap_or_else(|error| {
        failed("breakers.unreachable", error.to_string());
        Vec::new()
    });

    // Raise alerts. Stop at the first error: the cause affects all alerts, and time is short.
    let alerts = judge(&breadcrumbs, &state.thresholds, now);
    for alert in alerts.into_iter().chain(breakers::judge(&standings, now)).chain(csp.alerts) {
        match state.alerts.raise(&alert, now).await {
            Ok(first) => summary.raised += usize::from(first),
            Err(error) => {
                failed("alert.unraised", error.to_string());
                break;
            }
        }
    }

    // Send alerts, including those that earlier runs could not send.
    match state.alerts.deliver(&state.sns, now).await {
        Err(error) => failed("alert.unsent", error.to_string()),
        Ok(delivery) => {
            summary.sent = delivery.sent;
            summary.digested = delivery.digested;
            summary.waiting = delivery.waiting;
            if let Some(failure) = delivery.failure {
                failed("alert.unsent", failure.to_string());
            }
        }
    }

    report.end(&summary, failures.is_empty());
    if failures.is_empty() { Ok(RunAnswer::Ran(summary)) } else { Err(RunFailure(failures)) }
}

/// Returns true unless the error is an outage or a loss of data in Redis.
fn is_failure(error: &StatisticsError) -> bool {
    !matches!(error, StatisticsError::Redis(_) | StatisticsError::Emptied)
}

/// Publishes `changed` and returns the number of changes.
async fn published(state: &MonitorState, changed: &[String], now: Timestamp) -> Result<usize, String> {
    if changed.len() > MOST_PUBLISHED {
        return Err(format!("{} changes are more than the {MOST_PUBLISHED} that are published at once", changed.len()));
    }
    // Parse all changes before any is published.
    let (of_catalogs, of_records): (Vec<&String>, Vec<&String>) =
        changed.iter().partition(|text| *text == CATALOGS_NAME);
    let marked = of_records.iter().map(|text| text.parse::<RecordId>().map_err(|error| format!("'{text}' {error}")));
    let marked = marked.collect::<Result<Vec<_>, _>>()?;
    // The catalogs share one version, which no record has.
    if !of_catalogs.is_empty() {
        catalogs::publish(&state.catalogs, &state.redis).await.map_err(|error| error.to_string())?;
    }
    if !marked.is_empty() {
        publish(&state.accounts, &state.redis, &marked, now).await.map_err(|error| error.to_string())?;
    }
    Ok(changed.len())
}

/// Reads the state of all providers about which a decision was ever made, and the latest decisions about those that are
/// given up.
async fn standings(table: &BreakersTable) -> Result<Vec<BreakerSummary>, breaker::BreakersTableError> {
    let mut standings = Vec::new();
    for provider in table.providers().await? {
        let state = table.read(&provider).await?;
        let history = match breakers::is_given_up(&state) {
            true => table.history(&provider, None, DECISIONS).await?,
            false => Vec::new(),
        };
        standings.push(BreakerSummary { provider, state, history });
    }
    Ok(standings)
}

/// Returns the breadcrumbs of the last [`WINDOW`], newest first.
async fn recent(table: &BreadcrumbTable, now: Timestamp) -> Result<Vec<Breadcrumb>, BreadcrumbTableError> {
    let mut recent = Vec::new();
    let mut after = None;
    for _ in 0..PAGES {
        let page = table.page(&Filter::default(), after.as_ref(), PAGE, now).await?;
        // Keep breadcrumbs within the window; the first older one ends the search.
        let is_recent = |breadcrumb: &Breadcrumb| Timestamp::from_millis(breadcrumb.last_at).until(now) <= WINDOW;
        let is_last = page.breadcrumbs.last().is_some_and(|last| !is_recent(last));
        recent.extend(page.breadcrumbs.into_iter().filter(is_recent));
        after = page.next;
        if is_last || after.is_none() {
            break;
        }
    }
    Ok(recent)
}
