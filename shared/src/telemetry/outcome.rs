//! What became of a request, in a word.

use http::StatusCode;

/// The outcome of a request that was answered with `status`, as wide events tell it.
pub fn outcome(status: StatusCode) -> &'static str {
    match status.as_u16() {
        401 | 403 => "forbidden",
        400..=499 => "caller_error",
        500.. => "failed",
        _ => "ok",
    }
}
