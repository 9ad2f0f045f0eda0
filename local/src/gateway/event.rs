//! The events that functions receive.
//!
//! "Input format of a Lambda function for proxy integration" (set-up-lambda-proxy-integrations.html) and "Input to an
//! API Gateway Lambda authorizer" (api-gateway-lambda-authorizer-input.html), version 1.0 of the payload.

use std::net::IpAddr;

use base64::Engine;
use bytes::Bytes;
use http::header;
use serde_json::{Map, Value, json};

use super::{errors::Refusal, exchange::Exchange, payload::is_binary};
use crate::template::{ACCOUNT, API_ID, REGION, ResponseType};

/// Largest event, in bytes. "Invocation payload (request and response): 6 MB each" (Lambda quotas,
/// gettingstarted-limits.html).
const LARGEST_EVENT: usize = 6 * 1024 * 1024;

/// Builds the event of a proxy integration.
pub(super) fn proxy(exchange: &Exchange, body: &Bytes, binary: &[String]) -> Result<Bytes, Refusal> {
    let content_type = exchange.header(header::CONTENT_TYPE).unwrap_or("application/json");
    let encoded = !body.is_empty() && is_binary(binary, content_type);
    let body = match encoded {
        _ if body.is_empty() => Value::Null,
        true => Value::from(base64::engine::general_purpose::STANDARD.encode(body)),
        false => Value::from(String::from_utf8_lossy(body)),
    };
    let mut event = request(exchange);
    event.insert("requestContext".to_owned(), request_context(exchange));
    event.insert("body".to_owned(), body);
    event.insert("isBase64Encoded".to_owned(), encoded.into());
    let event = Value::Object(event).to_string();
    if event.len() > LARGEST_EVENT {
        return Err(Refusal::from_kind(ResponseType::RequestTooLarge));
    }
    Ok(event.into())
}

/// Builds the event of a REQUEST authorizer: the request without its body, and the method ARN.
pub(super) fn authorizer(exchange: &Exchange) -> Bytes {
    let mut event = request(exchange);
    event.insert("type".to_owned(), "REQUEST".into());
    event.insert("methodArn".to_owned(), method_arn(exchange).into());
    event.insert("requestContext".to_owned(), request_context(exchange));
    Value::Object(event).to_string().into()
}

/// Returns the method ARN, as `arn:aws:execute-api:us-east-1:123456789012:api/stage/GET/path`.
pub(super) fn method_arn(exchange: &Exchange) -> String {
    let path = exchange.decoded_path();
    let path = path.strip_prefix('/').unwrap_or(&path);
    format!("arn:aws:execute-api:{REGION}:{ACCOUNT}:{API_ID}/{}/{}/{path}", exchange.stage, exchange.method)
}

fn request(exchange: &Exchange) -> Map<String, Value> {
    let (headers, multi_headers) = maps(headers(exchange));
    let (query, multi_query) = maps(exchange.query.iter().cloned());
    let parameters = Map::from_iter(exchange.path_parameters.iter().cloned().map(|(k, v)| (k, Value::from(v))));
    let Value::Object(event) = json!({
        "resource": exchange.resource,
        "path": exchange.decoded_path(),
        "httpMethod": exchange.method.as_str(),
        "headers": or_null(headers),
        "multiValueHeaders": or_null(multi_headers),
        "queryStringParameters": or_null(query),
        "multiValueQueryStringParameters": or_null(multi_query),
        "pathParameters": or_null(parameters),
        "stageVariables": null,
    }) else {
        return Map::new();
    };
    event
}

/// Returns the request's headers with those that API Gateway adds. It merges the lines of `X-Forwarded-For` into one
/// and appends the caller's address.
fn headers(exchange: &Exchange) -> impl Iterator<Item = (String, String)> {
    // Compute the headers that the gateway adds or replaces.
    let before = exchange.headers.get_all("x-forwarded-for").iter();
    let before = before.map(|line| String::from_utf8_lossy(line.as_bytes()).into_owned());
    let forwarded = before.chain([exchange.peer.to_string()]).collect::<Vec<_>>().join(", ");
    let added = [
        ("X-Amzn-Trace-Id".to_owned(), exchange.trace_id.clone()),
        ("X-Forwarded-For".to_owned(), forwarded),
        ("X-Forwarded-Port".to_owned(), exchange.port.to_string()),
        ("X-Forwarded-Proto".to_owned(), exchange.scheme.to_owned()),
    ];
    let replaced: Vec<String> = added.iter().map(|(name, _)| name.to_ascii_lowercase()).collect();
    // Drop hop-by-hop headers, which end at the gateway.
    const HOP_BY_HOP: [&str; 5] = ["connection", "keep-alive", "te", "transfer-encoding", "upgrade"];
    let own = exchange.headers.iter().filter(move |(name, _)| {
        !replaced.iter().any(|replaced| replaced == name.as_str()) && !HOP_BY_HOP.contains(&name.as_str())
    });
    own.map(|(name, value)| (name.as_str().to_owned(), String::from_utf8_lossy(value.as_bytes()).into_owned()))
        .chain(added)
}

/// Returns a map with the last value of each name, and one with all values.
fn maps(pairs: impl Iterator<Item = (String, String)>) -> (Map<String, Value>, Map<String, Value>) {
    let (mut last, mut all) = (Map::new(), Map::new());
    for (name, value) in pairs {
        if let Value::Array(values) = all.entry(name.clone()).or_insert_with(|| json!([])) {
            values.push(value.clone().into());
        }
        last.insert(name, value.into());
    }
    (last, all)
}

/// Converts an empty map to null, as API Gateway does.
fn or_null(map: Map<String, Value>) -> Value {
    if map.is_empty() { Value::Null } else { Value::Object(map) }
}

fn request_context(exchange: &Exchange) -> Value {
    let mut context = json!({
        "accountId": ACCOUNT,
        "apiId": API_ID,
        "domainName": exchange.domain_name(),
        "domainPrefix": exchange.domain_name().split('.').next(),
        "extendedRequestId": exchange.extended_request_id,
        "httpMethod": exchange.method.as_str(),
        "identity": identity(exchange.peer, exchange.header(header::USER_AGENT)),
        "path": exchange.full_path,
        "protocol": exchange.protocol,
        "requestId": exchange.request_id,
        "requestTime": exchange.request_time(),
        "requestTimeEpoch": exchange.request_time_epoch(),
        "resourceId": resource_id(exchange),
        "resourcePath": exchange.resource,
        "stage": exchange.stage,
    });
    if let (Some(authorizer), Value::Object(context)) = (&exchange.authorizer, &mut context) {
        context.insert("authorizer".to_owned(), Value::Object(authorizer.clone()));
    }
    context
}

/// Returns six hexadecimal digits that identify the resource.
pub(super) fn resource_id(exchange: &Exchange) -> String {
    use std::hash::{DefaultHasher, Hash, Hasher};
    let mut hasher = DefaultHasher::new();
    exchange.resource.hash(&mut hasher);
    let hash = format!("{:016x}", hasher.finish());
    hash[..6].to_owned()
}

fn identity(peer: IpAddr, user_agent: Option<&str>) -> Value {
    json!({
        "accessKey": null,
        "accountId": null,
        "caller": null,
        "cognitoAuthenticationProvider": null,
        "cognitoAuthenticationType": null,
        "cognitoIdentityId": null,
        "cognitoIdentityPoolId": null,
        "principalOrgId": null,
        "sourceIp": peer.to_string(),
        "user": null,
        "userAgent": user_agent,
        "userArn": null,
    })
}
