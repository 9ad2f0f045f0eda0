//! The REQUEST authorizer's event, as far as it is read
//! (<https://docs.aws.amazon.com/apigateway/latest/developerguide/api-gateway-lambda-authorizer-input.html>).

use std::collections::HashMap;

use levee::http::Links;
use levee::http::address::{Origin, PROXY_SECRET_HEADER};
use levee::http::links::Asked;
use serde::Deserialize;

/// The event.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Event {
    /// The ARN of the method that is called; what the answer's policy names.
    pub method_arn: String,
    /// The route as the template declares it, such as `/v1/models/{id}`.
    pub resource: String,
    /// Headers, their names as the client wrote them. `None` when there are none.
    headers: Option<HashMap<String, String>>,
    /// The values of the route's parameters. `None` when it has none.
    #[serde(default)]
    path_parameters: Option<HashMap<String, String>>,
    /// The gateway's own facts.
    pub request_context: RequestContext,
}

/// The gateway's own facts about a request.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RequestContext {
    /// The gateway's own id for the request. Its other id, `requestId`, is whatever the client sends in
    /// `x-amzn-RequestId`.
    extended_request_id: String,
    /// The host that the client called.
    #[serde(default)]
    pub domain_name: String,
    /// The path that the client called, a stage prefix included.
    #[serde(default)]
    pub path: String,
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
    /// The id by which the request is named everywhere.
    pub fn request_id(&self) -> &str {
        &self.request_context.extended_request_id
    }

    /// The value of the header `name`, in whatever case the client wrote it.
    pub fn header(&self, name: &str) -> Option<&str> {
        let headers = self.headers.as_ref()?;
        headers.iter().find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
    }

    /// The API key that the client presents: `x-api-key`, or else `Authorization: Bearer`.
    pub fn api_key(&self) -> Option<&str> {
        self.header("x-api-key").filter(|key| !key.is_empty()).or_else(|| {
            let (scheme, key) = self.header("authorization")?.split_once(' ')?;
            scheme.eq_ignore_ascii_case("bearer").then(|| key.trim())
        })
    }

    /// What the request says about where it came from.
    pub fn origin(&self) -> Origin<'_> {
        Origin {
            source_ip: &self.request_context.identity.source_ip,
            forwarded_for: self.header("x-forwarded-for"),
            shown_secret: self.header(PROXY_SECRET_HEADER),
        }
    }

    /// The API's own address as this request sees it, without a slash at its end.
    pub fn base_url(&self) -> String {
        let RequestContext { domain_name, path, .. } = &self.request_context;
        let asked = Asked {
            host: self.header("host"),
            scheme: self.header("x-forwarded-proto"),
            domain_name,
            path,
            resource: &self.resource,
            greedy: self.path_parameters.as_ref().and_then(|parameters| parameters.get("proxy")).map(String::as_str),
        };
        Links::of(asked).base_url()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(resource: &str, path: &str) -> Event {
        serde_json::from_value(serde_json::json!({
            "methodArn": "arn",
            "resource": resource,
            "headers": { "Host": "api.example", "X-Forwarded-Proto": "https", "AUTHORIZATION": "bearer  lv_x" },
            "requestContext": { "extendedRequestId": "1", "path": path, "identity": { "sourceIp": "203.0.113.9" } },
        }))
        .unwrap()
    }

    #[test]
    fn the_base_url_is_made_of_the_events_own_facts() {
        assert_eq!(event("/v1/models/{id}", "/prod/v1/models/m").base_url(), "https://api.example/prod");
    }

    #[test]
    fn header_names_and_the_bearer_scheme_are_read_in_any_case() {
        assert_eq!(event("/v1/messages", "/").api_key(), Some("lv_x"));
    }
}
