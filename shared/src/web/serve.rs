//! One request, from its route to its answer.

use http::header::ALLOW;
use http::{HeaderMap, HeaderValue};

use super::answer::{Answer, see_other};
use super::arrival::Arrival;
use super::call::Call;
use super::error::WebError;
use super::form::Form;
use super::gate;
use super::page;
use super::route::{Handler, MatchedRoute, Route};
use super::site::Site;
use crate::clock::Timestamp;
use crate::http::Problem;

/// An answer, and the problem that it reports, if there is one.
pub struct Served {
    /// The answer, without the headers that [`Arrival::sign`] adds.
    pub answer: Answer,
    /// Problem of a request that failed.
    pub problem: Option<Problem>,
}

/// Serves a request by the route that was found. It never fails: every error becomes an answer.
pub async fn serve<S: Site>(state: &S, arrival: &Arrival, found: MatchedRoute<'_, S>, now: Timestamp) -> Served {
    let Arrival { request, request_id, path, links } = arrival;
    // Serve the route.
    let mut limits = HeaderMap::new();
    let answer = match found {
        MatchedRoute::Route(route, id) => {
            limits = gate::limits(request, &route.2);
            match Form::from_request(request) {
                Ok(form) => run(&Call { state, request, path, links, request_id, now, id, form }, route).await,
                Err(failed) => Err(failed),
            }
        }
        MatchedRoute::Methods(methods) => Err(WebError::Method(methods)),
        MatchedRoute::Nothing => Err(WebError::NotFound),
    };
    // Turn a failure into an answer, and add the headers about limits.
    let problem = answer.as_ref().err().map(WebError::problem);
    let mut answer = answer.unwrap_or_else(|failed| refuse::<S>(&failed, arrival));
    answer.headers_mut().extend(limits);
    Served { answer, problem }
}

async fn run<S: Site>(call: &Call<'_, S>, (_, _, access, handler): &Route<S>) -> Result<Answer, WebError> {
    // Check access before any handler runs.
    let user = gate::authorize(call, *access).await?;
    match (handler, &user) {
        (Handler::Plain(handler), _) => handler(call).await,
        (Handler::SignedIn(handler), Some(user)) => handler(call, user).await,
        (Handler::SignedIn(_), None) => Err(WebError::SignedOut),
    }
}

/// Answers a request that failed: JSON for a program, an error page for a person. A person without a session is
/// redirected to the sign-in form.
fn refuse<S: Site>(failed: &WebError, arrival: &Arrival) -> Answer {
    let Arrival { request_id, path, links, .. } = arrival;
    // Log failures of the stores once, here at the boundary.
    match failed {
        WebError::Unavailable(code, error) => {
            tracing::error!(code, request.id = request_id, error, "a request cannot be answered");
        }
        WebError::SignOutUnwritten(code, error) => {
            tracing::error!(code, request.id = request_id, error, "a sign-out was not written down");
        }
        _ => {}
    }
    // Choose JSON, the sign-in form or an error page.
    let mut answer = match failed {
        _ if S::answers_json(path) => failed.problem().to_response(request_id),
        WebError::SignedOut => see_other(&links.to(S::SIGN_IN)),
        _ => page::problem::<S>(&failed.problem(), links, request_id),
    };
    // The session has ended although the audit could not be written, so its cookie is removed too.
    if matches!(failed, WebError::SignOutUnwritten(..)) {
        S::SESSION.clear(answer.headers_mut());
    }
    // A 405 names the methods that the path takes.
    if let WebError::Method(methods) = failed
        && let Ok(methods) = HeaderValue::from_str(&methods.join(", "))
    {
        answer.headers_mut().insert(ALLOW, methods);
    }
    answer
}
