//! Errors as `application/problem+json` (RFC 9457).

use http::header::{CACHE_CONTROL, CONTENT_TYPE, RETRY_AFTER};
use http::{HeaderValue, Response, StatusCode};
use serde::Serialize;

use super::status::reason;

/// An error that its caller is told of. All of it is public.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// The HTTP status; its reason phrase is the title.
    pub status: StatusCode,
    /// Stable machine-readable reason.
    pub code: &'static str,
    /// The sentence for people: what is wrong and what to do.
    pub detail: String,
    /// Seconds after which it may be tried again.
    pub retry_after: Option<u64>,
}

#[derive(Serialize)]
struct Body<'a> {
    // With no type of its own, a problem is what its status says.
    r#type: &'static str,
    title: &'a str,
    status: u16,
    detail: &'a str,
    code: &'a str,
    request_id: &'a str,
}

impl Problem {
    /// A problem after which nothing is to be tried again by itself.
    pub fn new(status: StatusCode, code: &'static str, detail: impl Into<String>) -> Self {
        Self { status, code, detail: detail.into(), retry_after: None }
    }

    /// The same, to be tried again after `secs` seconds.
    pub fn retry_after(self, secs: u64) -> Self {
        Self { retry_after: Some(secs), ..self }
    }

    /// Returns the reason phrase of the status.
    pub fn title(&self) -> &'static str {
        reason(self.status)
    }

    /// The answer to the request `request_id`.
    pub fn to_response(&self, request_id: &str) -> Response<String> {
        let (status, title) = (self.status.as_u16(), self.title());
        let body = Body { r#type: "about:blank", title, status, detail: &self.detail, code: self.code, request_id };
        let mut response = Response::new(serde_json::to_string(&body).unwrap_or_default());
        *response.status_mut() = self.status;
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        if let Some(secs) = self.retry_after {
            headers.insert(RETRY_AFTER, HeaderValue::from(secs));
        }
        response
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_problem_says_what_is_wrong_to_programs_and_to_people() {
        let problem = Problem::new(StatusCode::SERVICE_UNAVAILABLE, "store_unavailable", "Try again.").retry_after(5);
        let response = problem.to_response("/I35=");
        assert_eq!((response.status(), &response.headers()[RETRY_AFTER]), (problem.status, &HeaderValue::from(5u64)));
        assert_eq!(response.headers()[CONTENT_TYPE], "application/problem+json");
        insta::assert_snapshot!(response.body(), @r#"{"type":"about:blank","title":"Service Unavailable","status":503,"detail":"Try again.","code":"store_unavailable","request_id":"/I35="}"#);
    }
}
