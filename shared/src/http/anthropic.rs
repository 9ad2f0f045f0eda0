//! Errors in the envelope of Anthropic's API, which its SDKs turn into their exceptions
//! (<https://docs.anthropic.com/en/api/errors>).

use http::StatusCode;
use serde_json::json;

/// A kind of error, with the status that belongs to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ErrorKind {
    /// 400: the request is malformed.
    InvalidRequest,
    /// 403: the key is known, but may not do this.
    Permission,
    /// 404: there is no such thing.
    NotFound,
    /// 413: the request is too large.
    RequestTooLarge,
    /// 500: our fault.
    Internal,
    /// 502: the provider cannot be reached or answers nonsense.
    BadGateway,
    /// 504: the provider did not answer in time.
    Timeout,
}

impl ErrorKind {
    /// The HTTP status.
    pub fn status(self) -> StatusCode {
        match self {
            Self::InvalidRequest => StatusCode::BAD_REQUEST,
            Self::Permission => StatusCode::FORBIDDEN,
            Self::NotFound => StatusCode::NOT_FOUND,
            Self::RequestTooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Self::Internal => StatusCode::INTERNAL_SERVER_ERROR,
            Self::BadGateway => StatusCode::BAD_GATEWAY,
            Self::Timeout => StatusCode::GATEWAY_TIMEOUT,
        }
    }

    /// Anthropic's name for it, `error.type` in the envelope.
    pub fn name(self) -> &'static str {
        match self {
            Self::InvalidRequest => "invalid_request_error",
            Self::Permission => "permission_error",
            Self::NotFound => "not_found_error",
            Self::RequestTooLarge => "request_too_large",
            Self::Internal | Self::BadGateway => "api_error",
            Self::Timeout => "timeout_error",
        }
    }
}

/// The body of an error answer.
pub fn envelope(kind: ErrorKind, message: &str, request_id: &str) -> String {
    json!({ "type": "error", "error": { "type": kind.name(), "message": message }, "request_id": request_id })
        .to_string()
}

/// An error within a stream that has already begun: one server-sent event.
pub fn stream_event(kind: ErrorKind, message: &str, request_id: &str) -> String {
    format!("event: error\ndata: {}\n\n", envelope(kind, message, request_id))
}
