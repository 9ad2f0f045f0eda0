//! `/v1/quota/requests`: an account's requests for higher limits.

use std::time::Duration;

use http::header::{HeaderName, LOCATION};
use http::{HeaderValue, Response, StatusCode};
use lambda_http::{Request, RequestExt};
use levee::alerts::Alert;
use levee::clock::Timestamp;
use levee::http::{Caller, Problem};
use levee::quotas::{
    DecisionError, IdempotencyKey, QuotaAsk, QuotaRequest, RequestState, RequestView, SubmitError, Submitted,
};
use levee::stores::with_timeout;
use serde::Serialize;

use crate::config::CustomerApiState;
use crate::parameters::{invalid, only_known, parameter};
use crate::quota::{asker, json, unavailable};

/// Header with the client's key of a request.
const IDEMPOTENCY_KEY: &str = "idempotency-key";
/// Header of a response that repeats an earlier one.
const REPLAYED: HeaderName = HeaderName::from_static("idempotency-replayed");
/// First part of the keys of alerts about requests. The function's role may write no others (template.yaml).
pub const REQUEST_ALERT: &str = "quota.request";
/// Time in which another request of the same account raises no further alert.
const COOL_DOWN: Duration = Duration::from_secs(3600);
/// `Retry-After` after too many requests within a day, seconds.
const TOO_MANY_RETRY_SECS: u64 = 3600;
/// Requests in a page unless the request names another number.
const DEFAULT_LIMIT: usize = 20;
/// Largest number of requests in a page.
const MOST_LIMIT: usize = 100;
/// Longest id of a request, bytes.
const LONGEST_ID: usize = 40;

/// Stores a request, judges it, and answers with the result.
pub(crate) async fn create(
    state: &CustomerApiState,
    caller: &Caller,
    request: &Request,
    request_id: &str,
) -> Result<Response<String>, Problem> {
    // Parse the request and its key.
    only_known(request, &[])?;
    let now = state.clock.now();
    let idempotency = request.headers().get(IDEMPOTENCY_KEY).and_then(|value| value.to_str().ok());
    let idempotency = IdempotencyKey::parse(idempotency).map_err(|error| invalid(error.to_string()))?;
    let ask = QuotaAsk::from_json(request.body(), now).map_err(|error| invalid(error.to_string()))?;
    // Store it. The whole work has one time limit; a repetition with the same key is safe after it.
    let stores = (&state.limits, &state.rules, &state.statistics);
    let submit = state.desk.submit(asker(caller), ask, &idempotency, stores, now);
    let submitted = tokio::time::timeout(state.store_timeout, submit).await;
    let Submitted { request: stored, is_replay } = submitted
        .map_err(|_| unavailable(request_id, &format!("no answer within {:?}", state.store_timeout)))?
        .map_err(|error| refused(request_id, error))?;
    if stored.state == RequestState::Pending && !is_replay {
        alert(state, &stored, now).await;
    }
    // Answer with the request and its place.
    let mut response = json(StatusCode::CREATED, &RequestView::public(&stored, now))?;
    let headers = response.headers_mut();
    if let Ok(location) = HeaderValue::from_str(&format!("requests/{}", stored.id)) {
        headers.insert(LOCATION, location);
    }
    if is_replay {
        headers.insert(REPLAYED, HeaderValue::from_static("true"));
    }
    Ok(response)
}

/// Page of requests.
#[derive(Serialize)]
struct Requests {
    requests: Vec<RequestView>,
    next_cursor: Option<String>,
}

/// Answers with the account's requests, the newest first.
pub(crate) async fn list(
    state: &CustomerApiState,
    caller: &Caller,
    request: &Request,
    request_id: &str,
) -> Result<Response<String>, Problem> {
    // Parse the page.
    only_known(request, &["limit", "cursor"])?;
    let limit = match parameter(request, "limit").map(str::parse) {
        None => DEFAULT_LIMIT,
        Some(Ok(limit)) if (1..=MOST_LIMIT).contains(&limit) => limit,
        Some(_) => return Err(invalid(format!("'limit' is a whole number from 1 to {MOST_LIMIT}."))),
    };
    let cursor = parameter(request, "cursor");
    if cursor.is_some_and(|cursor| !is_id(cursor)) {
        return Err(invalid("'cursor' is the 'next_cursor' of the page before."));
    }
    // Read it.
    let read = state.desk.requests().requests(&caller.account, cursor, limit);
    let page = with_timeout(state.store_timeout, read).await.map_err(|error| unavailable(request_id, &error))?;
    let now = state.clock.now();
    let requests = page.requests.iter().map(|request| RequestView::public(request, now)).collect();
    json(StatusCode::OK, &Requests { requests, next_cursor: page.next })
}

/// Answers with one request of the account.
pub(crate) async fn get(
    state: &CustomerApiState,
    caller: &Caller,
    request: &Request,
    request_id: &str,
) -> Result<Response<String>, Problem> {
    only_known(request, &[])?;
    let id = id(request)?;
    let read = with_timeout(state.store_timeout, state.desk.requests().request(&caller.account, id)).await;
    let found = read.map_err(|error| unavailable(request_id, &error))?.ok_or_else(not_found)?;
    json(StatusCode::OK, &RequestView::public(&found, state.clock.now()))
}

/// Cancels a waiting request of the account, and answers with it.
pub(crate) async fn cancel(
    state: &CustomerApiState,
    caller: &Caller,
    request: &Request,
    request_id: &str,
) -> Result<Response<String>, Problem> {
    only_known(request, &[])?;
    let (id, now) = (id(request)?, state.clock.now());
    // Cancel it, and say why if that is not possible.
    let cancel = tokio::time::timeout(state.store_timeout, state.desk.cancel(&caller.account, id, &caller.key, now));
    let late = |_| unavailable(request_id, &format!("no answer within {:?}", state.store_timeout));
    let cancelled = cancel.await.map_err(late)?.map_err(|error| match error {
        DecisionError::NotFound => not_found(),
        DecisionError::NotPossible(sentence) => Problem::new(StatusCode::CONFLICT, "not_pending", sentence),
        DecisionError::Changed => {
            let sentence = "The request was changed by somebody else meanwhile. Read it again.";
            Problem::new(StatusCode::CONFLICT, "changed", sentence)
        }
        DecisionError::Table(error) => unavailable(request_id, &error.to_string()),
    })?;
    json(StatusCode::OK, &RequestView::public(&cancelled, now))
}

/// Turns the error of a request into its answer.
fn refused(request_id: &str, error: SubmitError) -> Problem {
    let unprocessable = |code, sentence: String| Problem::new(StatusCode::UNPROCESSABLE_ENTITY, code, sentence);
    match error {
        SubmitError::Wrong(error) => invalid(error.to_string()),
        SubmitError::NotPossible(sentence) => unprocessable("not_possible", sentence),
        SubmitError::Open(id) => {
            let sentence =
                format!("The request {id} about this limit waits for a decision. Cancel it to make another one.");
            Problem::new(StatusCode::CONFLICT, "request_open", sentence)
        }
        SubmitError::KeyReused => {
            let sentence = "This Idempotency-Key was used for another request. Use a new key for each request.";
            unprocessable("idempotency_key_reused", sentence.to_owned())
        }
        SubmitError::TooMany => {
            let sentence = "Your account has made too many requests today. Try again tomorrow.";
            Problem::new(StatusCode::TOO_MANY_REQUESTS, "too_many_requests", sentence).retry_after(TOO_MANY_RETRY_SECS)
        }
        SubmitError::Contended | SubmitError::Accounts(_) | SubmitError::Statistics(_) => {
            unavailable(request_id, &error.to_string())
        }
    }
}

/// Raises an alert about a request that waits. A failure is logged, because the request is stored nevertheless.
async fn alert(state: &CustomerApiState, request: &QuotaRequest, now: Timestamp) {
    let QuotaRequest { account, id, policy, limit, .. } = request;
    let alert = Alert {
        key: format!("{REQUEST_ALERT}/{account}"),
        title: format!("The account {account} asks for a higher limit"),
        detail: format!(
            "The request {id} asks for {limit} of '{policy}' and waits for a decision. Look at it with `levee request show \
             {account} {id}`, or at the page Requests of the board. Further requests of this account within an hour raise \
             no alert."
        ),
        cool_down: COOL_DOWN,
    };
    if let Err(error) = with_timeout(state.store_timeout, state.alerts.raise(&alert, now)).await {
        tracing::error!(
            code = "alert.untold",
            account.id = account,
            error,
            "an alert about a request could not be raised"
        );
    }
}

fn id(request: &Request) -> Result<&str, Problem> {
    let id = request.path_parameters_ref().and_then(|path| path.first("id")).unwrap_or_default();
    // An id of another form is that of no request.
    if is_id(id) { Ok(id) } else { Err(not_found()) }
}

fn is_id(text: &str) -> bool {
    let is_of_an_id = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    (1..=LONGEST_ID).contains(&text.len()) && text.bytes().all(is_of_an_id)
}

fn not_found() -> Problem {
    Problem::new(StatusCode::NOT_FOUND, "not_found", "There is no such request.")
}
