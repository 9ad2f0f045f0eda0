//! CORS preflight requests, in which a browser asks if a page of another origin may call a route of the API.

use http::StatusCode;
use lambda_http::request::RequestContext;
use lambda_http::{Request, RequestExt};
use levee::http::{AllowedOrigin, Problem};
use levee::web::Answer;

/// Routes that browsers may ask about, with the methods that each takes.
pub const ROUTES: [(&str, &str); 11] = [
    ("/v1/messages", "POST"),
    ("/v1/messages/count_tokens", "POST"),
    ("/v1/models", "GET"),
    ("/v1/models/{id}", "GET"),
    ("/v1/quota", "GET"),
    ("/v1/quota/history", "GET"),
    ("/v1/quota/requests", "GET, POST"),
    ("/v1/quota/requests/{id}", "GET, DELETE"),
    ("/v1/usage", "GET"),
    ("/v1/catalogs/{catalog}", "GET"),
    ("/v1/catalogs/{catalog}/{id}", "GET"),
];

/// Returns the route and the methods that `request` asks about.
pub(crate) fn requested_route(request: &Request) -> Option<&'static (&'static str, &'static str)> {
    let Some(RequestContext::ApiGatewayV1(context)) = request.request_context_ref() else { return None };
    let resource = context.resource_path.as_deref()?;
    // The gateway sends only preflight requests of these routes to this function.
    ROUTES.iter().find(|(path, _)| *path == resource)
}

/// Answers a preflight request for a route that takes `methods`.
///
/// # Errors
/// Returns a problem if no origin is allowed.
pub(crate) fn answer(allowed: &AllowedOrigin, methods: &'static str) -> Result<Answer, Problem> {
    let Some(headers) = allowed.preflight(methods) else {
        let detail = "Pages of other origins may not call this API.";
        return Err(Problem::new(StatusCode::NOT_FOUND, "not_found", detail));
    };
    let mut answer = Answer::new(String::new());
    *answer.status_mut() = StatusCode::NO_CONTENT;
    answer.headers_mut().extend(headers);
    Ok(answer)
}
