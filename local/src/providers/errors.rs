//! Anthropic's errors: the type for each status, and the envelope.

use axum::response::{IntoResponse, Response};
use http::StatusCode;
use serde::Serialize;

/// An error answer. The front door adds the envelope's `request_id`.
#[derive(Clone, Debug)]
pub(super) struct Problem {
    pub(super) status: StatusCode,
    pub(super) message: String,
    /// Value of the `retry-after` header, sent as it is.
    pub(super) retry_after: Option<String>,
}

impl Problem {
    pub(super) fn new(status: u16, message: impl Into<String>) -> Self {
        let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        Self { status, message: message.into(), retry_after: None }
    }

    pub(super) fn invalid(message: impl Into<String>) -> Self {
        Self::new(400, message)
    }

    pub(super) fn not_found(message: impl Into<String>) -> Self {
        Self::new(404, message)
    }

    /// Returns the body. SDKs show it as it is, so its fields are in Anthropic's order.
    pub(super) fn envelope<'a>(&'a self, request_id: &'a str) -> Envelope<'a> {
        let error = Inner { r#type: error_type(self.status.as_u16()), message: &self.message };
        Envelope { r#type: "error", error, request_id }
    }
}

/// Body of an error answer.
#[derive(Serialize)]
pub(super) struct Envelope<'a> {
    r#type: &'static str,
    error: Inner<'a>,
    request_id: &'a str,
}

#[derive(Serialize)]
struct Inner<'a> {
    r#type: &'static str,
    message: &'a str,
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let mut response = self.status.into_response();
        response.extensions_mut().insert(self);
        response
    }
}

/// Returns the error type of a status, after <https://docs.claude.com/en/api/errors>; other statuses get the nearest
/// one.
pub(super) fn error_type(status: u16) -> &'static str {
    match status {
        401 => "authentication_error",
        402 => "billing_error",
        403 => "permission_error",
        404 => "not_found_error",
        409 => "conflict_error",
        413 => "request_too_large",
        429 => "rate_limit_error",
        408 | 504 => "timeout_error",
        529 => "overloaded_error",
        400..500 => "invalid_request_error",
        _ => "api_error",
    }
}

/// Returns Anthropic's usual message for a status that is not caused by the request.
pub(super) fn usual_message(status: u16) -> &'static str {
    match status {
        401 => "invalid x-api-key",
        402 => "Your credit balance is too low to access the Anthropic API. Please go to Plans & Billing.",
        403 => "Your API key does not have permission to use the specified resource.",
        404 => "Not found",
        409 => "The request conflicts with the current state of the resource.",
        413 => "Request exceeds the maximum size",
        429 => "This request would exceed your organization's rate limit of 4,000 requests per minute.",
        408 | 504 => "The request timed out.",
        529 => "Overloaded",
        400..500 => "The request is invalid.",
        _ => "Internal server error",
    }
}
