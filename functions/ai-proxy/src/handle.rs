//! Handles one AI call from the request to the response.
//!
//! [`handle`] is the entry point. It reads the authorizer's verdict, serves the call, refunds the caller's charge if
//! the platform failed, and adds the headers that every response has. Errors become responses here, so [`handle`]
//! itself cannot fail.

use std::time::Duration;

use bytes::Bytes;
use http::header::RETRY_AFTER;
use http::{HeaderMap, HeaderValue, Method, StatusCode};
use lambda_http::{Request, RequestExt, Response};
use levee::accounts::Terms;
use levee::clock::{Clock, Timestamp};
use levee::http::anthropic::ErrorKind;
use levee::http::{
    Admission, Caller, LONGEST_SDK_WAIT_SECS, Rejection, SHOULD_RETRY_HEADER, UNREADABLE, admit, refund,
};
use levee::metering::estimate_prompt;
use tokio::sync::OnceCell;
use tokio::time::Instant;

use crate::answer::{ApiError, Body};
use crate::asked::RequestBody;
use crate::body;
use crate::cap::CapCheck;
use crate::config::ProxyState;
use crate::deadlines::{ResponseMode, class};
use crate::demands::Demands;
use crate::exchange::{self, Ask, Exchange, Waited};
use crate::guards;
use crate::headers::protect;
use crate::in_flight::InFlight;
use crate::models::{self, ModelsPage};
use crate::report::{CallReport, display_model};
use crate::routes::{Operation, operation};

/// Time before the function's deadline at which a stream is ended, so that its last event and its usage can still be
/// written.
const BEFORE_DEADLINE: Duration = Duration::from_secs(2);

/// Header with the caller's name for a session. It is neither stored nor passed on.
const SESSION_HEADER: &str = "x-levee-session";

/// Serves one request. Every error becomes a response.
pub async fn handle(state: &ProxyState, request: Request) -> Response<Body> {
    // Read the authorizer's verdict from the request's context.
    let Admission { verdict, request_id, headers, leases, charged, .. } = admit(&request);
    let report = CallReport::begin(&request_id, operation(&request));
    let in_flight = InFlight::new(&state.releases, &request_id, leases, &report);
    // Serve the call if it was admitted. The leases are extended while it runs.
    let answer = match verdict {
        Ok(caller) => {
            in_flight.hold();
            serve(state, &caller, &request_id, &request, &report, &in_flight).await
        }
        Err(Rejection::Unreadable) => Err(ApiError::upstream(ErrorKind::Unavailable, UNREADABLE)),
        Err(Rejection::BadRequest(reason)) => Err(ApiError::by_caller(ErrorKind::InvalidRequest, reason)),
        // On this route the gateway answers calls over a limit itself, so `Limited` does not arrive here.
        Err(Rejection::Forbidden(reason) | Rejection::Limited(reason, _)) => {
            Err(ApiError::by_caller(ErrorKind::Permission, reason))
        }
    };
    // Log an error and turn it into a response.
    let is_our_fault = answer.as_ref().map_or_else(is_platforms, |response| is_unserved(response.status()));
    let mut response = answer.unwrap_or_else(|failed| {
        report.failed(failed.kind, &failed.message);
        failed.into_response(&request_id)
    });
    // Refund the call's charge if the platform or the provider failed.
    if is_our_fault {
        refund(&charged, &state.redis, response.headers_mut()).await;
    }
    // A stream releases the places in flight when it ends. Every other response is complete now.
    if !response.body().is_stream() {
        in_flight.give_back().await;
    }
    report.status(response.status());
    // Add the headers that every response has.
    let is_stream = response.body().is_stream();
    protect(response.headers_mut(), is_stream);
    advise(response.status(), response.headers_mut());
    response.headers_mut().extend(headers);
    state.allowed_origin.sign(response.headers_mut());
    response
}

/// Returns true for a status of an answer that did not serve the call through no fault of the caller.
fn is_unserved(status: StatusCode) -> bool {
    status.is_server_error() || status == StatusCode::TOO_MANY_REQUESTS
}

/// Tells official SDKs not to retry after a caller's mistake, or when the wait is longer than they sit out
/// ([`LONGEST_SDK_WAIT_SECS`]).
fn advise(status: StatusCode, headers: &mut HeaderMap) {
    use StatusCode as S;
    let may_pass = matches!(status, S::REQUEST_TIMEOUT | S::CONFLICT | S::TOO_MANY_REQUESTS);
    let wait: Option<u64> = headers.get(RETRY_AFTER).and_then(|wait| wait.to_str().ok()?.parse().ok());
    if (status.is_client_error() && !may_pass) || wait.is_some_and(|secs| secs > LONGEST_SDK_WAIT_SECS) {
        headers.entry(SHOULD_RETRY_HEADER).or_insert(HeaderValue::from_static("false"));
    }
}

/// Returns true if the platform or a provider caused `failed`.
fn is_platforms(failed: &ApiError) -> bool {
    use ErrorKind::{BadGateway, Overloaded, ProviderLimit, Timeout, Unavailable};
    matches!(failed.kind, BadGateway | Overloaded | ProviderLimit | Timeout | Unavailable)
}

async fn serve(
    state: &ProxyState,
    caller: &Caller,
    id: &str,
    request: &Request,
    report: &CallReport,
    in_flight: &InFlight,
) -> Result<Response<Body>, ApiError> {
    // Start the call's clocks and name the caller in the wide event.
    let (started_at, began) = (state.clock.now(), Instant::now());
    report.caller(caller);
    // A call without model, session and tokens. Each operation sets the fields that it needs.
    let ask = |method, segments, body| Ask {
        method,
        segments,
        query: request.uri().query(),
        headers: request.headers(),
        body,
        prompt_tokens: 0,
        model: String::new(),
        told_model: String::new(),
        awaited: ResponseMode::Whole,
        class: "other".to_owned(),
        session: session_of(&caller.account, id),
        call: session_of(&caller.account, id),
    };
    let exchange = |ask, spending: Option<CapCheck>| Exchange {
        state,
        caller,
        request_id: id,
        ask,
        report: report.clone(),
        in_flight: in_flight.clone(),
        invocation_id: request.lambda_context_ref().map_or(id, |context| &context.request_id).to_owned(),
        spending,
        started_at,
        began,
        deadline: deadline(request),
        waited: Waited::default(),
        is_counted: false.into(),
        token_state: OnceCell::new(),
    };

    match operation(request) {
        Some(Operation::Message) => {
            let (asked, body) = read_body(request)?;
            let (model, is_streamed) = (display_model(&asked.model).to_owned(), asked.is_streamed());
            report.requested(&model, is_streamed);
            // Check the model, the guards and the cap before anything is sent.
            asked.check_model()?;
            check_guards(&caller.terms, || Demands::of_message(request.headers(), &body))?;
            let spending = CapCheck::admit(&state.caps, report, &caller.account, caller.terms.cap, started_at).await?;
            // Send the call to the providers. A session stays at one provider.
            let awaited = if is_streamed { ResponseMode::FirstContent } else { ResponseMode::Whole };
            let ask = Ask {
                class: class(awaited, &model, body.len(), asked.max_tokens()),
                session: session(&caller.account, request.headers(), &asked, id),
                prompt_tokens: estimate_prompt(&body),
                model: asked.model,
                told_model: model,
                awaited,
                ..ask(Method::POST, vec!["v1", "messages"], Some(body))
            };
            exchange::serve(&exchange(ask, Some(spending))).await
        }
        Some(Operation::CountTokens) => {
            let (asked, body) = read_body(request)?;
            report.requested(display_model(&asked.model), false);
            asked.check_model()?;
            check_guards(&caller.terms, || Demands::of_count(request.headers(), &body))?;
            let segments = vec!["v1", "messages", "count_tokens"];
            let ask = Ask { model: asked.model, ..ask(Method::POST, segments, Some(body)) };
            exchange::serve(&exchange(ask, None)).await
        }
        Some(Operation::Models) if caller.terms.limit_models() => {
            // Fetch the provider's whole list and make the caller's page from the models that are allowed.
            let page = ModelsPage::parse(request.uri().query().unwrap_or_default())?;
            let query = page.query_of_all();
            let ask = Ask { query: Some(&query), ..ask(Method::GET, vec!["v1", "models"], None) };
            let mut response = exchange::serve(&exchange(ask, None)).await?;
            if let (true, Body::Full(Some(list))) = (response.status().is_success(), response.body()) {
                *response.body_mut() = Body::Full(Some(page.cut(list, &caller.terms)?));
            }
            Ok(response)
        }
        Some(Operation::Models) => exchange::serve(&exchange(ask(Method::GET, vec!["v1", "models"], None), None)).await,
        Some(Operation::Model) => {
            let parameters = request.path_parameters();
            let id = models::id(parameters.first("id").unwrap_or_default(), &caller.terms)?;
            exchange::serve(&exchange(ask(Method::GET, vec!["v1", "models", &id], None), None)).await
        }
        None => Err(ApiError::by_caller(ErrorKind::NotFound, "There is no such route.")),
    }
}

/// Reads the fields that the proxy needs from a request's body, and returns them with a copy of the body.
fn read_body(request: &Request) -> Result<(RequestBody, Bytes), ApiError> {
    let asked = body::check_encoding(request.headers()).and_then(|()| body::read(request.body()));
    let asked = asked.map_err(|wrong| ApiError::by_caller(ErrorKind::InvalidRequest, wrong.to_string()))?;
    Ok((asked, Bytes::copy_from_slice(request.body())))
}

/// Checks a body against the guards in `terms`. The body is read only if a guard limits bodies.
fn check_guards(terms: &Terms, read: impl FnOnce() -> Result<Demands, serde_json::Error>) -> Result<(), ApiError> {
    if !terms.guards().iter().any(|(_, guards)| guards.limit_bodies()) {
        return Ok(());
    }
    // The body has been parsed before, so an error here is a duplicate field or a value of the wrong type.
    let demands = read().map_err(|_| {
        let message = "An object in the request body has a field twice, or another value is in its place.";
        ApiError::by_caller(ErrorKind::InvalidRequest, message)
    })?;
    guards::check(&demands, terms)
}

/// Returns the key that keeps related calls at one provider, which has their prompt in its cache. It is the value of
/// `x-levee-session`, else `metadata.user_id`, else the id of this call.
fn session(account: &str, headers: &HeaderMap, asked: &RequestBody, id: &str) -> String {
    let header = headers.get(SESSION_HEADER).and_then(|value| value.to_str().ok());
    let session = [header, asked.user()].into_iter().flatten().find(|session| !session.is_empty()).unwrap_or(id);
    session_of(account, session)
}

/// Returns a session key that includes the account, so that two accounts never share a session.
fn session_of(account: &str, name: &str) -> String {
    format!("{account}/{name}")
}

/// Returns the moment at which the call must have ended: [`BEFORE_DEADLINE`] before the function's deadline.
fn deadline(request: &Request) -> Instant {
    let left = request.lambda_context_ref().map_or(0, |context| context.deadline);
    let left = Clock::system().now().until(Timestamp::from_millis(left));
    Instant::now() + left.saturating_sub(BEFORE_DEADLINE)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn session_for(header: Option<&'static [u8]>, metadata: &str) -> String {
        let header = header.map(|value| HeaderValue::from_bytes(value).unwrap());
        let headers = header.map(|value| (http::HeaderName::from_static(SESSION_HEADER), value)).into_iter().collect();
        let asked = serde_json::from_str(&format!(r#"{{"model":"m","metadata":{metadata}}}"#)).unwrap();
        session("acme", &headers, &asked, "r-1")
    }

    #[test]
    fn calls_belong_to_the_session_that_is_named_else_to_the_user_else_to_nothing() {
        let user = r#"{"user_id":"u-1"}"#;
        assert_eq!(session_for(Some(b"s-1"), user), "acme/s-1");
        assert_eq!(session_for(None, user), "acme/u-1");
        for metadata in ["{}", "null", r#"{"user_id":7}"#, r#"{"user_id":""}"#] {
            assert_eq!(session_for(None, metadata), "acme/r-1", "{metadata}");
        }
    }

    #[test]
    fn an_answer_says_where_another_try_cannot_help() {
        for (status, wait, expected) in [
            (400, None, true),
            (404, None, true),
            (413, None, true),
            (422, None, true),
            (408, None, false),
            (409, None, false),
            (429, Some("60"), false),
            (429, Some("61"), true),
            (529, Some("1795"), true),
            (529, Some("1"), false),
            (500, Some("Sun, 22 Nov 2026 02:00:00 GMT"), false),
            (200, None, false),
        ] {
            let mut headers = HeaderMap::new();
            headers.extend(wait.map(|wait| (RETRY_AFTER, HeaderValue::from_static(wait))));
            advise(StatusCode::from_u16(status).unwrap(), &mut headers);
            assert_eq!(headers.contains_key(SHOULD_RETRY_HEADER), expected, "{status} {wait:?}");
        }
    }

    #[test]
    fn a_session_without_a_name_is_none() {
        assert_eq!(session_for(Some(b""), "{}"), "acme/r-1");
        assert_eq!(session_for(Some(b""), r#"{"user_id":"u-1"}"#), "acme/u-1");
        assert_eq!(session_for(Some(b"\xff"), r#"{"user_id":"u-1"}"#), "acme/u-1");
    }
}
