//! One request, from its arrival to its answer.

use http::header::{ALLOW, STRICT_TRANSPORT_SECURITY, X_CONTENT_TYPE_OPTIONS};
use http::{HeaderMap, HeaderValue, Response};
use lambda_http::Request;
use levee::http::{Links, REQUEST_ID_HEADER, request_id};

use crate::answer::{Answer, see_other};
use crate::call::{Call, Form, path_and_links};
use crate::config::BoardState;
use crate::error::BoardError;
use crate::routes::{MatchedRoute, Operation, Route, answers_json};
use crate::{
    accounts, audit, board, breakers, cookies, errors, gate, health, layout, login, not_offered, preflight, report,
    requests, snapshot, usage,
};

/// Serves one request. It never fails: every error becomes an answer.
pub async fn handle(state: &BoardState, request: Request) -> Response<String> {
    let id = request_id(&request);
    let mut report = report::begin(&id);
    let (path, links) = path_and_links(&request);
    let links = state.base_url.clone().unwrap_or(links);
    // Answer the requests that are not for the board: CORS preflights of API routes, and paths that no other route
    // takes.
    let asked = preflight::requested_route(&request);
    if asked.is_some() || not_offered::is_asked(&request) {
        let answer = match asked {
            Some((_, method)) => preflight::answer(&state.allowed_origin, method),
            None => Err(not_offered::problem(&path, &links)),
        };
        let problem = answer.as_ref().err().cloned();
        let mut answer = answer.unwrap_or_else(|problem| not_offered::answer(&problem, &id));
        state.allowed_origin.sign(answer.headers_mut());
        sign(answer.headers_mut(), &links, &id);
        report.answered(answer.status(), problem.as_ref());
        return answer;
    }
    // Find the route and serve it.
    let mut limits = HeaderMap::new();
    let answer = match state.router.find(request.method(), &path) {
        MatchedRoute::Route(route, named) => {
            report.route(route.1);
            limits = gate::limits(&request, route.2);
            // Read the clock once, so that the whole request has one time.
            let now = state.clock.now();
            let call = Call { state, request: &request, links: &links, request_id: &id, now, id: named };
            serve(&call, route).await
        }
        MatchedRoute::Methods(methods) => Err(BoardError::Method(methods)),
        MatchedRoute::Nothing => Err(BoardError::NotFound),
    };
    // Turn a failure into an answer, and add the headers that every answer has.
    let problem = answer.as_ref().err().map(BoardError::problem);
    let mut answer = answer.unwrap_or_else(|failed| refuse(&failed, &path, &links, &id));
    let headers = answer.headers_mut();
    headers.extend(limits);
    sign(headers, &links, &id);
    report.answered(answer.status(), problem.as_ref());
    answer
}

/// Adds the headers that every answer must have.
fn sign(headers: &mut HeaderMap, links: &Links, id: &str) {
    if let Ok(id) = HeaderValue::from_str(id) {
        headers.insert(REQUEST_ID_HEADER, id);
    }
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert("cross-origin-resource-policy", HeaderValue::from_static("same-origin"));
    // HSTS for one year (RFC 6797). Browsers ignore it over plain HTTP.
    if links.origin().starts_with("https://") {
        headers.insert(STRICT_TRANSPORT_SECURITY, HeaderValue::from_static("max-age=31536000"));
    }
}

async fn serve(call: &Call<'_>, (_, _, access, operation): &Route) -> Result<Answer, BoardError> {
    // Check access before any handler runs.
    let form = Form::from_request(call.request)?;
    let admin = gate::authorize(call, *access, &form).await?;
    match (operation, admin) {
        (Operation::Health, _) => Ok(health::answer(call).await),
        (Operation::LoginPage, _) => Ok(login::page(call)),
        (Operation::SignIn, _) => login::sign_in(call, &form).await,
        // All operations below need a signed-in admin.
        (_, None) => Err(BoardError::SignedOut),
        (Operation::SignOut, Some(admin)) => login::sign_out(call, &admin).await,
        (Operation::SignOutEverywhere, Some(admin)) => login::sign_out_everywhere(call, &admin).await,
        (Operation::Board, Some(admin)) => Ok(board::page(call, &admin, &snapshot::take(call).await)),
        (Operation::Errors, Some(admin)) => errors::page(call, &admin).await,
        (Operation::Accounts, Some(admin)) => accounts::page(call, &admin).await,
        (Operation::Suspend, Some(admin)) => accounts::suspend(call, &admin).await.map(|_| accounts::back(call)),
        (Operation::Resume, Some(admin)) => accounts::resume(call, &admin).await.map(|_| accounts::back(call)),
        (Operation::Breaker, Some(admin)) => breakers::page(call, &admin).await,
        (Operation::Force, Some(admin)) => breakers::force(call, &admin, &form).await.map(|_| breakers::back(call)),
        (Operation::Pin, Some(admin)) => breakers::pin(call, &admin, &form).await.map(|_| breakers::back(call)),
        (Operation::Release, Some(admin)) => breakers::release(call, &admin, &form).await.map(|_| breakers::back(call)),
        (Operation::Requests, Some(admin)) => requests::page(call, &admin).await,
        (Operation::Audit, Some(admin)) => audit::page(call, &admin).await,
        (Operation::ApiSnapshot, Some(_)) => Ok(snapshot::json(&snapshot::take(call).await)),
        (Operation::ApiBreadcrumbs, Some(_)) => errors::list(call).await,
        (Operation::ApiAccounts, Some(_)) => accounts::list(call).await,
        (Operation::ApiSuspend, Some(admin)) => accounts::suspend(call, &admin).await,
        (Operation::ApiResume, Some(admin)) => accounts::resume(call, &admin).await,
        (Operation::ApiAudit, Some(_)) => audit::list(call).await,
        (Operation::ApiBreakers, Some(_)) => breakers::list(call).await,
        (Operation::ApiBreaker, Some(_)) => breakers::one(call).await,
        (Operation::ApiBreakerHistory, Some(_)) => breakers::history(call).await,
        (Operation::ApiForce, Some(admin)) => breakers::force(call, &admin, &form).await,
        (Operation::ApiPin, Some(admin)) => breakers::pin(call, &admin, &form).await,
        (Operation::ApiRelease, Some(admin)) => breakers::release(call, &admin, &form).await,
        (Operation::ApiUsage, Some(_)) => usage::list(call).await,
        (Operation::ApiAccountUsage, Some(_)) => usage::one(call).await,
    }
}

/// Answers a request that failed: JSON for a program, an error page for a person. A person without a session is
/// redirected to the sign-in form.
fn refuse(failed: &BoardError, path: &str, links: &Links, id: &str) -> Answer {
    // Log failures of the stores once, here at the boundary.
    match failed {
        BoardError::Unavailable(code, error) => {
            tracing::error!(code, request.id = id, error, "a request to the board cannot be answered");
        }
        BoardError::SignOutUnwritten(error) => {
            tracing::error!(code = "admins.unreachable", request.id = id, error, "a sign-out was not written down");
        }
        _ => {}
    }
    // Choose JSON, the sign-in form or an error page.
    let mut answer = match failed {
        _ if answers_json(path) => failed.problem().to_response(id),
        BoardError::SignedOut => see_other(&links.to("/login")),
        _ => layout::problem(&failed.problem(), links, id),
    };
    // The session has ended although the audit could not be written, so its cookie is removed too.
    if matches!(failed, BoardError::SignOutUnwritten(_)) {
        cookies::SESSION.clear(answer.headers_mut());
    }
    // A 405 names the methods that the path takes.
    if let BoardError::Method(methods) = failed
        && let Ok(methods) = HeaderValue::from_str(&methods.join(", "))
    {
        answer.headers_mut().insert(ALLOW, methods);
    }
    answer
}
