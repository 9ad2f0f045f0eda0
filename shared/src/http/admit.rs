//! Applies the authorizer's verdict, on the side of the function behind it.

use http::{HeaderMap, HeaderName, HeaderValue};
use lambda_http::request::RequestContext;
use lambda_http::{Request, RequestExt};

use super::context::{AuthorizerContext, Verdict};

/// A request that may be served.
#[derive(Debug, Clone)]
pub struct Admitted {
    /// The account's id.
    pub account: String,
    /// The integration's id.
    pub integration: String,
    /// The key's public id.
    pub key: String,
}

/// A request that may not be served, with the public sentence that says why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Forbidden(pub String);

/// Applies the verdict that the authorizer left with `request`. The header map is for the answer, whatever it is: the
/// request's id, and where its limits stand.
///
/// A request without a verdict did not pass the authorizer and is forbidden.
pub fn admit(request: &Request) -> (Result<Admitted, Forbidden>, HeaderMap) {
    let mut headers = HeaderMap::new();
    insert(&mut headers, super::REQUEST_ID_HEADER, request_id(request));
    let Some(context) = authorizer_context(request) else {
        return (Err(Forbidden("This request did not pass the authorizer.".to_owned())), headers);
    };
    for (name, value) in context.limits.pairs() {
        insert(&mut headers, name, value);
    }
    let verdict = match context.verdict {
        Verdict::Allow => Ok(Admitted { account: context.account, integration: context.integration, key: context.key }),
        Verdict::Forbidden => {
            Err(Forbidden(context.reason.unwrap_or_else(|| "This key may not be used here.".to_owned())))
        }
    };
    (verdict, headers)
}

/// The gateway's id for `request`, or empty where it has none.
pub fn request_id(request: &Request) -> &str {
    match request.request_context_ref() {
        Some(RequestContext::ApiGatewayV1(context)) => context.request_id.as_deref().unwrap_or_default(),
        _ => "",
    }
}

fn authorizer_context(request: &Request) -> Option<AuthorizerContext> {
    let Some(RequestContext::ApiGatewayV1(context)) = request.request_context_ref() else { return None };
    let fields = context.authorizer.fields.clone().into_iter().collect();
    serde_json::from_value(serde_json::Value::Object(fields)).ok()
}

fn insert(headers: &mut HeaderMap, name: &'static str, value: &str) {
    if let Ok(value) = HeaderValue::from_str(value) {
        headers.insert(HeaderName::from_static(name), value);
    }
}
