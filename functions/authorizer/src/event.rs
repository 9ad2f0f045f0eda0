//! Event of a REQUEST authorizer, with the fields that are read
//! (<https://docs.aws.amazon.com/apigateway/latest/developerguide/api-gateway-lambda-authorizer-input.html>).

use levee::accounts::ApiKey;
use levee::http::address::PROXY_SECRET_HEADER;
use serde::Deserialize;

use crate::headers::{Ambiguous, Headers};

/// Event of a REQUEST authorizer.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Event {
    /// ARN of the called method, from which the answer's policy takes the API.
    pub method_arn: String,
    /// Route as the template declares it, such as `/v1/models/{id}`.
    pub resource: String,
    #[serde(flatten)]
    headers: Headers,
    /// Request context of the gateway.
    pub request_context: RequestContext,
}

/// Facts about a request that the gateway adds.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RequestContext {
    /// The gateway's own id of the request.
    extended_request_id: Option<String>,
    /// The gateway's other id of the request. A client can choose it by the header `x-amzn-RequestId`.
    request_id: Option<String>,
    /// Client of the request.
    identity: Option<Identity>,
}

/// Client of the request, as the gateway sees it.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Identity {
    /// Address of the peer of the gateway's TCP connection.
    source_ip: Option<String>,
}

impl Event {
    /// Returns the request id that is used everywhere: the gateway's own id, or the other one if that is missing.
    pub fn request_id(&self) -> &str {
        let RequestContext { extended_request_id, request_id, .. } = &self.request_context;
        let own = extended_request_id.as_deref().filter(|id| !id.is_empty());
        own.or(request_id.as_deref()).unwrap_or_default()
    }

    /// Returns the peer of the gateway's TCP connection, as the gateway writes it; empty if it names none.
    pub fn source_ip(&self) -> &str {
        let identity = self.request_context.identity.as_ref();
        identity.and_then(|identity| identity.source_ip.as_deref()).unwrap_or_default()
    }

    /// Returns the API key that the client sends in `x-api-key` or `Authorization: Bearer`. If the two differ, it is
    /// the one with the form of a Levee key: tools fill the other header with a placeholder or with another service's
    /// key.
    ///
    /// # Errors
    /// Returns [`Ambiguous`] if either header has several values, or if each holds a Levee key and they differ.
    pub fn api_key(&self) -> Result<Option<&str>, Ambiguous> {
        let own = self.headers.one("x-api-key")?;
        let bearer = self.headers.one("authorization")?.and_then(bearer);
        let is_key = |text: &str| ApiKey::parse(text).is_ok();
        // Prefer the header that holds a Levee key; `x-api-key` if neither does.
        match (own, bearer) {
            (Some(own), Some(bearer)) if own != bearer && is_key(bearer) => {
                if is_key(own) {
                    Err(Ambiguous::Keys)
                } else {
                    Ok(Some(bearer))
                }
            }
            (own, bearer) => Ok(own.or(bearer)),
        }
    }

    /// Returns all values of the header for the platform's proxy secret.
    pub fn shown_secrets(&self) -> Vec<&str> {
        self.headers.all(PROXY_SECRET_HEADER)
    }

    /// Checks that the header for the platform's proxy secret has at most one value.
    ///
    /// # Errors
    /// Returns [`Ambiguous`] if it has several values.
    pub fn check_shown_secret(&self) -> Result<(), Ambiguous> {
        self.headers.one(PROXY_SECRET_HEADER).map(drop)
    }

    /// Returns the lines of `X-Forwarded-For`.
    ///
    /// # Errors
    /// Returns [`Ambiguous`] if their order is not known.
    pub fn forwarded_for(&self) -> Result<Vec<&str>, Ambiguous> {
        self.headers.lines("x-forwarded-for")
    }
}

/// Returns the token of an `Authorization` header with the scheme Bearer.
fn bearer(authorization: &str) -> Option<&str> {
    let (scheme, token) = authorization.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim()).filter(|token| !token.is_empty())
}

#[cfg(test)]
mod tests {
    use rstest::rstest;
    use serde_json::{Value, json};

    use super::*;

    const KEY: &str = "lv_live_4f8KpQ2mZx7R_0123456789abcdefghijABCDEFGHIJ3N2i9z";

    fn event(headers: Value) -> Event {
        serde_json::from_value(json!({
            "methodArn": "arn",
            "resource": "/v1/messages",
            "headers": headers,
            "requestContext": { "extendedRequestId": "1", "identity": { "sourceIp": "203.0.113.9" } },
        }))
        .unwrap()
    }

    #[test]
    fn a_request_is_named_by_the_gateways_own_id_or_else_by_the_other_one() {
        for (context, id) in [
            (json!({ "extendedRequestId": "own=", "requestId": "other" }), "own="),
            (json!({ "requestId": "other" }), "other"),
            (json!({ "extendedRequestId": null, "requestId": "other" }), "other"),
            (json!({ "extendedRequestId": "", "requestId": "other" }), "other"),
            (json!({}), ""),
        ] {
            let mut context = context;
            context["identity"] = json!({ "sourceIp": "203.0.113.9" });
            let event = json!({ "methodArn": "arn", "resource": "/login", "headers": {}, "requestContext": context });
            assert_eq!(serde_json::from_value::<Event>(event).unwrap().request_id(), id);
        }
    }

    #[test]
    fn a_gateway_that_names_no_peer_leaves_it_empty() {
        let odd = [json!(null), json!({}), json!({ "sourceIp": null }), json!({ "sourceIp": "" })];
        for context in odd.into_iter().map(|identity| json!({ "identity": identity })).chain([json!({})]) {
            let event = json!({ "methodArn": "arn", "resource": "/login", "headers": null, "requestContext": context });
            assert_eq!(serde_json::from_value::<Event>(event).unwrap().source_ip(), "");
        }
    }

    /// Returns the key of a request whose headers use KEY and OTHER for two Levee keys.
    fn key(headers: Value) -> Result<Option<String>, Ambiguous> {
        let other = ApiKey::from_parts("live", "4f8KpQ2mZx7R", "JIHGFEDCBAjihgfedcba9876543210").unwrap();
        let text = headers.to_string().replace("KEY", KEY).replace("OTHER", other.reveal());
        let event = event(serde_json::from_str(&text).unwrap());
        event.api_key().map(|key| key.map(|key| key.replace(KEY, "KEY")))
    }

    #[rstest]
    #[case::none(json!({}), None)]
    #[case::its_own_header(json!({ "X-Api-Key": "KEY" }), Some("KEY"))]
    #[case::bearer_in_any_case(json!({ "AUTHORIZATION": "bearer  KEY" }), Some("KEY"))]
    #[case::both_alike(json!({ "x-api-key": "KEY", "Authorization": "Bearer KEY" }), Some("KEY"))]
    #[case::a_placeholder_beside_it(json!({ "x-api-key": "anything", "authorization": "Bearer KEY" }), Some("KEY"))]
    #[case::another_bearer_beside_it(json!({ "x-api-key": "KEY", "authorization": "Bearer anything" }), Some("KEY"))]
    #[case::another_scheme_beside_it(json!({ "x-api-key": "KEY", "authorization": "Basic OTHER" }), Some("KEY"))]
    #[case::an_empty_one_beside_it(json!({ "x-api-key": " ", "authorization": "Bearer KEY" }), Some("KEY"))]
    #[case::an_empty_bearer(json!({ "x-api-key": "KEY", "authorization": "Bearer " }), Some("KEY"))]
    #[case::neither_is_a_key(json!({ "x-api-key": "a", "authorization": "Bearer b" }), Some("a"))]
    #[case::two_spellings_alike(json!({ "x-api-key": "KEY", "X-Api-Key": "KEY" }), Some("KEY"))]
    fn the_key_is_the_one_that_has_the_form_of_a_levee_key(#[case] headers: Value, #[case] expected: Option<&str>) {
        assert_eq!(key(headers), Ok(expected.map(str::to_owned)));
    }

    #[rstest]
    #[case::two_keys(json!({ "x-api-key": "KEY", "authorization": "Bearer OTHER" }), Ambiguous::Keys)]
    #[case::two_spellings(json!({ "x-api-key": "KEY", "X-Api-Key": "anything" }), Ambiguous::Header("x-api-key"))]
    #[case::two_spellings_beside_a_key(
        json!({ "x-api-key": "a", "X-Api-Key": "b", "authorization": "Bearer KEY" }),
        Ambiguous::Header("x-api-key")
    )]
    #[case::two_authorizations(
        json!({ "Authorization": "Bearer KEY", "authorization": "Basic a" }),
        Ambiguous::Header("authorization")
    )]
    fn a_request_with_two_keys_is_ambiguous(#[case] headers: Value, #[case] expected: Ambiguous) {
        let said = key(headers).unwrap_err();
        assert_eq!(said, expected);
        assert!(!said.to_string().contains("lv_"), "{said}");
    }
}
