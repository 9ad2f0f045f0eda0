//! Outcome of a request, in one word.

use http::StatusCode;

/// Returns the outcome of a request with this response status, for wide events.
pub fn outcome(status: StatusCode) -> &'static str {
    match status.as_u16() {
        401 | 403 => "forbidden",
        400..=499 => "caller_error",
        500.. => "failed",
        _ => "ok",
    }
}
