//! Everything that the board shows, at one moment. Each part is read by itself, within a time of its own: what cannot
//! be read is named, and the rest is shown.

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
use levee::breadcrumbs::{Breadcrumb, Filter, TableError};
use levee::clock::Timestamp;
use levee::stores::with_timeout;
use levee::sync::lock;
use serde::{Serialize, Serializer};

use crate::answer::{self, Answer};
use crate::breakers;
use crate::call::Call;
use crate::errors::ErrorReport;
use crate::health::{self, Health};

/// How many of the newest errors are shown.
const ERRORS: usize = 20;
/// How many breadcrumbs are read at once.
const PAGE: usize = 100;
/// How often, at most: of a larger storm the older part is not looked at.
const MOST_PAGES: usize = 5;
/// How many of the newest alerts are shown.
const ALERTS: usize = 10;
/// Of how many accounts limits and tokens are looked at.
pub(crate) const ACCOUNTS: usize = 100;

/// A moment; RFC 3339 in JSON.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Moment(pub Timestamp);

impl Serialize for Moment {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0.to_rfc3339_millis())
    }
}

/// The board. A part that is `None` could not be read.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Snapshot {
    /// When it was taken.
    pub at: Moment,
    /// The platform in a word.
    pub overall: Health,
    /// The parts that could not be read.
    pub failed_parts: Vec<&'static str>,
    /// True if no AI provider takes calls.
    pub no_ai_calls: bool,
    /// Whether there are more accounts than limits and tokens look at, which is the first 100 by id.
    pub more_accounts: bool,
    /// Redis.
    pub redis: RedisReport,
    /// The AI providers in order of preference.
    pub providers: Vec<ProviderReport>,
    /// Limits and who is near them.
    pub limits: LimitsReport,
    /// What the accounts used in this month, the most first.
    pub tokens: Option<Vec<TokensReport>>,
    /// The newest errors.
    pub errors: Option<Vec<ErrorReport>>,
    /// The newest alerts.
    pub alerts: Option<Vec<AlertReport>>,
}

/// One alert.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct AlertReport {
    /// What makes two alerts the same one.
    pub key: String,
    /// One line.
    pub title: String,
    /// What is known, and what to do.
    pub detail: String,
    /// When it was raised.
    pub raised_at: Moment,
    /// When somebody was told; `None` while it waits.
    pub sent_at: Option<Moment>,
    /// How often it was raised again while it cooled down.
    pub repeats: u64,
}

impl From<Raised> for AlertReport {
    fn from(Raised { key, title, detail, raised_at, sent_at, repeats }: Raised) -> Self {
        let moment = |secs| Moment(Timestamp::from_secs(secs));
        Self { key, title, detail, raised_at: moment(raised_at), sent_at: sent_at.map(moment), repeats }
    }
}

/// The parts as they are read, each with the time that it may take.
struct Parts<'a> {
    call: &'a Call<'a>,
    failed: std::sync::Mutex<Vec<&'static str>>,
}

impl Parts<'_> {
    /// What `work` finds out in time; a failure is remembered and logged under the part's name.
    async fn read<T, E: Display>(&self, name: &'static str, work: impl Future<Output = Result<T, E>>) -> Option<T> {
        // A part may be two reads, one after the other.
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
    let looked = redis::look(state).await;
    let is_redis_up = looked.is_ok();
    let headrooms =
        async { if is_redis_up { parts.read("headroom", state.headrooms.read(&state.providers)).await } else { None } };
    let per_account = async {
        let accounts = parts.read("accounts", state.accounts.accounts(None, ACCOUNTS)).await;
        let more = accounts.as_ref().is_some_and(|(_, next)| next.is_some());
        let accounts = accounts.as_ref().map(|(accounts, _)| accounts.as_slice());
        let (limits, tokens) = tokio::join!(limits::read(parts, accounts), tokens::read(parts, accounts));
        (more, limits, tokens)
    };
    let (authorization, redis, (more_accounts, limits, tokens), recent, alerts, breakers, headrooms) = tokio::join!(
        parts.read("authorization", health::accounts_are_readable(state)),
        redis::report(parts, looked),
        per_account,
        parts.read("errors", recent(call)),
        parts.read("alerts", state.alerts.recent(ALERTS, call.now)),
        parts.read("breakers", breakers::read(state, &state.providers, call.now)),
        headrooms,
    );
    let no_ai_calls = breakers.as_deref().is_some_and(breakers::none_takes_calls);
    let providers = providers::judge(&state.providers, breakers, recent.as_deref(), headrooms.as_deref(), call.now);
    let newest = |recent: Vec<Breadcrumb>| {
        recent.into_iter().take(ERRORS).map(|breadcrumb| ErrorReport::new(breadcrumb, call.links)).collect()
    };
    let errors = recent.map(newest);
    let mut failed_parts = lock(&parts.failed).clone();
    failed_parts.sort_unstable();
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

/// The snapshot for programs.
pub(crate) fn json(snapshot: &Snapshot) -> Answer {
    answer::json(StatusCode::OK, snapshot)
}

/// The breadcrumbs of the last hour, and as many before as are shown.
async fn recent(call: &Call<'_>) -> Result<Vec<Breadcrumb>, TableError> {
    let is_recent = |it: &Breadcrumb| Timestamp::from_millis(it.last_at).plus(providers::HOUR) >= call.now;
    let enough = |found: &[Breadcrumb]| found.len() >= ERRORS && found.last().is_some_and(|last| !is_recent(last));
    breadcrumbs(call, &Filter::default(), enough).await
}

/// The newest breadcrumbs that `filter` lets pass, until they are `enough` or too many. A page may be short although
/// there are more.
async fn breadcrumbs(
    call: &Call<'_>,
    filter: &Filter,
    enough: impl Fn(&[Breadcrumb]) -> bool,
) -> Result<Vec<Breadcrumb>, TableError> {
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
