//! Errors in the envelope of Anthropic's API, which its SDKs turn into exceptions
//! (<https://docs.anthropic.com/en/api/errors>).

use http::StatusCode;
use serde::Serialize;

/// Kind of an error, each with one HTTP status.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ErrorKind {
    /// 400: the request is malformed.
    InvalidRequest,
    /// 403: the key is known, but lacks permission.
    Permission,
    /// 404: the requested resource does not exist.
    NotFound,
    /// 429: the caller's limit is used up.
    RateLimit,
    /// 429: the provider limits the platform.
    ProviderLimit,
    /// 502: the provider cannot be reached, or its response is invalid.
    BadGateway,
    /// 503: the platform itself is unavailable.
    Unavailable,
    /// 504: the provider did not respond in time.
    Timeout,
    /// 529: the provider is overloaded, or no provider can serve the call.
    Overloaded,
}

impl ErrorKind {
    /// Returns the HTTP status.
    pub fn status(self) -> StatusCode {
        match self {
            Self::InvalidRequest => StatusCode::BAD_REQUEST,
            Self::Permission => StatusCode::FORBIDDEN,
            Self::NotFound => StatusCode::NOT_FOUND,
            Self::RateLimit | Self::ProviderLimit => StatusCode::TOO_MANY_REQUESTS,
            Self::BadGateway => StatusCode::BAD_GATEWAY,
            Self::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
            Self::Timeout => StatusCode::GATEWAY_TIMEOUT,
            // 529 is Anthropic's own status and valid, so the fallback is never used.
            Self::Overloaded => StatusCode::from_u16(529).unwrap_or(StatusCode::SERVICE_UNAVAILABLE),
        }
    }

    /// Returns Anthropic's name of the kind, `error.type` in the envelope.
    pub fn name(self) -> &'static str {
        match self {
            Self::InvalidRequest => "invalid_request_error",
            Self::Permission => "permission_error",
            Self::NotFound => "not_found_error",
            Self::RateLimit | Self::ProviderLimit => "rate_limit_error",
            Self::BadGateway | Self::Unavailable => "api_error",
            Self::Timeout => "timeout_error",
            Self::Overloaded => "overloaded_error",
        }
    }
}

/// Writes the body of an error response.
pub fn envelope(kind: ErrorKind, message: &str, request_id: &str) -> String {
    named_envelope(kind.name(), message, request_id)
}

/// Writes the body of an error response whose kind Anthropic names `kind`.
pub fn named_envelope(kind: &str, message: &str, request_id: &str) -> String {
    #[derive(Serialize)]
    struct Envelope<'a> {
        r#type: &'static str,
        error: Inner<'a>,
        request_id: &'a str,
    }
    #[derive(Serialize)]
    struct Inner<'a> {
        r#type: &'a str,
        message: &'a str,
    }
    let envelope = Envelope { r#type: "error", error: Inner { r#type: kind, message }, request_id };
    serde_json::to_string(&envelope).unwrap_or_default()
}

/// Writes an error for a stream that has already begun, as one server-sent event.
pub fn stream_event(kind: ErrorKind, message: &str, request_id: &str) -> String {
    format!("event: error\ndata: {}\n\n", envelope(kind, message, request_id))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stream_event_is_one_line_whatever_the_message_holds() {
        assert_eq!(
            stream_event(ErrorKind::Timeout, "two\nlines \"quoted\"", "r-1"),
            "event: error\ndata: {\"type\":\"error\",\"error\":{\"type\":\"timeout_error\",\"message\":\
             \"two\\nlines \\\"quoted\\\"\"},\"request_id\":\"r-1\"}\n\n"
        );
    }
}
