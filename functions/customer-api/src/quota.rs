//! `GET /v1/quota` and `GET /v1/quota/history`: the caller's limits with their use, now and on past days.

use http::header::{CACHE_CONTROL, CONTENT_TYPE};
use http::{HeaderValue, Response, StatusCode};
use lambda_http::Request;
use levee::accounts::Owner;
use levee::clock::Timestamp;
use levee::http::{Caller, Problem};
use levee::limits::{Algorithm, AppliedLimit, Charge, Overrides, Party, PolicyScope, present};
use levee::quotas::{Asker, LimitView};
use levee::statistics::{Counted, Day, DayRow};
use levee::stores::with_timeout;
use serde::Serialize;

use crate::config::CustomerApiState;
use crate::parameters::{invalid, only_known, parameter};

/// `Retry-After` while a table cannot be read, seconds.
pub(crate) const RETRY_AFTER_SECS: u64 = 5;
/// Days of a history unless the request names another number.
const DEFAULT_DAYS: u64 = 30;
/// Largest number of days of a history: as long as statistics are kept.
const MOST_DAYS: u64 = 90;

/// Body of `GET /v1/quota`.
#[derive(Serialize)]
struct Quota<'a> {
    account: &'a str,
    integration: &'a str,
    /// True if the counts are missing, because Redis could not be reached.
    degraded: bool,
    policies: Vec<LimitView>,
}

/// Answers with the limits of the caller.
pub(crate) async fn now(
    state: &CustomerApiState,
    caller: &Caller,
    request: &Request,
    request_id: &str,
) -> Result<Response<String>, Problem> {
    only_known(request, &[])?;
    let now = state.clock.now();
    let (policies, degraded) = limits(state, caller, request_id, now).await?;
    json(StatusCode::OK, &Quota { account: &caller.account, integration: &caller.integration, degraded, policies })
}

/// Returns the views of the caller's limits, and true if their counts are missing.
async fn limits(
    state: &CustomerApiState,
    caller: &Caller,
    request_id: &str,
    now: Timestamp,
) -> Result<(Vec<LimitView>, bool), Problem> {
    // Read the records that decide about the limits, then the counts.
    let read = with_timeout(state.store_timeout, state.desk.owner(asker(caller))).await;
    let owner = read.map_err(|error| unavailable(request_id, &error))?;
    let gone = || Problem::new(StatusCode::NOT_FOUND, "not_found", "The account or the integration does not exist.");
    let (owner, platform, of_key) = owner.ok_or_else(gone)?;
    let applied = state.limits.applied(party(caller, &owner, &of_key), &platform, now);
    let charges: Vec<&Charge> = applied.iter().map(|limit| &limit.charge).collect();
    let readings = present(&state.redis, &charges, now).await;
    if let Err(error) = &readings {
        tracing::warn!(code = "quotas.uncounted", request.id = request_id, %error, "quotas are shown without counts");
    }
    // A grant is bounded by the account's share of the pool, which is not shown itself.
    let share = |limit: &AppliedLimit| {
        let pools = state.limits.pool(limit.class, &platform, now).into_iter();
        let is_in_flight = |algorithm: Algorithm| algorithm == Algorithm::Concurrency;
        let (policy, mut alike) = (limit.policy(), pools.filter(|(pool, _)| pool.window == limit.policy().window));
        alike.find(|(pool, _)| is_in_flight(pool.algorithm) == is_in_flight(policy.algorithm)).map(|(_, share)| share)
    };
    let reading = |place: usize| readings.as_ref().ok().and_then(|readings| readings.get(place));
    let view = |(place, limit)| LimitView::new(limit, reading(place), share(limit), &state.rules, now);
    Ok((applied.iter().enumerate().map(view).collect(), readings.is_err()))
}

/// Returns the caller as the desk of requests takes it.
pub(crate) fn asker(caller: &Caller) -> Asker<'_> {
    Asker { account: &caller.account, integration: &caller.integration, key: &caller.key }
}

fn party<'a>(caller: &'a Caller, owner: &'a Owner, of_key: &'a Overrides) -> Party<'a> {
    Party {
        account: &caller.account,
        integration: &caller.integration,
        key: &caller.key,
        of_account: &owner.account.limits,
        of_integration: &owner.integration.limits,
        of_key,
    }
}

/// Body of `GET /v1/quota/history`.
#[derive(Serialize)]
struct History {
    days: Vec<HistoryDay>,
}

/// Use of one policy on one day of UTC.
#[derive(Serialize)]
struct HistoryDay {
    date: String,
    policy: String,
    used: u64,
    refused: u64,
}

/// Answers with the use of the caller's limits by day, the latest day first.
pub(crate) async fn history(
    state: &CustomerApiState,
    caller: &Caller,
    request: &Request,
    request_id: &str,
) -> Result<Response<String>, Problem> {
    // Parse the number of days.
    only_known(request, &["days"])?;
    let days = match parameter(request, "days").map(str::parse) {
        None => DEFAULT_DAYS,
        Some(Ok(days)) if (1..=MOST_DAYS).contains(&days) => days,
        Some(_) => return Err(invalid(format!("'days' is a whole number from 1 to {MOST_DAYS}."))),
    };
    // Read the rows of the caller's own parts of the account.
    let today = Day::from_timestamp(state.clock.now());
    let from = today.back(days - 1);
    let parts = [
        Counted::Account,
        Counted::Class("ai".to_owned()),
        Counted::Integration(caller.integration.clone()),
        Counted::Key(caller.key.clone()),
    ];
    let [account, class, integration, key] =
        parts.each_ref().map(|part| state.statistics.of_part(&caller.account, part, from, today));
    let read = with_timeout(state.store_timeout, async { tokio::try_join!(account, class, integration, key) }).await;
    let (account, class, integration, key) = read.map_err(|error| unavailable(request_id, &error))?;
    let rows: Vec<DayRow> = [account, class, integration, key].concat();
    // List the caller's own policies: those of the pool and of addresses are not shown.
    let mut days: Vec<HistoryDay> = Vec::new();
    for DayRow { key, policies, .. } in &rows {
        let is_shown = |scope: PolicyScope| {
            !matches!(scope, PolicyScope::ClientAddress | PolicyScope::Share | PolicyScope::Global)
        };
        for (policy, day) in policies.iter().filter(|(_, day)| is_shown(day.scope)) {
            let (date, policy) = (key.day.to_string(), policy.clone());
            days.push(HistoryDay { date, policy, used: day.used, refused: day.refused });
        }
    }
    days.sort_by(|one, other| other.date.cmp(&one.date).then_with(|| one.policy.cmp(&other.policy)));
    json(StatusCode::OK, &History { days })
}

/// Returns a JSON response that no cache keeps.
pub(crate) fn json(status: StatusCode, body: &impl Serialize) -> Result<Response<String>, Problem> {
    let body = serde_json::to_string(body).map_err(|error| {
        tracing::error!(code = "customer_api.unserialized", %error, "an answer cannot be written as JSON");
        Problem::new(StatusCode::INTERNAL_SERVER_ERROR, "internal_error", "Something went wrong on our side.")
    })?;
    let mut response = Response::new(body);
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("private, no-store"));
    Ok(response)
}

/// Creates the problem of a request whose data cannot be read, and logs its cause.
pub(crate) fn unavailable(request_id: &str, error: &str) -> Problem {
    tracing::error!(code = "quotas.unreadable", request.id = request_id, error, "quotas cannot be read");
    let detail = format!("Quotas cannot be read right now. Retry in {RETRY_AFTER_SECS} seconds.");
    Problem::new(StatusCode::SERVICE_UNAVAILABLE, "store_unavailable", detail).retry_after(RETRY_AFTER_SECS)
}
