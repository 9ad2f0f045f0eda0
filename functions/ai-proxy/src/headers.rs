//! Filters and checks the headers of a provider's answer. No I/O.

use http::header::{CACHE_CONTROL, CONTENT_TYPE, RETRY_AFTER, X_CONTENT_TYPE_OPTIONS};
use http::{HeaderMap, HeaderName, HeaderValue};

use crate::decode::Encoding;

/// Largest size of an answer's headers, names and values together, in bytes. Anthropic's have about 3,000.
const LARGEST_HEAD: usize = 32 * 1024;
/// Longest header value that is passed to a client, in bytes.
const LONGEST_VALUE: usize = 128;

/// Content type of a stream.
pub const EVENT_STREAM: &str = "text/event-stream";

/// Reason to reject the headers of an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum OddHead {
    /// The headers are larger than [`LARGEST_HEAD`].
    #[error("a head of more than {LARGEST_HEAD} bytes")]
    TooLarge,
    /// The body is in an encoding other than gzip and deflate, or in two of them.
    #[error("a body in an encoding that cannot be decoded")]
    Encoded,
}

/// Checks the headers of an answer, and returns the encoding of its body.
///
/// # Errors
/// [`OddHead`] if the answer cannot be passed on.
pub fn check(upstream: &HeaderMap) -> Result<Encoding, OddHead> {
    let size: usize = upstream.iter().map(|(name, value)| name.as_str().len() + value.len()).sum();
    if size > LARGEST_HEAD {
        return Err(OddHead::TooLarge);
    }
    Encoding::read(upstream).ok_or(OddHead::Encoded)
}

/// Returns true for a well-formed header value.
type IsWellFormed = fn(&str) -> bool;

/// Returns the provider's response headers that the client gets, if they are well formed. The provider's
/// `anthropic-ratelimit-*` headers describe the platform's account, not the client's, and are not among them.
pub fn for_client(upstream: &HeaderMap) -> HeaderMap {
    let passed: [(HeaderName, IsWellFormed); 5] = [
        (CONTENT_TYPE, is_media_type),
        (HeaderName::from_static("request-id"), is_request_id),
        (RETRY_AFTER, is_retry_after),
        (HeaderName::from_static("retry-after-ms"), is_whole_number),
        (HeaderName::from_static("x-should-retry"), |value| matches!(value, "true" | "false")),
    ];
    let well_formed = |(name, is_well_formed): (HeaderName, IsWellFormed)| {
        let mut values = upstream.get_all(&name).iter();
        // A header that appears twice is ambiguous, so drop it.
        let (Some(value), None) = (values.next(), values.next()) else { return None };
        let text = value.to_str().ok()?;
        (text.len() <= LONGEST_VALUE && is_well_formed(text)).then(|| (name, value.clone()))
    };
    passed.into_iter().filter_map(well_formed).collect()
}

/// Adds headers that keep an answer out of caches, stop browsers from guessing its type, and stop proxies from
/// buffering a stream.
pub fn protect(headers: &mut HeaderMap, is_stream: bool) {
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    if is_stream {
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-cache"));
        // nginx and servers based on it buffer an answer unless told otherwise.
        headers.insert("x-accel-buffering", HeaderValue::from_static("no"));
    } else {
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    }
}

/// Returns true if `value` is a media type with its parameters (RFC 9110, section 8.3.1).
fn is_media_type(value: &str) -> bool {
    let mut parts = value.split(';').map(str::trim);
    let essence = parts.next().and_then(|essence| essence.split_once('/'));
    let is_parameter = |part: &str| {
        part.split_once('=').is_some_and(|(name, value)| {
            let value = value.strip_prefix('"').and_then(|value| value.strip_suffix('"')).unwrap_or(value);
            is_token(name) && is_token(value)
        })
    };
    essence.is_some_and(|(kind, subtype)| is_token(kind) && is_token(subtype)) && parts.all(is_parameter)
}

/// Returns true if `text` is a token (RFC 9110, section 5.6.2).
fn is_token(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte))
}

fn is_request_id(value: &str) -> bool {
    !value.is_empty() && value.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.:=+/".contains(&byte))
}

/// Returns true if `value` is a number of seconds or a date (RFC 9110, section 10.2.3).
fn is_retry_after(value: &str) -> bool {
    is_whole_number(value) || httpdate::parse_http_date(value).is_ok()
}

fn is_whole_number(value: &str) -> bool {
    (1..=10).contains(&value.len()) && value.bytes().all(|byte| byte.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    fn headers(pairs: &[(&'static str, &[u8])]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in pairs {
            headers.append(*name, HeaderValue::from_bytes(value).unwrap());
        }
        headers
    }

    fn passes(name: &'static str, value: &[u8]) -> bool {
        for_client(&headers(&[(name, value)])).get(name).is_some_and(|passed| passed == value)
    }

    #[test]
    fn only_documented_response_headers_pass_and_none_about_the_platform() {
        let upstream = headers(&[
            ("content-type", b"application/json"),
            ("request-id", b"req_011C"),
            ("retry-after", b"7"),
            ("retry-after-ms", b"7000"),
            ("x-should-retry", b"true"),
            ("anthropic-ratelimit-tokens-reset", b"2026-12-01T00:00:00Z"),
            ("anthropic-ratelimit-requests-remaining", b"3999"),
            ("anthropic-organization-id", b"x"),
            ("x-api-key", b"x"),
            ("set-cookie", b"x"),
            ("server", b"x"),
            ("content-length", b"7"),
            ("transfer-encoding", b"chunked"),
            ("location", b"http://elsewhere.example/"),
        ]);
        let mut passed: Vec<_> = for_client(&upstream).keys().map(ToString::to_string).collect();
        passed.sort();
        assert_eq!(passed, ["content-type", "request-id", "retry-after", "retry-after-ms", "x-should-retry"]);
    }

    #[rstest]
    #[case("content-type", &["application/json", "text/event-stream; charset=utf-8", "a/b;c=\"d\""], &["", "json", "a/", "/b", "a/b;", "a/b; c", "a b/c", "a/b\tc", "a/b; c=<x>"])]
    #[case("request-id", &["req_011CeGphKfhi1XAd3tJp1z1E", "Root=1-67891233-abcdef", "a/b+c.d:e"], &["", "a b", "<script>", "a,b", "\"a\"", "a\tb"])]
    #[case("retry-after", &["0", "7", "Sun, 22 Nov 2026 02:00:00 GMT"], &["", "-1", "0.5", "soon", "7 ", "1e3", "12345678901", "NaN"])]
    #[case("retry-after-ms", &["0", "1500"], &["", "1.5", "-1", "x"])]
    #[case("x-should-retry", &["true", "false"], &["", "TRUE", "yes"])]
    fn only_well_formed_values_pass(#[case] name: &'static str, #[case] good: &[&str], #[case] bad: &[&str]) {
        for value in good {
            assert!(passes(name, value.as_bytes()), "{name}: {value}");
        }
        for value in bad {
            assert!(!passes(name, value.as_bytes()), "{name}: {value}");
        }
        assert!(!passes(name, b"\xff"), "{name}");
        assert!(!passes(name, &[b'7'; 81 * 1024]), "{name}");
        let twice = headers(&[(name, good[0].as_bytes()), (name, good[0].as_bytes())]);
        assert!(for_client(&twice).is_empty(), "{name}");
    }

    #[test]
    fn a_head_has_a_bound_however_it_is_divided() {
        let value = vec![b'x'; LARGEST_HEAD - 1];
        assert_eq!(check(&headers(&[("x", &value)])), Ok(Encoding::Identity));
        assert_eq!(check(&headers(&[("xy", &value)])), Err(OddHead::TooLarge));
        let half = vec![b'x'; LARGEST_HEAD / 2];
        assert_eq!(check(&headers(&[("x", &half), ("x", &half)])), Err(OddHead::TooLarge));
    }

    #[test]
    fn an_encoding_that_cannot_be_decoded_is_odd() {
        assert_eq!(check(&headers(&[("content-encoding", b"GZIP, identity")])), Ok(Encoding::Gzip));
        for encoding in ["br", "zstd", "gzip, br", "gzip, gzip", "x"] {
            assert_eq!(
                check(&headers(&[("content-encoding", encoding.as_bytes())])),
                Err(OddHead::Encoded),
                "{encoding}"
            );
        }
    }
}
