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

/// The authorizer's verdict on a request, and what belongs on the answer whatever it is.
#[derive(Debug)]
pub struct Admission {
    /// Whether the request may be served.
    pub verdict: Result<Admitted, Forbidden>,
    /// The id by which the request is named to its caller.
    pub request_id: String,
    /// Headers of the answer: the request's id, and where the caller's limits stand.
    pub headers: HeaderMap,
}

/// A request that may not be served, with the public sentence that says why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Forbidden(pub String);

/// Reads the verdict that the authorizer left with `request`. A request without one did not pass the authorizer and is
/// forbidden.
pub fn admit(request: &Request) -> Admission {
    let mut headers = HeaderMap::new();
    let Some(context) = authorizer_context(request) else {
        let request_id = request.lambda_context_ref().map_or_else(String::new, |context| context.request_id.clone());
        insert(&mut headers, super::REQUEST_ID_HEADER, &request_id);
        let verdict = Err(Forbidden("This request did not pass the authorizer.".to_owned()));
        return Admission { verdict, request_id, headers };
    };
    insert(&mut headers, super::REQUEST_ID_HEADER, &context.request_id);
    for (name, value) in context.limits.pairs() {
        insert(&mut headers, name, value);
    }
    let verdict = match context.verdict {
        Verdict::Allow => Ok(Admitted { account: context.account, integration: context.integration, key: context.key }),
        Verdict::Forbidden => {
            Err(Forbidden(context.reason.unwrap_or_else(|| "This key may not be used here.".to_owned())))
        }
    };
    Admission { verdict, request_id: context.request_id, headers }
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

#[cfg(test)]
mod tests {
    use super::*;

    fn request(authorizer: &str) -> Request {
        let event = format!(
            r#"{{"httpMethod":"GET","path":"/v1/models","headers":{{}},"multiValueHeaders":{{}},"requestContext":
            {{"resourcePath":"/v1/models","httpMethod":"GET","authorizer":{authorizer}}}}}"#
        );
        lambda_http::request::from_str(&event).unwrap()
    }

    const CONTEXT: &str = r#"{"principalId":"acme","requestId":"r-1","account":"acme","integration":"crm","key":"k",
        "verdict":"VERDICT","xLimit":"300"}"#;

    #[test]
    fn an_allowed_request_is_admitted_with_the_headers_of_its_limits() {
        let admission = admit(&request(&CONTEXT.replace("VERDICT", "allow")));
        assert_eq!(admission.verdict.unwrap().account, "acme");
        assert_eq!(admission.request_id, "r-1");
        assert_eq!(admission.headers["x-ratelimit-limit"], "300");
        assert_eq!(admission.headers["x-levee-request-id"], "r-1");
    }

    #[test]
    fn anything_but_a_clear_yes_is_forbidden() {
        for context in ["{}", &CONTEXT.replace("VERDICT", "forbidden"), &CONTEXT.replace("VERDICT", "perhaps")] {
            assert!(admit(&request(context)).verdict.is_err(), "{context}");
        }
    }
}
