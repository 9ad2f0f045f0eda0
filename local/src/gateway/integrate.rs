//! The Lambda proxy integration: calls the function and converts its answer to HTTP.
//!
//! "Output format of a Lambda function for proxy integration" (set-up-lambda-proxy-integrations.html) and "Handle
//! Lambda errors in API Gateway" (handle-errors-in-lambda-integration.html).

use base64::Engine;
use bytes::Bytes;
use http::{Response, StatusCode, header};
use serde_json::{Map, Value};
use tokio::time::Instant;

use super::{Reply, errors::Refusal, exchange::Exchange, full, headers::Headers, payload::wants_binary, stream};
use crate::{
    host::{Function, FunctionAnswer, FunctionFailure, Invocation},
    template::{ResponseType, Route},
};

/// Calls the function of a route and waits for its answer, at most as long as the route allows.
pub(super) async fn call(
    exchange: &Exchange,
    route: &Route,
    function: &Function,
    event: Bytes,
    binary: &[String],
) -> Result<Reply, Refusal> {
    // Call the function before the deadline.
    let deadline = Instant::now() + route.timeout;
    let call = Invocation { event, trace_id: exchange.trace_id.clone() };
    let answer = tokio::time::timeout_at(deadline, function.invoke(call)).await;
    let answer = answer.map_err(|_| Refusal::from_kind(ResponseType::IntegrationTimeout))?.map_err(|failure| {
        tracing::warn!(
            "{} answered {} {} with an error: {failure}",
            function.config.name,
            exchange.method,
            exchange.full_path
        );
        refusal(&failure)
    })?;
    let malformed = |mistake: String| {
        let name = &function.config.name;
        tracing::warn!("{name} answered {} what is no proxy response: {mistake}", exchange.full_path);
        Refusal::bad_gateway()
    };
    // Convert the answer; its kind has to match the route.
    match (answer, route.streaming) {
        (FunctionAnswer::Buffered(payload), false) => {
            let Proxied { status, headers, body } = parse(&payload, &exchange.trace_id).map_err(malformed)?;
            let body: Bytes = match body {
                Text::Plain(text) => text.into(),
                // Leave encoded text as it is unless the client wants a binary type.
                Text::Encoded(text) if !wants_binary(binary, exchange.header(header::ACCEPT)) => text.into(),
                Text::Encoded(text) => base64::engine::general_purpose::STANDARD
                    .decode(text)
                    .map_err(|_| Refusal::from_kind(ResponseType::ApiConfigurationError))?
                    .into(),
            };
            Ok(reply(status, headers, full(body)))
        }
        (FunctionAnswer::Streamed(answer), true) => {
            let opened = stream::open(answer, &exchange.trace_id, deadline, &function.config.name).await?;
            let (status, headers, body) = opened.map_err(malformed)?;
            Ok(reply(status, headers, body))
        }
        (FunctionAnswer::Buffered(_), true) => Err(malformed("the route streams but the function does not".to_owned())),
        (FunctionAnswer::Streamed(_), false) => {
            Err(malformed("the function streams but the route does not".to_owned()))
        }
    }
}

/// Returns the refusal for a function that gave no answer.
pub(super) fn refusal(failure: &FunctionFailure) -> Refusal {
    match failure {
        FunctionFailure::TimedOut(_) => Refusal::from_kind(ResponseType::IntegrationTimeout),
        FunctionFailure::Throttled => Refusal::internal(),
        FunctionFailure::Function { .. } | FunctionFailure::Exited(_) | FunctionFailure::TooLarge => {
            Refusal::bad_gateway()
        }
    }
}

fn reply(status: StatusCode, headers: http::HeaderMap, body: super::Body) -> Reply {
    let mut reply = Response::new(body);
    *reply.status_mut() = status;
    *reply.headers_mut() = headers;
    reply
}

/// A parsed proxy response.
struct Proxied {
    status: StatusCode,
    headers: http::HeaderMap,
    body: Text,
}

enum Text {
    Plain(String),
    Encoded(String),
}

fn parse(payload: &[u8], trace_id: &str) -> Result<Proxied, String> {
    let payload: Value = serde_json::from_slice(payload).map_err(|error| format!("it is no JSON: {error}"))?;
    // Reject unknown members, as API Gateway does.
    let object = payload.as_object().ok_or("it is no object")?;
    const KNOWN: [&str; 5] = ["statusCode", "headers", "multiValueHeaders", "body", "isBase64Encoded"];
    if let Some(name) = object.keys().find(|name| !KNOWN.contains(&name.as_str())) {
        return Err(format!("it has a member {name}"));
    }
    let mut headers = Headers::default();
    headers.extend(object.get("multiValueHeaders"))?;
    headers.extend(object.get("headers"))?;
    let text = match object.get("body") {
        None | Some(Value::Null) => String::new(),
        Some(Value::String(text)) => text.clone(),
        Some(_) => return Err("its body is no string".to_owned()),
    };
    let encoded = match object.get("isBase64Encoded") {
        None | Some(Value::Null | Value::Bool(false)) => false,
        Some(Value::Bool(true)) => true,
        Some(_) => return Err("its isBase64Encoded is no boolean".to_owned()),
    };
    let body = if encoded { Text::Encoded(text) } else { Text::Plain(text) };
    Ok(Proxied { status: status(object)?.ok_or("it has no statusCode")?, headers: headers.finish(trace_id), body })
}

/// Returns `statusCode`, which is a number or text; `None` if it is absent.
pub(super) fn status(object: &Map<String, Value>) -> Result<Option<StatusCode>, String> {
    let number = match object.get("statusCode") {
        None | Some(Value::Null) => return Ok(None),
        Some(Value::String(text)) => text.parse().ok(),
        Some(value) => value.as_u64().and_then(|number| u16::try_from(number).ok()),
    };
    let status = number.filter(|number| *number < 600).and_then(|number| StatusCode::from_u16(number).ok());
    Ok(Some(status.ok_or("its statusCode is no HTTP status")?))
}
