//! Data of the board at one moment. Each part is read by itself, with a time-out of its own. A part that cannot be
//! read is named, and the rest is shown.
//!
//! Start reading at [`take`].

mod limits;
mod providers;
mod redis;
mod tokens;

pub use limits::{DefaultLimit, LimitsReport, Near, Pool};
pub use providers::ProviderReport;
pub use redis::{Guard, RedisReport, RedisState};
pub use tokens::TokensReport;

use std::fmt::Display;

use ::http::StatusCode;
use levee::alerts::Raised;
use levee::breadcrumbs::{Breadcrumb, BreadcrumbTableError, Filter};
use levee::clock::Timestamp;
use levee::stores::with_timeout;
use levee::sync::lock;
use levee::web::{self, Answer, WebError};
use serde::{Serialize, Serializer};

use crate::breakers;
use crate::errors::ErrorReport;
use crate::health::{self, Health};
use crate::site::Call;

/// Number of newest errors that are shown.
const ERRORS: usize = 20;
/// Number of breadcrumbs per read.
const PAGE: usize = 100;
/// Maximum number of such reads. The older part of a larger storm is left out.
const MOST_PAGES: usize = 5;
/// Number of newest alerts that are shown.
const ALERTS: usize = 10;
/// Number of accounts whose limits and tokens are read.
pub(crate) const ACCOUNTS: usize = 100;

/// A moment, written to JSON in RFC 3339.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Moment(pub Timestamp);

impl Serialize for Moment {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0.to_rfc3339_millis())
    }
}

/// Data of the board. A part that is `None` could not be read.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Snapshot {
    /// Moment at which it was taken.
    pub at: Moment,
    /// Health of the platform in one word.
    pub overall: Health,
    /// Names of the parts that could not be read.
    pub failed_parts: Vec<&'static str>,
    /// True if no AI provider takes calls.
    pub no_ai_calls: bool,
    /// True if there are more accounts than the first 100 by id, whose limits and tokens are read.
    pub more_accounts: bool,
    /// State of Redis.
    pub redis: RedisReport,
    /// AI providers in order of preference.
    pub providers: Vec<ProviderReport>,
    /// Limits, and the accounts near a limit.
    pub limits: LimitsReport,
    /// Usage of the accounts in this month, highest first.
    pub tokens: Option<Vec<TokensReport>>,
    /// Newest errors.
    pub errors: Option<Vec<ErrorReport>>,
    /// Newest alerts.
    pub alerts: Option<Vec<AlertReport>>,
}

/// One alert.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct AlertReport {
    /// Identity of the alert: alerts with the same key are one.
    pub key: String,
    /// Title in one line.
    pub title: String,
    /// Known facts, and the action to take.
    pub detail: String,
    /// Moment at which it was raised.
    pub raised_at: Moment,
    /// Moment at which it was sent; `None` while it waits.
    pub sent_at: Option<Moment>,
    /// Number of times it was raised again during its cool-down.
    pub repeats: u64,
}

impl From<Raised> for AlertReport {
    fn from(Raised { key, title, detail, raised_at, sent_at, repeats }: Raised) -> Self {
        let moment = |secs| Moment(Timestamp::from_secs(secs));
        Self { key, title, detail, raised_at: moment(raised_at), sent_at: sent_at.map(moment), repeats }
    }
}

/// Reader of the parts, which collects the names of those that fail.
struct Parts<'a> {
    call: &'a Call<'a>,
    failed: std::sync::Mutex<Vec<&'static str>>,
}

impl Parts<'_> {
    /// Awaits `work` within the time-out of a part. Logs a failure and records it under the part's name.
    async fn read<T, E: Display>(&self, name: &'static str, work: impl Future<Output = Result<T, E>>) -> Option<T> {
        // A part may take two reads in sequence.
        let outcome = with_timeout(self.call.state.store_timeout * 2, work).await;
        outcome.map_err(|error| self.failed(name, &error)).ok()
    }

    fn failed(&self, name: &'static str, error: &str) {
        let request = self.call.request_id;
        tracing::warn!(
            code = "board.part_failed",
            request.id = request,
            part = name,
            error,
            "a part of the board is missing"
        );
        let mut failed = lock(&self.failed);
        if !failed.contains(&name) {
            failed.push(name);
        }
    }
}

/// Takes a snapshot.
pub(crate) async fn take(call: &Call<'_>) -> Snapshot {
    let state = call.state;
    let parts = &Parts { call, failed: std::sync::Mutex::default() };
    // Measure Redis first and by itself, so that no other work counts as its latency.
    let looked = redis::look(state).await;
    let is_redis_up = looked.is_ok();
    // Skip the headroom if Redis does not answer, as it is stored there.
    let headrooms =
        async { if is_redis_up { parts.read("headroom", state.headrooms.read(&state.providers)).await } else { None } };
    // Limits and tokens need the list of accounts first.
    let per_account = async {
        let accounts = parts.read("accounts", state.accounts.accounts(None, ACCOUNTS)).await;
        let more = accounts.as_ref().is_some_and(|(_, next)| next.is_some());
        let accounts = accounts.as_ref().map(|(accounts, _)| accounts.as_slice());
        let (limits, tokens) = tokio::join!(limits::read(parts, accounts), tokens::read(parts, accounts));
        (more, limits, tokens)
    };
    // Read all parts at the same time.
    let (authorization, redis, (more_accounts, limits, tokens), recent, alerts, breakers, headrooms) = tokio::join!(
        parts.read("authorization", health::accounts_are_readable(state)),
        redis::report(parts, looked),
        per_account,
        parts.read("errors", recent(call)),
        parts.read("alerts", state.alerts.recent(ALERTS, call.now)),
        parts.read("breakers", breakers::read(state, &state.providers, call.now)),
        headrooms,
    );
    // Put the parts together.
    let no_ai_calls = breakers.as_deref().is_some_and(breakers::none_takes_calls);
    let providers = providers::judge(&state.providers, breakers, recent.as_deref(), headrooms.as_deref(), call.now);
    let newest = |recent: Vec<Breadcrumb>| {
        recent.into_iter().take(ERRORS).map(|breadcrumb| ErrorReport::new(breadcrumb, call.links)).collect()
    };
    let errors = recent.map(newest);
    let mut failed_parts = lock(&parts.failed).clone();
    failed_parts.sort_unstable();
    // Without authorization the platform is down. Any other failure degrades it.
    let is_degraded = redis.state == RedisState::Down || no_ai_calls || !failed_parts.is_empty();
    let overall = match authorization {
        None => Health::Down,
        Some(()) if is_degraded => Health::Degraded,
        Some(()) => Health::Up,
    };
    let alerts = alerts.map(|alerts| alerts.into_iter().map(AlertReport::from).collect());
    let at = Moment(call.now);
    Snapshot { at, overall, failed_parts, more_accounts, no_ai_calls, redis, providers, limits, tokens, errors, alerts }
}

/// Answers with a snapshot as JSON.
pub(crate) async fn json(call: &Call<'_>) -> Result<Answer, WebError> {
    Ok(web::json(StatusCode::OK, &take(call).await))
}

/// Reads the breadcrumbs of the last hour, and older ones until there are as many as the board shows.
async fn recent(call: &Call<'_>) -> Result<Vec<Breadcrumb>, BreadcrumbTableError> {
    let is_recent = |it: &Breadcrumb| Timestamp::from_millis(it.last_at).plus(providers::HOUR) >= call.now;
    let enough = |found: &[Breadcrumb]| found.len() >= ERRORS && found.last().is_some_and(|last| !is_recent(last));
    breadcrumbs(call, &Filter::default(), enough).await
}

/// Reads the newest breadcrumbs that match `filter`, until `enough` returns true or the maximum of reads is reached. A
/// page may be short although there are more.
async fn breadcrumbs(
    call: &Call<'_>,
    filter: &Filter,
    enough: impl Fn(&[Breadcrumb]) -> bool,
) -> Result<Vec<Breadcrumb>, BreadcrumbTableError> {
    let (mut found, mut after) = (Vec::new(), None);
    for _ in 0..MOST_PAGES {
        let page = call.state.breadcrumbs.page(filter, after.as_ref(), PAGE, call.now).await?;
        found.extend(page.breadcrumbs);
        after = page.next;
        if after.is_none() || enough(&found) {
            break;
        }
    }
    Ok(found)
}
