//! Answers other than pages.

use http::header::{CACHE_CONTROL, CONTENT_TYPE, LOCATION};
use http::{HeaderValue, Response, StatusCode};
use serde::Serialize;

/// An answer. Its body is always text.
pub type Answer = Response<String>;

/// Creates a JSON answer for programs, which must not be cached.
pub fn json(status: StatusCode, body: &impl Serialize) -> Answer {
    let mut answer = Response::new(serde_json::to_string(body).unwrap_or_default());
    *answer.status_mut() = status;
    let headers = answer.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    answer
}

/// Redirects a browser to `location`, which it fetches with GET (303, RFC 9110 section 15.4.4).
pub fn see_other(location: &str) -> Answer {
    let mut answer = Response::new(String::new());
    *answer.status_mut() = StatusCode::SEE_OTHER;
    answer.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    if let Ok(location) = HeaderValue::from_str(location) {
        answer.headers_mut().insert(LOCATION, location);
    }
    answer
}
