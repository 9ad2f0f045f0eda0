//! One request, from its arrival to its answer.

use http::Response;
use lambda_http::Request;
use levee::web::{self, Arrival, Served};

use crate::config::BoardState;
use crate::{not_offered, preflight, report};

/// Serves one request. It never fails: every error becomes an answer.
pub async fn handle(state: &BoardState, request: Request) -> Response<String> {
    let arrival = Arrival::new(request, state.base_url.as_ref());
    let mut report = report::begin(&arrival.request_id);
    // Find the route and serve it, unless the request is not for the board.
    let Served { mut answer, problem } = match outside(state, &arrival) {
        Some(served) => served,
        None => {
            let found = state.router.find(arrival.request.method(), &arrival.path);
            report.route(found.path());
            // Read the clock once, so that the whole request has one time.
            web::serve(state, &arrival, found, state.clock.now()).await
        }
    };
    // Add the headers that every answer has.
    arrival.sign(answer.headers_mut());
    report.answered(answer.status(), problem.as_ref());
    answer
}

/// Answers requests that are not for the board: CORS preflights of API routes, and paths that no other route takes.
fn outside(state: &BoardState, arrival: &Arrival) -> Option<Served> {
    let Arrival { request, request_id, path, links } = arrival;
    let answer = match preflight::requested_route(request) {
        Some((_, method)) => preflight::answer(&state.allowed_origin, method),
        None if not_offered::is_asked(request) => Err(not_offered::problem(path, links)),
        None => return None,
    };
    let problem = answer.as_ref().err().cloned();
    let mut answer = answer.unwrap_or_else(|problem| not_offered::answer(&problem, request_id));
    state.allowed_origin.sign(answer.headers_mut());
    Some(Served { answer, problem })
}
