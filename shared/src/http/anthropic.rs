//! Errors in the envelope of Anthropic's API, which its SDKs turn into their exceptions
//! (<https://docs.anthropic.com/en/api/errors>).

use http::StatusCode;
use serde::Serialize;

/// A kind of error, with the status that belongs to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ErrorKind {
    /// 400: the request is malformed.
    InvalidRequest,
    /// 403: the key is known, but may not do this.
    Permission,
    /// 404: there is no such thing.
    NotFound,
    /// 429: what the caller may use is used up.
    RateLimit,
    /// 429: the provider limits the platform.
    ProviderLimit,
    /// 502: the provider cannot be reached or answers nonsense.
    BadGateway,
    /// 503: the platform itself does not work at the moment.
    Unavailable,
    /// 504: the provider did not answer in time.
    Timeout,
    /// 529: the provider has too much to do, or no provider is of any use at the moment.
    Overloaded,
}

impl ErrorKind {
    /// The HTTP status.
    pub fn status(self) -> StatusCode {
        match self {
            Self::InvalidRequest => StatusCode::BAD_REQUEST,
            Self::Permission => StatusCode::FORBIDDEN,
            Self::NotFound => StatusCode::NOT_FOUND,
            Self::RateLimit | Self::ProviderLimit => StatusCode::TOO_MANY_REQUESTS,
            Self::BadGateway => StatusCode::BAD_GATEWAY,
            Self::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
            Self::Timeout => StatusCode::GATEWAY_TIMEOUT,
            // Anthropic's own; it is a number that any status may be.
            Self::Overloaded => StatusCode::from_u16(529).unwrap_or(StatusCode::SERVICE_UNAVAILABLE),
        }
    }

    /// Anthropic's name for it, `error.type` in the envelope.
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

/// Writes the body of an error answer.
pub fn envelope(kind: ErrorKind, message: &str, request_id: &str) -> String {
    named_envelope(kind.name(), message, request_id)
}

/// Writes the body of an error answer of the kind that Anthropic calls `kind`.
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

/// An error within a stream that has already begun: one server-sent event.
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
