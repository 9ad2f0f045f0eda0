//! An answer that a script contains in full: status, headers and body, sent as they are written.

use axum::body::Body;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use http::header::{CONTENT_LENGTH, CONTENT_TYPE, TRANSFER_ENCODING};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::errors::Problem;

/// A scripted answer, validated and ready to send.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[serde(try_from = "Written", into = "Written")]
pub(super) struct ScriptedAnswer {
    written: Written,
    status: StatusCode,
    headers: HeaderMap,
    body: Bytes,
}

/// The `answer` field as written in a script. Its members are parsed by hand, so that an error names the member.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[serde(default, deny_unknown_fields, expecting = "an object with status, headers and body")]
struct Written {
    #[serde(skip_serializing_if = "Value::is_null")]
    status: Value,
    #[serde(skip_serializing_if = "Value::is_null")]
    headers: Value,
    #[serde(skip_serializing_if = "Value::is_null")]
    body: Value,
}

/// Marker on a response to which the front door must not add headers.
#[derive(Clone, Copy, Debug)]
pub(super) struct Verbatim;

/// Outcome of a call that does not get its endpoint's own answer.
#[derive(Debug)]
pub(super) enum Diverted {
    /// A refusal of the request, or a scripted failure.
    Problem(Problem),
    /// A scripted answer.
    Answer(Box<Response>),
}

impl From<Problem> for Diverted {
    fn from(problem: Problem) -> Self {
        Self::Problem(problem)
    }
}

impl IntoResponse for Diverted {
    fn into_response(self) -> Response {
        match self {
            Self::Problem(problem) => problem.into_response(),
            Self::Answer(response) => *response,
        }
    }
}

impl ScriptedAnswer {
    /// Returns true if the call counts as failed: a status of 400 or more.
    pub(super) fn is_failure(&self) -> bool {
        self.status.as_u16() >= 400
    }

    /// Builds the response. Statuses 1xx, 204 and 304 have no body, as in HTTP.
    pub(super) fn response(&self) -> Response {
        let has_body = !self.status.is_informational()
            && !matches!(self.status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED);
        let body = if has_body { Body::from(self.body.clone()) } else { Body::empty() };
        let mut response = (self.status, self.headers.clone(), body).into_response();
        response.extensions_mut().insert(Verbatim);
        response
    }
}

impl From<ScriptedAnswer> for Written {
    fn from(answer: ScriptedAnswer) -> Self {
        answer.written
    }
}

impl TryFrom<Written> for ScriptedAnswer {
    type Error = String;

    fn try_from(written: Written) -> Result<Self, String> {
        let status = status(&written.status)?;
        let mut headers = headers(&written.headers)?;
        let body = match &written.body {
            Value::Null => Bytes::new(),
            Value::String(text) => Bytes::from(text.clone()),
            json => {
                headers.entry(CONTENT_TYPE).or_insert(HeaderValue::from_static("application/json"));
                Bytes::from(json.to_string())
            }
        };
        Ok(Self { written, status, headers, body })
    }
}

fn status(written: &Value) -> Result<StatusCode, String> {
    if written.is_null() {
        return Ok(StatusCode::OK);
    }
    let status = written.as_u64().and_then(|status| u16::try_from(status).ok());
    // `StatusCode` accepts 100 to 999.
    let status = status.and_then(|status| StatusCode::from_u16(status).ok());
    status.ok_or_else(|| "status: must be a number from 100 to 999".to_owned())
}

fn headers(written: &Value) -> Result<HeaderMap, String> {
    let fields = match written {
        Value::Null => return Ok(HeaderMap::new()),
        Value::Object(fields) => fields,
        _ => return Err("headers: must be an object from names to values".to_owned()),
    };
    let mut headers = HeaderMap::new();
    for (written_name, values) in fields {
        let name = HeaderName::try_from(written_name.as_str())
            .map_err(|_| format!("headers: {written_name:?} is not a header name"))?;
        if name == CONTENT_LENGTH || name == TRANSFER_ENCODING {
            return Err(format!("headers: {name} follows from the body and cannot be scripted"));
        }
        let values = match values {
            Value::Array(values) => values.as_slice(),
            value => std::slice::from_ref(value),
        };
        // Append each value, so that a name may occur several times.
        for value in values {
            let text =
                value.as_str().ok_or_else(|| format!("headers: {name} must be a string or a list of strings"))?;
            let value = HeaderValue::from_bytes(text.as_bytes())
                .map_err(|_| format!("headers: {name} has a value with control characters"))?;
            headers.try_append(name.clone(), value).map_err(|_| "headers: there are too many".to_owned())?;
        }
    }
    Ok(headers)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn an_answer_is_shown_as_it_was_written() {
        for written in [
            json!({}),
            json!({ "status": 999 }),
            json!({ "status": 100, "headers": { "X-A": "1", "x-b": ["2", "3"], "x-none": [] }, "body": "text" }),
            json!({ "body": [1, { "a": null }] }),
        ] {
            let answer = ScriptedAnswer::deserialize(&written).unwrap();
            assert_eq!(serde_json::to_value(answer).unwrap(), written);
        }
    }

    #[test]
    fn only_a_body_that_is_no_string_brings_its_content_type() {
        for (written, content_type, body) in [
            (json!({}), None, ""),
            (json!({ "body": "{}" }), None, "{}"),
            (json!({ "body": { "a": 1 } }), Some("application/json"), r#"{"a":1}"#),
            (json!({ "body": 5 }), Some("application/json"), "5"),
            (json!({ "headers": { "Content-Type": "text/odd" }, "body": [] }), Some("text/odd"), "[]"),
        ] {
            let answer = ScriptedAnswer::deserialize(&written).unwrap();
            assert_eq!(
                answer.headers.get(CONTENT_TYPE).map(|value| value.to_str().unwrap()),
                content_type,
                "{written}"
            );
            assert_eq!(answer.body, body, "{written}");
        }
    }

    #[test]
    fn a_mistake_names_the_member() {
        for (written, mistake) in [
            (json!("text"), "invalid type: string \"text\", expected an object with status, headers and body"),
            (json!({ "state": 200 }), "unknown field `state`, expected one of `status`, `headers`, `body`"),
            (json!({ "status": 99 }), "status: must be a number from 100 to 999"),
            (json!({ "status": 1000 }), "status: must be a number from 100 to 999"),
            (json!({ "status": 70_000 }), "status: must be a number from 100 to 999"),
            (json!({ "status": -200 }), "status: must be a number from 100 to 999"),
            (json!({ "status": "200" }), "status: must be a number from 100 to 999"),
            (json!({ "headers": ["a: b"] }), "headers: must be an object from names to values"),
            (json!({ "headers": { "a b": "c" } }), "headers: \"a b\" is not a header name"),
            (json!({ "headers": { "": "c" } }), "headers: \"\" is not a header name"),
            (json!({ "headers": { "x-a": 5 } }), "headers: x-a must be a string or a list of strings"),
            (json!({ "headers": { "x-a": ["b", null] } }), "headers: x-a must be a string or a list of strings"),
            (json!({ "headers": { "x-a": "b\nc" } }), "headers: x-a has a value with control characters"),
            (
                json!({ "headers": { "Content-Length": "5" } }),
                "headers: content-length follows from the body and cannot be scripted",
            ),
            (
                json!({ "headers": { "transfer-encoding": "chunked" } }),
                "headers: transfer-encoding follows from the body and cannot be scripted",
            ),
        ] {
            assert_eq!(ScriptedAnswer::deserialize(&written).unwrap_err().to_string(), mistake, "{written}");
        }
    }
}
