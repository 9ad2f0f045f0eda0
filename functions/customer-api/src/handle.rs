//! One request, from top to bottom.

use http::{Response, StatusCode};
use lambda_http::Request;
use levee::http::{Admission, Caller, Problem, Rejection, UNREADABLE, admit, refund};

use crate::catalogs;
use crate::config::CustomerApiState;
use crate::quota;
use crate::report::{self, CustomerApiReport};
use crate::requests;
use crate::routes::{Operation, operation};
use crate::usage;

/// Serves one request. Every error becomes an answer.
pub async fn handle(state: &CustomerApiState, request: Request) -> Response<String> {
    let Admission { verdict, request_id, headers, charged, catalogs, .. } = admit(&request);
    // Serve the request if the authorizer allows it, else render its verdict.
    let mut report = report::begin(&request_id);
    let answer = match verdict {
        Ok(caller) => serve(state, &caller, catalogs, &request, &request_id, &mut report).await,
        Err(Rejection::Unreadable) => {
            Err(Problem::new(StatusCode::SERVICE_UNAVAILABLE, "unavailable", UNREADABLE).retry_after(1))
        }
        Err(Rejection::BadRequest(sentence)) => Err(Problem::new(StatusCode::BAD_REQUEST, "invalid_request", sentence)),
        Err(Rejection::Forbidden(sentence)) => Err(Problem::new(StatusCode::FORBIDDEN, "forbidden", sentence)),
        // Defensive: the gateway refuses requests over a limit before they get here.
        Err(Rejection::Limited(sentence, secs)) => {
            Err(Problem::new(StatusCode::TOO_MANY_REQUESTS, "quota_exceeded", sentence).retry_after(secs))
        }
    };
    // Turn a problem into a response, and refund the request's charge if the platform failed.
    let problem = answer.as_ref().err().cloned();
    let mut answer = answer.unwrap_or_else(|problem| problem.to_response(&request_id));
    if answer.status().is_server_error() {
        refund(&charged, &state.redis, answer.headers_mut()).await;
    }
    // Add the headers for limits and CORS.
    answer.headers_mut().extend(headers);
    state.allowed_origin.sign(answer.headers_mut());
    report.answered(answer.status(), problem);
    answer
}

/// Serves a request that the authorizer allowed; `catalogs` is the version of the catalogs that it read.
async fn serve(
    state: &CustomerApiState,
    caller: &Caller,
    catalogs: Option<u64>,
    request: &Request,
    request_id: &str,
    report: &mut CustomerApiReport,
) -> Result<Response<String>, Problem> {
    report.caller(caller);
    let Some((route, operation)) = operation(request) else {
        return Err(Problem::new(StatusCode::NOT_FOUND, "not_found", "There is no such route."));
    };
    report.route(route);
    // Run the operation of the route.
    match operation {
        Operation::Quota => quota::now(state, caller, request, request_id).await,
        Operation::QuotaHistory => quota::history(state, caller, request, request_id).await,
        Operation::Requests => requests::list(state, caller, request, request_id).await,
        Operation::NewRequest => requests::create(state, caller, request, request_id).await,
        Operation::Request => requests::get(state, caller, request, request_id).await,
        Operation::CancelRequest => requests::cancel(state, caller, request, request_id).await,
        Operation::Usage => usage::answer(state, caller, request, request_id).await,
        Operation::CatalogPage => catalogs::list(state, catalogs, request, request_id, report).await,
        Operation::CatalogItem => catalogs::item(state, catalogs, request, request_id, report).await,
    }
}
