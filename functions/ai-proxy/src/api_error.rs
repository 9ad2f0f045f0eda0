//! Reads providers' error bodies. No I/O.

use http::StatusCode;
use serde_json::Value;

/// An error of Anthropic's API (<https://docs.anthropic.com/en/api/errors>).
///
/// The API itself writes `{"type":"error","error":{"type":…,"message":…},"request_id":…}`. The edge in front of it,
/// which checks the size of requests, omits the outer `type`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProviderError {
    /// Kind of the error, `error.type`.
    pub kind: String,
    /// Sentence of the error, `error.message`.
    pub message: String,
    /// Code of the error, `error.details.error_code`.
    pub code: Option<String>,
}

impl ProviderError {
    /// Parses `body`; `None` if it is not an error of the API.
    pub fn parse(body: &[u8]) -> Option<Self> {
        let body: Value = serde_json::from_slice(body).ok()?;
        let text = |value: &Value| value.as_str().map(str::to_owned);
        let error = &body["error"];
        Some(Self {
            kind: text(&error["type"])?,
            message: text(&error["message"])?,
            code: text(&error["details"]["error_code"]),
        })
    }

    /// Returns the status that stands for the error's kind.
    pub fn status(&self) -> StatusCode {
        let status = match self.kind.as_str() {
            "invalid_request_error" => 400,
            "authentication_error" => 401,
            "billing_error" => 402,
            "permission_error" => 403,
            "not_found_error" => 404,
            "conflict_error" => 409,
            "request_too_large" => 413,
            "rate_limit_error" => 429,
            "timeout_error" => 504,
            "overloaded_error" => 529,
            _ => 500,
        };
        StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
    }

    /// Returns true if the error is about the platform's account by its kind.
    pub fn is_about_the_account(&self) -> bool {
        matches!(self.kind.as_str(), "authentication_error" | "billing_error" | "permission_error")
    }
}

/// Returns the API's name for an error with the status `status`.
pub fn kind_of(status: StatusCode) -> &'static str {
    match status.as_u16() {
        404 => "not_found_error",
        408 => "timeout_error",
        409 => "conflict_error",
        413 => "request_too_large",
        429 => "rate_limit_error",
        400..500 => "invalid_request_error",
        _ => "api_error",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const EDGE: &[u8] = br#"{"error":{"type":"request_too_large","message":"Request exceeds the maximum size"}}"#;

    #[test]
    fn an_error_is_one_with_and_without_its_outer_type() {
        let full = ProviderError::parse(
            br#"{"type":"error","error":{"type":"api_error","message":"No","details":{"error_code":"c"}},"request_id":"req_1"}"#,
        );
        let expected =
            ProviderError { kind: "api_error".to_owned(), message: "No".to_owned(), code: Some("c".to_owned()) };
        assert_eq!(full, Some(expected));
        assert_eq!(ProviderError::parse(EDGE).unwrap().kind, "request_too_large");
    }

    #[test]
    fn what_else_a_provider_or_an_edge_answers_is_no_error_of_the_api() {
        for body in [
            "",
            "<html>an edge</html>",
            "[]",
            "null",
            "7",
            r#"{"type":"message"}"#,
            r#"{"type":"error"}"#,
            r#"{"type":"error","error":7}"#,
            r#"{"type":"error","error":{"type":"api_error"}}"#,
            r#"{"error":"No"}"#,
            r#"{"error":{"message":"No"}}"#,
            r#"{"error":{"type":"t"}}"#,
            r#"{"error":{"type":7,"message":"No"}}"#,
            r#"{"message":"No"}"#,
        ] {
            assert_eq!(ProviderError::parse(body.as_bytes()), None, "{body}");
        }
    }
}
