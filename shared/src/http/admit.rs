//! Applies the authorizer's verdict in the function behind it.

use http::{HeaderMap, HeaderName, HeaderValue};
use lambda_http::request::RequestContext;
use lambda_http::{Request, RequestExt};
use serde_json::{Map, Value};

use super::context::{AuthorizerContext, Caller, Verdict};
use crate::limits::{Charged, leases};

/// Verdict of the authorizer on a request, and the parts of the response that do not depend on it.
#[derive(Debug)]
pub struct Admission<Caller> {
    /// Caller whose request may be served, or the refusal.
    pub verdict: Result<Caller, Rejection>,
    /// Id of the request, as its caller sees it.
    pub request_id: String,
    /// Headers of the response: the request's id and the state of the caller's limits.
    pub headers: HeaderMap,
    /// Redis keys under which the request is in flight, from [`AuthorizerContext::in_flight`].
    pub leases: Vec<String>,
    /// Charges of the windows for the request, from [`AuthorizerContext::charged`].
    pub charged: Charged,
    /// Version of the catalogs, from [`AuthorizerContext::catalogs_version`].
    pub catalogs: Option<u64>,
}

/// Refusal of a request, with the public sentence that gives the reason.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Rejection {
    /// 503: the authorizer context cannot be read, perhaps because a newer authorizer wrote it. The sentence is
    /// [`UNREADABLE`].
    Unreadable,
    /// 400: the request makes two contradictory statements about its caller.
    BadRequest(String),
    /// 403: the caller lacks permission.
    Forbidden(String),
    /// 429: a limit is used up. Holds the sentence, and the seconds after which the caller may retry.
    Limited(String, u64),
}

/// Public sentence about a request whose authorizer context cannot be read.
pub const UNREADABLE: &str = "The platform cannot serve the request at the moment. Try again.";

/// Reads the authorizer's verdict on `request`, on a route that needs a key. A request without a verdict did not pass
/// the authorizer and is forbidden.
pub fn admit(request: &Request) -> Admission<Caller> {
    let Admission { verdict, request_id, headers, leases, charged, catalogs } = read(request);
    let verdict = verdict.and_then(|caller| caller.ok_or_else(unauthorized));
    Admission { verdict, request_id, headers, leases, charged, catalogs }
}

/// Reads the verdict as [`admit`] does, on a route that needs no key.
pub fn admit_anyone(request: &Request) -> Admission<()> {
    let Admission { verdict, request_id, headers, leases, charged, catalogs } = read(request);
    Admission { verdict: verdict.map(drop), request_id, headers, leases, charged, catalogs }
}

/// Returns the id of a request on a route without an authorizer: the gateway's own, or Lambda's if there was no
/// gateway.
pub fn request_id(request: &Request) -> String {
    let by_gateway = match request.request_context_ref() {
        Some(RequestContext::ApiGatewayV1(context)) => context.other.get("extendedRequestId"),
        _ => None,
    };
    match (by_gateway.and_then(|id| id.as_str()), request.lambda_context_ref()) {
        (Some(id), _) => id.to_owned(),
        (None, Some(context)) => context.request_id.clone(),
        (None, None) => String::new(),
    }
}

fn read(request: &Request) -> Admission<Option<Caller>> {
    let mut headers = HeaderMap::new();
    let context = match authorizer_context(request) {
        Ok(Some(context)) => context,
        without => {
            let request_id = request_id(request);
            let verdict = Err(match without {
                Err(error) => {
                    tracing::error!(code = "context.unreadable", request.id = request_id, %error, "an authorizer context cannot be read");
                    Rejection::Unreadable
                }
                Ok(_) => unauthorized(),
            });
            // The call's leases and charges can be given back nevertheless: read their raw fields.
            let word = |name: &str| raw_word(request, name);
            let request_id = word("requestId").unwrap_or(request_id);
            let leases = word("inFlight").as_deref().map(leases::parse).unwrap_or_default();
            let charged = word("charged").as_deref().map(Charged::parse).unwrap_or_default();
            insert(&mut headers, super::REQUEST_ID_HEADER, &request_id);
            return Admission { verdict, request_id, headers, leases, charged, catalogs: None };
        }
    };
    // Copy the request's id and the state of the limits to the response.
    insert(&mut headers, super::REQUEST_ID_HEADER, &context.request_id);
    for (name, value) in context.limits.pairs() {
        insert(&mut headers, name, value);
    }
    // Turn the verdict into the caller or a refusal.
    let reason = |otherwise: &str| context.reason.clone().unwrap_or_else(|| otherwise.to_owned());
    let verdict = match context.verdict {
        Verdict::Allow => Ok(context.caller),
        Verdict::BadRequest => Err(Rejection::BadRequest(reason("The request says two different things."))),
        Verdict::Forbidden => Err(Rejection::Forbidden(reason("This key may not be used here."))),
        Verdict::Limited => {
            let retry_after = context.retry_after.as_deref().and_then(|secs| secs.parse().ok()).unwrap_or(60);
            Err(Rejection::Limited(reason("Too many requests."), retry_after))
        }
    };
    // Pass on the leases and charges, to be given back.
    let leases = context.in_flight.as_deref().map(leases::parse).unwrap_or_default();
    let charged = context.charged.as_deref().map(Charged::parse).unwrap_or_default();
    // A version that cannot be read is unknown: only the time counts then.
    let catalogs = context.catalogs_version.as_deref().and_then(|version| version.parse().ok());
    Admission { verdict, request_id: context.request_id, headers, leases, charged, catalogs }
}

fn unauthorized() -> Rejection {
    Rejection::Forbidden("This request did not pass the authorizer.".to_owned())
}

fn authorizer_context(request: &Request) -> Result<Option<AuthorizerContext>, serde_json::Error> {
    let Some(RequestContext::ApiGatewayV1(context)) = request.request_context_ref() else { return Ok(None) };
    let fields: Map<String, Value> = context.authorizer.fields.clone().into_iter().collect();
    // Without a verdict, the fields are not from the authorizer, whatever they hold.
    if fields.contains_key("verdict") { AuthorizerContext::parse(fields).map(Some) } else { Ok(None) }
}

/// Returns the raw value of a field of the authorizer context.
fn raw_word(request: &Request, name: &str) -> Option<String> {
    let Some(RequestContext::ApiGatewayV1(context)) = request.request_context_ref() else { return None };
    context.authorizer.fields.get(name)?.as_str().map(str::to_owned)
}

fn insert(headers: &mut HeaderMap, name: &'static str, value: &str) {
    if let Ok(value) = HeaderValue::from_str(value) {
        headers.insert(HeaderName::from_static(name), value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::accounts::{IntegrationKind, UnknownFields};

    fn request(authorizer: &str) -> Request {
        let event = format!(
            r#"{{"httpMethod":"GET","path":"/v1/models","headers":{{}},"multiValueHeaders":{{}},"requestContext":
            {{"resourcePath":"/v1/models","httpMethod":"GET","authorizer":{authorizer}}}}}"#
        );
        lambda_http::request::from_str(&event).unwrap()
    }

    const CONTEXT: &str = r#"{"principalId":"acme","requestId":"r-1","account":"acme","integration":"crm","key":"k",
        "verdict":"VERDICT","xLimit":"300","inFlight":"{levee}:lease:in-flight:acme {levee}:lease:global-in-flight:all"}"#;

    #[test]
    fn an_allowed_request_is_admitted_with_the_headers_of_its_limits() {
        let admission = admit(&request(&CONTEXT.replace("VERDICT", "allow")));
        assert_eq!(admission.verdict.unwrap().account, "acme");
        assert_eq!(admission.request_id, "r-1");
        assert_eq!(admission.headers["x-ratelimit-limit"], "300");
        assert_eq!(admission.headers["x-levee-request-id"], "r-1");
        assert_eq!(admission.leases, ["{levee}:lease:in-flight:acme", "{levee}:lease:global-in-flight:all"]);
    }

    #[test]
    fn a_request_that_is_ambiguous_is_refused_for_its_reason_and_has_no_caller() {
        let context = r#"{"principalId":"anyone","requestId":"r-1","verdict":"bad_request","reason":"Send it once."}"#;
        assert_eq!(admit(&request(context)).verdict, Err(Rejection::BadRequest("Send it once.".to_owned())));
    }

    #[test]
    fn a_request_without_a_verdict_or_with_a_no_is_forbidden() {
        for context in ["{}", &CONTEXT.replace("VERDICT", "forbidden")] {
            assert!(matches!(admit(&request(context)).verdict, Err(Rejection::Forbidden(_))), "{context}");
        }
    }

    /// Returns the context of an allowed request with the field `xLimit` replaced by `other` fields.
    fn allowed_with(other: &str) -> String {
        CONTEXT.replace("VERDICT", "allow").replace(r#""xLimit":"300""#, other)
    }

    #[test]
    fn a_context_that_cannot_be_read_is_the_platforms_fault() {
        let allow = CONTEXT.replace("VERDICT", "allow");
        let without = |field: &str| allow.replace(field, "");
        for context in [
            // Unknown verdicts.
            CONTEXT.replace("VERDICT", "perhaps"),
            CONTEXT.replace("VERDICT", "Allow"),
            CONTEXT.replace("VERDICT", ""),
            CONTEXT.replace(r#""VERDICT""#, "null"),
            CONTEXT.replace(r#""VERDICT""#, "true"),
            CONTEXT.replace(r#""VERDICT""#, r#"["allow"]"#),
            // Missing fields, each alone and all but one of the caller.
            without(r#""requestId":"r-1","#),
            without(r#""account":"acme","#),
            without(r#""integration":"crm","#),
            without(r#""key":"k","#),
            without(r#""account":"acme","integration":"crm","#),
            without(r#""account":"acme","integration":"crm","#).replace(r#""key":"k""#, r#""integration":"crm""#),
            // Fields of another type, and empty ids.
            allow.replace(r#""acme","#, "null,"),
            allow.replace(r#""acme","#, "7,"),
            allow.replace(r#""account":"acme""#, r#""account":"""#),
            allow.replace(r#""crm""#, r#""""#),
            allow.replace(r#""k""#, r#""""#),
            allow.replace(r#""r-1""#, "null"),
            allow.replace(r#""300""#, "300"),
            // Terms that are no terms.
            allowed_with(r#""terms":"{\"cap\":7}""#),
            allowed_with(r#""terms":"no JSON""#),
            allowed_with(r#""terms":"""#),
            allowed_with(r#""terms":"null""#),
            allowed_with(r#""terms":{"cap":null}"#),
            allowed_with(r#""terms":"{\"account\":{\"max_tokens\":-1}}""#),
            allowed_with(&format!(r#""terms":"{}""#, "[".repeat(200))),
        ] {
            let admission = admit(&request(&context));
            assert_eq!(admission.verdict, Err(Rejection::Unreadable), "{context}");
            assert_eq!(admission.leases.len(), 2, "what the call holds is given back: {context}");
            assert_eq!(admit_anyone(&request(&context)).verdict, Err(Rejection::Unreadable), "{context}");
        }
    }

    #[test]
    fn odd_values_that_decide_nothing_are_left_out_and_long_ones_are_passed_on() {
        let long = "x".repeat(100_000);
        for (fields, header) in [
            (r#""xLimit":"a\nb""#, None),
            (r#""xLimit":"\u0000""#, None),
            (r#""xLimit":null"#, None),
            (r#""xLimit":"""#, Some("")),
            (format!(r#""xLimit":"{long}""#).as_str(), Some(long.as_str())),
        ] {
            let admission = admit(&request(&allowed_with(fields)));
            assert_eq!(admission.verdict.unwrap().account, "acme");
            let sent = admission.headers.get("x-ratelimit-limit").map(|value| value.to_str().unwrap());
            assert_eq!(sent, header, "{:.40}", fields);
        }
    }

    #[test]
    fn a_wait_that_is_no_number_is_a_minute() {
        for (retry_after, secs) in [
            (r#""7""#, 7),
            (r#""0""#, 0),
            (r#""-1""#, 60),
            (r#""1.5""#, 60),
            (r#""soon""#, 60),
            (r#""99999999999999999999""#, 60),
            ("null", 60),
        ] {
            let context = allowed_with(&format!(r#""retryAfter":{retry_after}"#)).replace("allow", "limited");
            let limited = Rejection::Limited("Too many requests.".to_owned(), secs);
            assert_eq!(admit(&request(&context)).verdict, Err(limited), "{retry_after}");
        }
    }

    #[test]
    fn values_that_a_newer_authorizer_added_are_tolerated() {
        let terms = r#"{\"cap\":{\"limit\":5,\"mode\":\"throttle\"},\"key\":{\"unknown_fields\":\"log\",\"new\":1}}"#;
        let newer = format!(r#""terms":"{terms}","integrationKind":"partner","somethingNew":"1""#);
        let context = CONTEXT.replace("VERDICT", "allow").replace(r#""xLimit":"300""#, &newer);
        let caller = admit(&request(&context)).verdict.unwrap();
        assert_eq!((caller.kind, caller.terms.cap.unwrap().limit), (IntegrationKind::Customer, 5));
        assert_eq!(caller.terms.key.unknown_fields, UnknownFields::Refuse);
    }
}
