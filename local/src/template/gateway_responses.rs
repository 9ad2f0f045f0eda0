//! `GatewayResponses`: the responses that API Gateway makes itself, parsed and checked at start.
//!
//! Follows "Gateway response types" (supported-gateway-response-types.html), "Gateway responses"
//! (api-gateway-gatewayResponse-definition.html: "API Gateway does not apply VTL to gateway responses, only simple
//! variable substitution") and "Variables for data transformations" (api-gateway-mapping-template-reference.html).

use std::{collections::BTreeMap, str::FromStr};

use super::{Mistake, node::Node, scope::Scope};

macro_rules! response_types {
    ($($variant:ident $name:literal $status:expr;)*) => {
        /// Types of responses that API Gateway makes without a function.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
        #[expect(missing_docs, reason = "the names of AWS's own table, whose page the module names")]
        pub enum ResponseType { $($variant),* }

        impl ResponseType {
            /// Returns AWS's name of the type.
            #[must_use]
            pub fn name(self) -> &'static str {
                match self { $(Self::$variant => $name),* }
            }

            /// Returns the default status, or `None` for the two default types.
            #[must_use]
            pub fn status(self) -> Option<u16> {
                match self { $(Self::$variant => $status),* }
            }
        }

        impl FromStr for ResponseType {
            type Err = ();
            fn from_str(name: &str) -> Result<Self, ()> {
                match name { $($name => Ok(Self::$variant),)* _ => Err(()) }
            }
        }
    };
}

response_types! {
    AccessDenied "ACCESS_DENIED" Some(403);
    ApiConfigurationError "API_CONFIGURATION_ERROR" Some(500);
    AuthorizerConfigurationError "AUTHORIZER_CONFIGURATION_ERROR" Some(500);
    AuthorizerFailure "AUTHORIZER_FAILURE" Some(500);
    BadRequestBody "BAD_REQUEST_BODY" Some(400);
    BadRequestParameters "BAD_REQUEST_PARAMETERS" Some(400);
    Default4xx "DEFAULT_4XX" None;
    Default5xx "DEFAULT_5XX" None;
    ExpiredToken "EXPIRED_TOKEN" Some(403);
    IntegrationFailure "INTEGRATION_FAILURE" Some(504);
    IntegrationTimeout "INTEGRATION_TIMEOUT" Some(504);
    InvalidApiKey "INVALID_API_KEY" Some(403);
    InvalidSignature "INVALID_SIGNATURE" Some(403);
    MissingAuthenticationToken "MISSING_AUTHENTICATION_TOKEN" Some(403);
    QuotaExceeded "QUOTA_EXCEEDED" Some(429);
    RequestTooLarge "REQUEST_TOO_LARGE" Some(413);
    ResourceNotFound "RESOURCE_NOT_FOUND" Some(404);
    Throttled "THROTTLED" Some(429);
    Unauthorized "UNAUTHORIZED" Some(401);
    UnsupportedMediaType "UNSUPPORTED_MEDIA_TYPE" Some(415);
    WafFiltered "WAF_FILTERED" Some(403);
}

/// One entry of `GatewayResponses`.
#[derive(Clone, Debug, Default)]
pub struct GatewayResponse {
    /// Status that replaces the type's own.
    pub status: Option<u16>,
    /// Headers in the order of the template.
    pub headers: Vec<(String, HeaderSource)>,
    /// Body templates by media type.
    pub bodies: Vec<(String, Vec<BodyPart>)>,
}

/// Source of a header's value in a gateway response.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HeaderSource {
    /// `'text'`.
    Static(String),
    /// `context.name`, without the prefix.
    Context(String),
    /// `method.request.{header|querystring|path}.name`.
    Request(RequestPart, String),
    /// `stageVariables.name`: the local API has none.
    StageVariable,
}

/// A part of the request that a gateway response may contain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RequestPart {
    /// A header; its first value is used.
    Header,
    /// A query parameter.
    Query,
    /// A path parameter.
    Path,
}

/// A part of a body template.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BodyPart {
    /// Literal text.
    Text(String),
    /// `$context.name`, without the prefix.
    Context(String),
    /// `$stageVariables.name`: the local API has none.
    StageVariable,
}

pub(super) fn read(node: Option<&Node>, scope: &Scope<'_>) -> Result<BTreeMap<ResponseType, GatewayResponse>, Mistake> {
    let mut responses = BTreeMap::new();
    for entry in node.map_or(&[][..], Node::entries) {
        let Ok(kind) = entry.key.parse::<ResponseType>() else {
            return Err(Mistake::new(entry.line, format!("there is no gateway response type {}", entry.key)));
        };
        responses.insert(kind, response(&entry.value, scope)?);
    }
    Ok(responses)
}

fn response(node: &Node, scope: &Scope<'_>) -> Result<GatewayResponse, Mistake> {
    node.only("a gateway response", &["StatusCode", "ResponseParameters", "ResponseTemplates"], &[])?;
    let mut response = GatewayResponse::default();
    if let Some(node) = node.get("StatusCode") {
        let status = u16::try_from(scope.number(node)?).ok().filter(|status| (100..600).contains(status));
        response.status = Some(status.ok_or_else(|| Mistake::new(node.line, "this is no HTTP status"))?);
    }
    if let Some(parameters) = node.get("ResponseParameters") {
        parameters.only("ResponseParameters", &["Headers"], &[])?;
        for entry in parameters.get("Headers").map_or(&[][..], Node::entries) {
            // A header that evaluates to `AWS::NoValue` is left out.
            if let Some(text) = scope.optional_text(&entry.value)? {
                response.headers.push((entry.key.clone(), header_source(&text, entry.value.line)?));
            }
        }
    }
    for entry in node.get("ResponseTemplates").map_or(&[][..], Node::entries) {
        let parts = body(&scope.text(&entry.value)?, entry.value.line)?;
        response.bodies.push((entry.key.to_ascii_lowercase(), parts));
    }
    Ok(response)
}

fn header_source(text: &str, line: usize) -> Result<HeaderSource, Mistake> {
    if let Some(text) = text.strip_prefix('\'').and_then(|rest| rest.strip_suffix('\'')) {
        return Ok(HeaderSource::Static(text.to_owned()));
    }
    if let Some(name) = text.strip_prefix("context.") {
        return Ok(HeaderSource::Context(context_variable(name, line)?));
    }
    let request =
        |prefix: &str, part| text.strip_prefix(prefix).map(|name| HeaderSource::Request(part, name.to_owned()));
    request("method.request.header.", RequestPart::Header)
        .or_else(|| request("method.request.querystring.", RequestPart::Query))
        .or_else(|| request("method.request.path.", RequestPart::Path))
        .or_else(|| text.strip_prefix("stageVariables.").map(|_| HeaderSource::StageVariable))
        .ok_or_else(|| {
            let sources = "'text', context.…, method.request.{header|querystring|path}.… or stageVariables.…";
            Mistake::new(line, format!("a header's value must be {sources}, not {text}"))
        })
}

/// Splits a body template into text and variables.
fn body(template: &str, line: usize) -> Result<Vec<BodyPart>, Mistake> {
    let mut parts = Vec::new();
    let mut rest = template;
    let mut text = String::new();
    while let Some(position) = rest.find('$') {
        let after = &rest[position + 1..];
        // The name of the variable after the `$`.
        let length = after.find(|c: char| !c.is_ascii_alphanumeric() && !"._-".contains(c)).unwrap_or(after.len());
        // A full stop at the end of a sentence is not part of the name.
        let name = after[..length].trim_end_matches(['.', '-']);
        let at = line + template[..template.len() - rest.len() + position].matches('\n').count();
        text.push_str(&rest[..position]);
        let part = if let Some(name) = name.strip_prefix("context.") {
            Some(BodyPart::Context(context_variable(name, at)?))
        } else if name.starts_with("stageVariables.") {
            Some(BodyPart::StageVariable)
        } else if name.starts_with(|c: char| c.is_ascii_alphabetic()) || after.starts_with('{') {
            return Err(Mistake::new(at, format!("${name} is not substituted in a gateway response, only $context.…")));
        } else {
            None
        };
        match part {
            Some(part) => {
                parts.push(BodyPart::Text(std::mem::take(&mut text)));
                parts.push(part);
                rest = &after[name.len()..];
            }
            None => {
                text.push('$');
                rest = after;
            }
        }
    }
    text.push_str(rest);
    parts.push(BodyPart::Text(text));
    Ok(parts)
}

/// `$context` names that a gateway response may use (api-gateway-mapping-template-reference.html). A name of this
/// list that has no value for the request is rendered empty.
const CONTEXT: &[&str] = &[
    "accountId",
    "apiId",
    "awsEndpointRequestId",
    "deploymentId",
    "domainName",
    "domainPrefix",
    "error.message",
    "error.messageString",
    "error.responseType",
    "error.validationErrorString",
    "extendedRequestId",
    "httpMethod",
    "identity.accountId",
    "identity.apiKey",
    "identity.apiKeyId",
    "identity.caller",
    "identity.sourceIp",
    "identity.user",
    "identity.userAgent",
    "identity.userArn",
    "integrationErrorMessage",
    "isCanaryRequest",
    "path",
    "protocol",
    "requestId",
    "requestTime",
    "requestTimeEpoch",
    "resourceId",
    "resourcePath",
    "stage",
    "wafResponseCode",
    "webaclArn",
];

fn context_variable(name: &str, line: usize) -> Result<String, Mistake> {
    let known = CONTEXT.contains(&name) || name.strip_prefix("authorizer.").is_some_and(|rest| !rest.is_empty());
    match known {
        true => Ok(name.to_owned()),
        false => Err(Mistake::new(line, format!("$context.{name} does not exist"))),
    }
}
