//! CORS: calls from pages of another origin (Fetch standard, "CORS protocol"). None are allowed by default.
//!
//! Callers authenticate by API keys and not by cookies, so credentials in the standard's sense are never allowed. A
//! page that calls the API reveals its key to everyone that opens it.

use http::header::{
    ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS, ACCESS_CONTROL_ALLOW_ORIGIN,
    ACCESS_CONTROL_EXPOSE_HEADERS, ACCESS_CONTROL_MAX_AGE,
};
use http::{HeaderMap, HeaderValue};

use super::links::Links;
use crate::config::Reader;

/// Seconds for which a browser may cache a preflight response: the longest time that Chromium accepts.
const REMEMBERED_SECS: &str = "7200";

/// `ALLOWED_ORIGIN`: origin whose pages may call the API, or `*` for all. Default: none.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AllowedOrigin(Option<HeaderValue>);

impl AllowedOrigin {
    /// Reads the variable.
    pub fn read(reader: &mut Reader<'_>) -> Self {
        Self(reader.parsed("ALLOWED_ORIGIN", parse))
    }

    /// Adds the headers that let pages of the allowed origin read a response.
    pub fn sign(&self, headers: &mut HeaderMap) {
        if let Some(origin) = &self.0 {
            headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, origin.clone());
            headers.insert(ACCESS_CONTROL_EXPOSE_HEADERS, HeaderValue::from_static("*"));
        }
    }

    /// Returns the headers of the response to a preflight request for `method`; `None` if no origin is allowed.
    pub fn preflight(&self, method: &'static str) -> Option<HeaderMap> {
        self.0.as_ref()?;
        let mut headers = HeaderMap::new();
        self.sign(&mut headers);
        headers.insert(ACCESS_CONTROL_ALLOW_METHODS, HeaderValue::from_static(method));
        // The wildcard covers all headers except `Authorization`.
        headers.insert(ACCESS_CONTROL_ALLOW_HEADERS, HeaderValue::from_static("authorization, *"));
        headers.insert(ACCESS_CONTROL_MAX_AGE, HeaderValue::from_static(REMEMBERED_SECS));
        Some(headers)
    }
}

/// Parses `*` or an origin in the form that browsers send.
fn parse(text: &str) -> Result<HeaderValue, String> {
    let is_origin = |text: &str| Links::configured(text).is_ok_and(|links| links.origin() == text);
    if text != "*" && !is_origin(text) {
        return Err(format!("must be * or one origin, such as https://app.example.com, not '{text}'"));
    }
    HeaderValue::from_str(text).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;
    use crate::config::from_lookup;

    fn allowed(text: &str) -> Result<AllowedOrigin, String> {
        from_lookup(|_| Some(text.to_owned()), AllowedOrigin::read).map_err(|error| error.to_string())
    }

    #[rstest]
    #[case("*")]
    #[case("https://app.example.com")]
    #[case("http://localhost:3000")]
    fn an_allowed_origin_may_read_answers_and_never_with_credentials(#[case] origin: &str) {
        let allowed = allowed(origin).unwrap();
        let headers = allowed.preflight("POST").unwrap();
        assert_eq!(
            (&headers["access-control-allow-origin"], headers.len()),
            (&HeaderValue::from_str(origin).unwrap(), 5)
        );
        assert_eq!(headers.get("access-control-allow-credentials"), None);
        let mut answer = HeaderMap::new();
        allowed.sign(&mut answer);
        assert_eq!(
            (&answer["access-control-allow-origin"], answer.len()),
            (&headers["access-control-allow-origin"], 2)
        );
    }

    #[test]
    fn by_default_no_origin_is_allowed() {
        let none = allowed("").unwrap();
        let mut answer = HeaderMap::new();
        none.sign(&mut answer);
        assert_eq!((none.preflight("POST"), answer.len()), (None, 0));
    }

    #[rstest]
    #[case::two("https://a.example, https://b.example")]
    #[case::a_path("https://app.example.com/")]
    #[case::no_scheme("app.example.com")]
    #[case::the_opaque_origin("null")]
    #[case::a_default_port("https://app.example.com:443")]
    #[case::capitals("https://App.example.com")]
    #[case::a_pattern("https://*.example.com")]
    fn what_no_browser_writes_as_an_origin_is_refused(#[case] text: &str) {
        assert!(allowed(text).unwrap_err().contains("must be * or one origin"), "{text}");
    }
}
