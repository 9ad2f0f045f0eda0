//! Preflight requests: a browser asks whether a page of another origin may call a route of the API.

use http::StatusCode;
use lambda_http::request::RequestContext;
use lambda_http::{Request, RequestExt};
use levee::http::{AllowedOrigin, Problem};

use crate::answer::Answer;

/// The routes about which browsers may ask, and the methods that these take.
pub const ROUTES: [(&str, &str); 5] = [
    ("/v1/messages", "POST"),
    ("/v1/messages/count_tokens", "POST"),
    ("/v1/models", "GET"),
    ("/v1/models/{id}", "GET"),
    ("/v1/usage", "GET"),
];

/// Returns the route and the method that `request` asks about.
pub(crate) fn asked(request: &Request) -> Option<&'static (&'static str, &'static str)> {
    let Some(RequestContext::ApiGatewayV1(context)) = request.request_context_ref() else { return None };
    let resource = context.resource_path.as_deref()?;
    // Only preflight requests of these routes lead here.
    ROUTES.iter().find(|(path, _)| *path == resource)
}

/// Returns the answer for a route that takes `method`.
///
/// # Errors
/// A problem where no origin is allowed.
pub(crate) fn answer(allowed: &AllowedOrigin, method: &'static str) -> Result<Answer, Problem> {
    let Some(headers) = allowed.preflight(method) else {
        let detail = "Pages of other origins may not call this API.";
        return Err(Problem::new(StatusCode::NOT_FOUND, "not_found", detail));
    };
    let mut answer = Answer::new(String::new());
    *answer.status_mut() = StatusCode::NO_CONTENT;
    answer.headers_mut().extend(headers);
    Ok(answer)
}
