//! One run, from top to bottom.

use lambda_runtime::Diagnostic;
use levee::breadcrumbs::{Breadcrumb, BreadcrumbTable, Filter, TableError};
use levee::clock::Timestamp;
use serde::{Deserialize, Serialize};

use crate::config::State;
use crate::judge::{WINDOW, judge};
use crate::report;

/// Breadcrumbs that are asked for at once.
const PAGE: usize = 100;
/// Pages that are read. Of more breadcrumbs, the newest are judged.
const PAGES: usize = 20;

/// EventBridge's scheduled event, as far as it matters.
#[derive(Debug, Clone, Default, Deserialize)]
pub struct Event {
    /// The event's id, by which the run is named in logs.
    #[serde(default)]
    pub id: String,
}

/// What a run did.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Summary {
    /// Breadcrumbs that were judged.
    pub judged: usize,
    /// Alerts that were raised and are new.
    pub raised: usize,
    /// Alerts that were sent, each in its own message.
    pub sent: usize,
    /// Alerts that were sent in one digest.
    pub digested: usize,
    /// Alerts that still wait.
    pub waiting: usize,
}

/// A run of which a part failed. Everything was tried; the next run tries again.
#[derive(Debug, thiserror::Error)]
#[error("{}", .0.join("; "))]
pub struct Failure(Vec<String>);

impl From<Failure> for Diagnostic {
    fn from(failure: Failure) -> Self {
        Self { error_type: "MonitorFailure".to_owned(), error_message: failure.to_string() }
    }
}

/// Judges recent errors, raises alerts, and sends what waits.
///
/// # Errors
/// [`Failure`] with everything that could not be done, after all of it was tried.
pub async fn handle(state: &State, event: Event) -> Result<Summary, Failure> {
    let now = state.clock.now();
    let mut report = report::begin(&event.id);
    let mut summary = Summary::default();
    let mut failures = Vec::new();
    let mut failed = |code: &'static str, error: String| {
        tracing::error!(code, request.id = event.id, error, "a part of the monitor's run failed");
        failures.push(error);
    };

    // Judge what went wrong lately.
    let breadcrumbs = recent(&state.breadcrumbs, now).await.unwrap_or_else(|error| {
        failed("monitor.blind", error.to_string());
        Vec::new()
    });
    summary.judged = breadcrumbs.len();

    // Raise what somebody should be told of. What keeps one alert from being raised keeps the others too, and time is
    // short.
    for alert in judge(&breadcrumbs, &state.thresholds, now) {
        match state.alerts.raise(&alert, now).await {
            Ok(first) => summary.raised += usize::from(first),
            Err(error) => {
                failed("alert.unraised", error.to_string());
                break;
            }
        }
    }

    // Tell them, also of what earlier runs could not send.
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
    if failures.is_empty() { Ok(summary) } else { Err(Failure(failures)) }
}

/// The breadcrumbs of the last [`WINDOW`], newest first.
async fn recent(table: &BreadcrumbTable, now: Timestamp) -> Result<Vec<Breadcrumb>, TableError> {
    let mut recent = Vec::new();
    let mut after = None;
    for _ in 0..PAGES {
        let page = table.page(&Filter::default(), after.as_ref(), PAGE, now).await?;
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
