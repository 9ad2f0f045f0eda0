//! Errors as `application/problem+json` (RFC 9457).

use http::header::{CACHE_CONTROL, CONTENT_TYPE, RETRY_AFTER};
use http::{HeaderValue, Response, StatusCode};
use serde::Serialize;

use super::status::reason;

/// Longest `Retry-After`, in seconds, for which Anthropic's SDKs wait and retry by themselves.
pub const LONGEST_SDK_WAIT_SECS: u64 = 60;

/// Header that tells official SDKs, and tools built on them, if a retry may help. Without it some retry a 401 for
/// minutes.
pub const SHOULD_RETRY_HEADER: &str = "x-should-retry";

/// Error that is reported to the caller. All of it is public.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// HTTP status; its reason phrase is the title.
    pub status: StatusCode,
    /// Stable machine-readable reason.
    pub code: &'static str,
    /// Sentence for people: the problem and its remedy.
    pub detail: String,
    /// Seconds after which the caller may retry.
    pub retry_after: Option<u64>,
}

#[derive(Serialize)]
struct Body<'a> {
    // `about:blank`: the problem has no meaning beyond its status.
    r#type: &'static str,
    title: &'a str,
    status: u16,
    detail: &'a str,
    code: &'a str,
    request_id: &'a str,
}

impl Problem {
    /// Creates a problem without a time to retry.
    pub fn new(status: StatusCode, code: &'static str, detail: impl Into<String>) -> Self {
        Self { status, code, detail: detail.into(), retry_after: None }
    }

    /// Sets the seconds after which the caller may retry.
    pub fn retry_after(self, secs: u64) -> Self {
        Self { retry_after: Some(secs), ..self }
    }

    /// Returns true if the same request cannot succeed soon: the caller made a mistake, or the wait is long.
    pub fn is_final(&self) -> bool {
        match self.retry_after {
            Some(secs) => secs > LONGEST_SDK_WAIT_SECS,
            None => self.status.is_client_error(),
        }
    }

    /// Returns the reason phrase of the status.
    pub fn title(&self) -> &'static str {
        reason(self.status)
    }

    /// Returns the response to the request `request_id`.
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
        if self.is_final() {
            headers.insert(SHOULD_RETRY_HEADER, HeaderValue::from_static("false"));
        }
        response
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_problem_that_another_try_cannot_help_says_so() {
        let said = |problem: Problem| problem.to_response("r-1").headers().get(SHOULD_RETRY_HEADER).cloned();
        let of_status = |status: u16| Problem::new(StatusCode::from_u16(status).unwrap(), "code", "Detail.");
        for status in [400, 401, 403, 404, 405, 413, 415, 429] {
            assert_eq!(said(of_status(status)).unwrap(), "false", "{status}");
        }
        assert_eq!(said(of_status(429).retry_after(61)).unwrap(), "false");
        for problem in [of_status(429).retry_after(60), of_status(503).retry_after(5), of_status(500)] {
            assert_eq!(said(problem.clone()), None, "{problem:?}");
        }
    }

    #[test]
    fn a_problem_says_what_is_wrong_to_programs_and_to_people() {
        let problem = Problem::new(StatusCode::SERVICE_UNAVAILABLE, "store_unavailable", "Try again.").retry_after(5);
        let response = problem.to_response("/I35=");
        assert_eq!((response.status(), &response.headers()[RETRY_AFTER]), (problem.status, &HeaderValue::from(5u64)));
        assert_eq!(response.headers()[CONTENT_TYPE], "application/problem+json");
        insta::assert_snapshot!(response.body(), @r#"{"type":"about:blank","title":"Service Unavailable","status":503,"detail":"Try again.","code":"store_unavailable","request_id":"/I35="}"#);
    }
}
