//! One run, from top to bottom.

use std::pin::Pin;
use std::time::Duration;

use lambda_runtime::Diagnostic;
use levee::accounts::publish;
use levee::breadcrumbs::{Breadcrumb, BreadcrumbTable, Filter, TableError};
use levee::breaker::{self, BreakersTable};
use levee::clock::Timestamp;
use levee::limits::markers::Marked;
use levee::limits::statistics::{Folded, Restored, StatisticsError};
use serde::{Deserialize, Serialize};
use tokio::time::Instant;

use crate::config::State;
use crate::judge::{Standing, WINDOW, breakers, judge};
use crate::report;
use crate::settle::{Settled, settle};

/// Breadcrumbs that are asked for at once.
const PAGE: usize = 100;
/// Pages that are read. Of more breadcrumbs, the newest are judged.
const PAGES: usize = 20;
/// Decisions that are read of a provider that is given up: more than one makes in its first minute.
const DECISIONS: u16 = 50;
/// How long a run may fold statistics and restore counters, so that there is time left for alerts.
const STATISTICS_BUDGET: Duration = Duration::from_secs(25);
/// How long a run may begin to settle calls.
const SETTLING_BUDGET: Duration = Duration::from_secs(8);
/// The most changes that one event may publish.
const MOST_PUBLISHED: usize = 100;

/// EventBridge's scheduled event, as far as it matters, or the operators' command's.
#[derive(Debug, Clone, Default, Deserialize)]
pub struct Event {
    /// The event's id, by which the run is named in logs.
    #[serde(default)]
    pub id: String,
    /// What was changed and is to be published, as [`Marked`] is written; at most 100. A run with any does nothing else:
    /// the operators' command, which cannot reach Redis, asks for it.
    #[serde(default)]
    pub publish: Vec<String>,
}

/// What became of an event.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(untagged)]
pub enum Answer {
    /// A run.
    Ran(Summary),
    /// Changes were published.
    Published {
        /// How many.
        published: usize,
    },
}

/// What a run did.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Summary {
    /// Counters that were restored in Redis.
    pub restored: usize,
    /// Minutes whose tallies were folded into statistics.
    pub minutes: usize,
    /// Rows of statistics that were written.
    pub rows: usize,
    /// Calls that were given up on.
    pub settled: usize,
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

/// Folds statistics, settles calls that never came to their end, judges recent errors and where providers stand, raises
/// alerts, and sends what waits; or publishes what the event names.
///
/// # Errors
/// [`Failure`] with everything that could not be done, after all of it was tried.
// Boxed: as it is, it nests deeper than the compiler follows in the program around it.
pub fn handle(state: &State, event: Event) -> Pin<Box<dyn Future<Output = Result<Answer, Failure>> + '_>> {
    Box::pin(run(state, event))
}

async fn run(state: &State, event: Event) -> Result<Answer, Failure> {
    let now = state.clock.now();
    let mut report = report::begin(&event.id);
    let mut summary = Summary::default();
    let mut failures = Vec::new();
    let mut failed = |code: &'static str, error: String| {
        tracing::error!(code, request.id = event.id, error, "a part of the monitor's run failed");
        failures.push(error);
    };

    // Publish changes, if that is what the event is about.
    if !event.publish.is_empty() {
        let published =
            published(state, &event.publish, now).await.map_err(|error| failed("monitor.unpublished", error));
        report.end(&summary, failures.is_empty());
        return published.map(|published| Answer::Published { published }).map_err(|()| Failure(failures));
    }

    // Give Redis back what it has lost, then fold what it has counted. That Redis is gone is told by its own code, and is
    // no failure of this run.
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

    // Judge what went wrong lately.
    let breadcrumbs = recent(&state.breadcrumbs, now).await.unwrap_or_else(|error| {
        failed("monitor.blind", error.to_string());
        Vec::new()
    });
    summary.judged = breadcrumbs.len();

    // Judge where providers stand.
    let standings = standings(&state.breakers).await.unwrap_or_else(|error| {
        failed("breakers.unreachable", error.to_string());
        Vec::new()
    });

    // Raise what somebody should be told of. What keeps one alert from being raised keeps the others too, and time is
    // short.
    let alerts = judge(&breadcrumbs, &state.thresholds, now);
    for alert in alerts.into_iter().chain(breakers::judge(&standings, now)) {
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
    if failures.is_empty() { Ok(Answer::Ran(summary)) } else { Err(Failure(failures)) }
}

fn is_failure(error: &StatisticsError) -> bool {
    !matches!(error, StatisticsError::Redis(_) | StatisticsError::Emptied)
}

/// Publishes `changed`; how many they are.
async fn published(state: &State, changed: &[String], now: Timestamp) -> Result<usize, String> {
    if changed.len() > MOST_PUBLISHED {
        return Err(format!("{} changes are more than the {MOST_PUBLISHED} that are published at once", changed.len()));
    }
    let marked = changed.iter().map(|text| text.parse::<Marked>().map_err(|error| format!("'{text}' {error}")));
    let marked = marked.collect::<Result<Vec<_>, _>>()?;
    publish(&state.accounts, &state.redis, &marked, now).await.map_err(|error| error.to_string())?;
    Ok(marked.len())
}

/// Where all providers stand of which anything was ever decided; of those that are given up, how it came to that.
async fn standings(table: &BreakersTable) -> Result<Vec<Standing>, breaker::TableError> {
    let mut standings = Vec::new();
    for provider in table.providers().await? {
        let state = table.read(&provider).await?;
        let history = match breakers::is_given_up(&state) {
            true => table.history(&provider, None, DECISIONS).await?,
            false => Vec::new(),
        };
        standings.push(Standing { provider, state, history });
    }
    Ok(standings)
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
