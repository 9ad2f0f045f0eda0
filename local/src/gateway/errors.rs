//! Responses that the gateway makes itself: "Gateway responses for REST APIs"
//! (api-gateway-gatewayResponse-definition.html) and "Gateway response types"
//! (supported-gateway-response-types.html).

use std::borrow::Cow;

use http::{HeaderName, HeaderValue, Response, StatusCode, header};
use serde_json::Value;

use super::{Gateway, Reply, event, exchange::Exchange, full};
use crate::template::{ACCOUNT, API_ID, BodyPart, GatewayResponse, HeaderSource, RequestPart, ResponseType};

/// Reason to answer a request without its function's answer.
#[derive(Debug)]
pub(super) struct Refusal {
    /// Response type; `None` for answers that have no type of their own on AWS.
    kind: Option<ResponseType>,
    status: StatusCode,
    message: Option<Cow<'static, str>>,
}

impl Refusal {
    /// Returns a refusal with the status and message of its response type.
    pub(super) fn from_kind(kind: ResponseType) -> Self {
        let message = match kind {
            ResponseType::MissingAuthenticationToken => Some("Missing Authentication Token"),
            ResponseType::Unauthorized => Some("Unauthorized"),
            ResponseType::RequestTooLarge => Some("Request Too Long"),
            ResponseType::IntegrationTimeout => Some("Endpoint request timed out"),
            ResponseType::ApiConfigurationError | ResponseType::IntegrationFailure => Some("Internal server error"),
            // API Gateway sends {"message":null} if an authorizer fails.
            _ => None,
        };
        let message = message.map(Cow::Borrowed);
        let status = kind.status().and_then(|status| StatusCode::from_u16(status).ok());
        Self { kind: Some(kind), status: status.unwrap_or(StatusCode::INTERNAL_SERVER_ERROR), message }
    }

    /// Returns the refusal of an unknown route. API Gateway takes such a request for a signed one. It rejects an
    /// `Authorization` header that is not a signature, and repeats the header in the message.
    pub(super) fn unknown_route(exchange: &Exchange) -> Self {
        let Some(header) = exchange.header(header::AUTHORIZATION) else {
            return Self::from_kind(ResponseType::MissingAuthenticationToken);
        };
        let last = header.rsplit(' ').next().unwrap_or_default();
        let message =
            format!("'{last}' not a valid key=value pair (missing equal-sign) in Authorization header: '{header}'.");
        Self { message: Some(message.into()), ..Self::from_kind(ResponseType::InvalidSignature) }
    }

    /// Returns a refusal without a response type of its own; only the template's DEFAULT_4XX or DEFAULT_5XX applies.
    pub(super) fn of_status(status: StatusCode, message: &'static str) -> Self {
        Self { kind: None, status, message: Some(message.into()) }
    }

    /// Returns the refusal `500`, for errors of the gateway itself.
    pub(super) fn internal() -> Self {
        Self::of_status(StatusCode::INTERNAL_SERVER_ERROR, "Internal server error")
    }

    /// Returns the refusal `502`: the function failed, or its answer is not a proxy response ("malformed Lambda proxy
    /// response", handle-errors-in-lambda-integration.html).
    pub(super) fn bad_gateway() -> Self {
        Self::of_status(StatusCode::BAD_GATEWAY, "Internal server error")
    }

    /// Replaces the message.
    pub(super) fn saying(self, message: &'static str) -> Self {
        Self { message: Some(message.into()), ..self }
    }

    /// Returns AWS's name of the response type, as in `$context.error.responseType`.
    fn name(&self) -> &'static str {
        self.kind.map_or_else(|| self.fallback().name(), ResponseType::name)
    }

    /// Returns the default type of the status class. "If the response type is unspecified, this response defaults to
    /// the DEFAULT_4XX (5XX) type."
    fn fallback(&self) -> ResponseType {
        if self.status.is_server_error() { ResponseType::Default5xx } else { ResponseType::Default4xx }
    }

    /// Returns the exception named in `x-amzn-ErrorType`, if AWS sets one.
    fn exception(&self) -> Option<&'static str> {
        Some(match self.kind {
            Some(ResponseType::AccessDenied) => "AccessDeniedException",
            Some(ResponseType::InvalidSignature) => "IncompleteSignatureException",
            Some(ResponseType::Unauthorized) => "UnauthorizedException",
            Some(ResponseType::MissingAuthenticationToken) => "MissingAuthenticationTokenException",
            Some(ResponseType::AuthorizerConfigurationError | ResponseType::AuthorizerFailure) => {
                "AuthorizerConfigurationException"
            }
            _ if self.status.is_server_error() => "InternalServerErrorException",
            _ => return None,
        })
    }
}

impl Gateway {
    /// Renders a refusal as configured in the template, or else with AWS's defaults.
    pub(super) fn refuse(&self, exchange: &Exchange, refusal: &Refusal) -> Reply {
        // Look up the type's own response, then the default of its class.
        let nothing = GatewayResponse::default();
        let specified = refusal.kind.and_then(|kind| self.api.responses.get(&kind));
        let response = specified.or_else(|| self.api.responses.get(&refusal.fallback())).unwrap_or(&nothing);
        let status = response.status.and_then(|status| StatusCode::from_u16(status).ok()).unwrap_or(refusal.status);

        let (media_type, body) = match template(response, exchange.header(header::ACCEPT)) {
            Some((media_type, parts)) => (media_type, render(parts, exchange, refusal)),
            None => ("application/json", serde_json::json!({ "message": refusal.message }).to_string()),
        };
        let mut reply = Response::new(full(body));
        *reply.status_mut() = status;
        let headers = reply.headers_mut();
        if let Ok(value) = HeaderValue::from_str(media_type) {
            headers.insert(header::CONTENT_TYPE, value);
        }
        // Add the exception's name and the template's headers.
        if let Some(exception) = refusal.exception() {
            headers.insert("x-amzn-errortype", HeaderValue::from_static(exception));
        }
        for (name, source) in &response.headers {
            // A header whose source has no value is left out.
            let value = value(source, exchange, refusal).and_then(|value| HeaderValue::from_str(&value).ok());
            if let (Ok(name), Some(value)) = (HeaderName::try_from(name), value) {
                headers.insert(name, value);
            }
        }
        reply
    }
}

/// Returns the first template of a media type that the client accepts, or else the JSON one.
fn template<'a>(response: &'a GatewayResponse, accept: Option<&str>) -> Option<(&'a str, &'a [BodyPart])> {
    let of = |wanted: &str| response.bodies.iter().find(|(media_type, _)| media_type == wanted);
    let accepted = accept.unwrap_or_default().split(',').map(|part| part.split(';').next().unwrap_or_default().trim());
    let found = accepted.map(str::to_ascii_lowercase).find_map(|wanted| of(&wanted));
    let (media_type, parts) = found.or_else(|| of("application/json"))?;
    Some((media_type, parts))
}

fn render(parts: &[BodyPart], exchange: &Exchange, refusal: &Refusal) -> String {
    let text = |part: &BodyPart| match part {
        BodyPart::Text(text) => text.clone(),
        BodyPart::Context(name) => context(name, exchange, refusal).unwrap_or_default(),
        BodyPart::StageVariable => String::new(),
    };
    parts.iter().map(text).collect()
}

fn value(source: &HeaderSource, exchange: &Exchange, refusal: &Refusal) -> Option<String> {
    let named = |pairs: &[(String, String)], name: &str| {
        pairs.iter().find(|(key, _)| key == name).map(|(_, value)| value.clone())
    };
    match source {
        HeaderSource::Static(text) => Some(text.clone()),
        HeaderSource::Context(name) => context(name, exchange, refusal),
        HeaderSource::Request(RequestPart::Header, name) => exchange.header(name.as_str()).map(str::to_owned),
        HeaderSource::Request(RequestPart::Query, name) => named(&exchange.query, name),
        HeaderSource::Request(RequestPart::Path, name) => named(&exchange.path_parameters, name),
        HeaderSource::StageVariable => None,
    }
}

/// Returns the value of a `$context` variable, or `None` if this request does not have it.
fn context(name: &str, exchange: &Exchange, refusal: &Refusal) -> Option<String> {
    if let Some(key) = name.strip_prefix("authorizer.") {
        return Some(match exchange.authorizer.as_ref()?.get(key)? {
            Value::String(text) => text.clone(),
            other => other.to_string(),
        });
    }
    let text = match name {
        "accountId" => ACCOUNT.to_owned(),
        "apiId" => API_ID.to_owned(),
        "domainName" => exchange.domain_name().to_owned(),
        "domainPrefix" => exchange.domain_name().split('.').next()?.to_owned(),
        "error.message" => refusal.message.as_deref()?.to_owned(),
        "error.messageString" => serde_json::json!(refusal.message).to_string(),
        "error.responseType" => refusal.name().to_owned(),
        "extendedRequestId" => exchange.extended_request_id.clone(),
        "httpMethod" => exchange.method.to_string(),
        "identity.sourceIp" => exchange.peer.to_string(),
        "identity.userAgent" => exchange.header(header::USER_AGENT)?.to_owned(),
        "path" => exchange.full_path.clone(),
        "protocol" => exchange.protocol.clone(),
        "requestId" => exchange.request_id.clone(),
        "requestTime" => exchange.request_time(),
        "requestTimeEpoch" => exchange.request_time_epoch().to_string(),
        "resourceId" => event::resource_id(exchange),
        "resourcePath" => exchange.resource.clone()?,
        "stage" => exchange.stage.clone(),
        _ => return None,
    };
    Some(text)
}
