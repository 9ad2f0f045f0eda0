//! The REQUEST authorizer's event, as far as it is read
//! (<https://docs.aws.amazon.com/apigateway/latest/developerguide/api-gateway-lambda-authorizer-input.html>).

use levee::accounts::ApiKey;
use levee::http::address::PROXY_SECRET_HEADER;
use serde::Deserialize;

use crate::headers::{Ambiguous, Headers};

/// The event.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Event {
    /// The ARN of the method that is called; what the answer's policy names.
    pub method_arn: String,
    /// The route as the template declares it, such as `/v1/models/{id}`.
    pub resource: String,
    #[serde(flatten)]
    headers: Headers,
    /// The gateway's own facts.
    pub request_context: RequestContext,
}

/// The gateway's own facts about a request.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RequestContext {
    /// The gateway's own id for the request.
    extended_request_id: Option<String>,
    /// The gateway's other id, which is whatever the client sends in `x-amzn-RequestId`.
    request_id: Option<String>,
    /// The client.
    pub identity: Identity,
}

/// The client, as the gateway sees it.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Identity {
    /// The peer of the gateway's TCP connection.
    pub source_ip: String,
}

impl Event {
    /// Returns the id by which the request is named everywhere: the gateway's own, or the other one where there is none.
    pub fn request_id(&self) -> &str {
        let RequestContext { extended_request_id, request_id, .. } = &self.request_context;
        let own = extended_request_id.as_deref().filter(|id| !id.is_empty());
        own.or(request_id.as_deref()).unwrap_or_default()
    }

    /// Returns the peer of the gateway's TCP connection, as the gateway writes it.
    pub fn source_ip(&self) -> &str {
        &self.request_context.identity.source_ip
    }

    /// Returns the API key that the client presents in `x-api-key` or `Authorization: Bearer`. Where the two differ, it is
    /// the one that has the form of a Levee key: tools fill the other with a placeholder or another service's key.
    ///
    /// # Errors
    /// [`Ambiguous`] where either header has several values, or each holds a Levee key and they differ.
    pub fn api_key(&self) -> Result<Option<&str>, Ambiguous> {
        let own = self.headers.one("x-api-key")?;
        let bearer = self.headers.one("authorization")?.and_then(bearer);
        let is_key = |text: &str| ApiKey::parse(text).is_ok();
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

    /// Returns the values of the header in which the platform's own proxy shows its secret.
    pub fn shown_secrets(&self) -> Vec<&str> {
        self.headers.all(PROXY_SECRET_HEADER)
    }

    /// Checks that the platform's own proxy shows one secret.
    ///
    /// # Errors
    /// [`Ambiguous`] where its header has several values.
    pub fn check_shown_secret(&self) -> Result<(), Ambiguous> {
        self.headers.one(PROXY_SECRET_HEADER).map(drop)
    }

    /// Returns the lines of `X-Forwarded-For`.
    ///
    /// # Errors
    /// [`Ambiguous`] where their order is not known.
    pub fn forwarded_for(&self) -> Result<Vec<&str>, Ambiguous> {
        self.headers.lines("x-forwarded-for")
    }
}

/// Returns the token of an `Authorization` header of the scheme Bearer.
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

    /// The key among headers in which KEY and OTHER stand for two Levee keys.
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
