//! Parses a call's body into the fields that the proxy reads. No I/O.
//!
//! Every error names the mistake and its position. It never repeats the body, which may hold a prompt.

use http::HeaderMap;
use http::header::CONTENT_ENCODING;
use serde::Deserialize;
use serde::de::IgnoredAny;

/// Byte order mark that some editors and tools put before UTF-8 text. JSON must not begin with it (RFC 8259, 8.1).
const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// A body that is not a valid call. The sentence is public.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Wrong {
    /// The body is compressed.
    #[error("The request has a content-encoding, which is not supported. Send the body as it is.")]
    Encoded,
    /// There is no body.
    #[error("The request body is empty. Send a JSON object.")]
    Empty,
    /// The body begins with a byte order mark.
    #[error("The request body begins with a byte order mark, which JSON does not allow. Send it without.")]
    ByteOrderMark,
    /// The body is not UTF-8 after this many bytes.
    #[error("The request body is not UTF-8: what follows after {0} bytes is no character.")]
    NotUtf8(usize),
    /// The body is not JSON. Line and column of the error.
    #[error("The request body is not JSON (line {0}, column {1}).")]
    NotJson(usize, usize),
    /// The body is JSON, but not an object.
    #[error("The request body must be a JSON object.")]
    NotAnObject,
    /// A field appears twice. Its name, line and column.
    #[error("The field '{0}' is there twice in the request body (line {1}, column {2}). Send it once.")]
    Duplicate(String, usize, usize),
    /// A required field is missing.
    #[error("The field '{0}' is missing from the request body.")]
    Missing(String),
    /// A field has a value of the wrong type. Line and column.
    #[error("The request body is not a valid call: a field has a value of the wrong kind (line {0}, column {1}).")]
    Kind(usize, usize),
}

/// Checks that a request with these headers has no compressed body.
///
/// # Errors
/// [`Wrong::Encoded`] if it has a content encoding other than `identity`.
pub fn check_encoding(headers: &HeaderMap) -> Result<(), Wrong> {
    let is_plain = |coding: &str| coding.is_empty() || coding.eq_ignore_ascii_case("identity");
    let is_plain = |value: &http::HeaderValue| {
        value.to_str().is_ok_and(|value| value.split(',').all(|coding| is_plain(coding.trim())))
    };
    if headers.get_all(CONTENT_ENCODING).iter().all(is_plain) { Ok(()) } else { Err(Wrong::Encoded) }
}

/// Reads the fields of `T` from a body.
///
/// # Errors
/// [`Wrong`] if the body is not a JSON object with these fields.
pub fn read<'a, T: Deserialize<'a>>(body: &'a [u8]) -> Result<T, Wrong> {
    // Reject bodies that are empty, marked or not UTF-8, with an error of their own.
    if body.trim_ascii().is_empty() {
        return Err(Wrong::Empty);
    }
    if body.starts_with(BYTE_ORDER_MARK) {
        return Err(Wrong::ByteOrderMark);
    }
    let text = std::str::from_utf8(body).map_err(|error| Wrong::NotUtf8(error.valid_up_to()))?;
    // serde also reads the fields of a struct from an array, so reject everything but an object.
    if !body.trim_ascii_start().starts_with(b"{") {
        let is_json = serde_json::from_str::<IgnoredAny>(text);
        return Err(is_json.map_or_else(|error| Wrong::NotJson(error.line(), error.column()), |_| Wrong::NotAnObject));
    }
    serde_json::from_str(text).map_err(|error| wrong(&error))
}

/// Converts a parser's error. Its own text may repeat the body, so only the names of fields that the proxy knows are
/// taken from it.
fn wrong(error: &serde_json::Error) -> Wrong {
    let (line, column) = (error.line(), error.column());
    // The text is not JSON at all.
    if !error.is_data() {
        return Wrong::NotJson(line, column);
    }
    let text = error.to_string();
    // serde builds these two messages from field names in the program. No other message begins like them.
    let field = |prefix: &str| Some(text.strip_prefix(prefix)?.split_once('`')?.0.to_owned());
    if let Some(field) = field("duplicate field `") {
        return Wrong::Duplicate(field, line, column);
    }
    field("missing field `").map_or(Wrong::Kind(line, column), Wrong::Missing)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rstest::rstest;

    use super::*;
    use crate::asked::RequestBody;

    fn model_of(body: &[u8]) -> Result<String, Wrong> {
        read::<RequestBody>(body).map(|asked| asked.model)
    }

    #[rstest]
    #[case::nothing(b"", Wrong::Empty)]
    #[case::blanks(b" \r\n\t", Wrong::Empty)]
    #[case::a_byte_order_mark(b"\xef\xbb\xbf{\"model\":\"m\"}", Wrong::ByteOrderMark)]
    #[case::a_byte_order_mark_alone(b"\xef\xbb\xbf", Wrong::ByteOrderMark)]
    #[case::latin_1(b"{\"model\":\"m\",\"a\":\"\xe9\"}", Wrong::NotUtf8(18))]
    #[case::utf_16(b"\xff\xfe{\0", Wrong::NotUtf8(0))]
    #[case::cut_off_in_a_character(b"{\"model\":\"m\",\"a\":\"\xc3", Wrong::NotUtf8(18))]
    #[case::compressed(b"\x1f\x8b\x08\0", Wrong::NotUtf8(1))]
    #[case::no_json(b"model=m", Wrong::NotJson(1, 1))]
    #[case::single_quotes(b"{'model':'m'}", Wrong::NotJson(1, 2))]
    #[case::cut_off(b"{\"model\":\"m\",", Wrong::NotJson(1, 13))]
    #[case::on_a_later_line(b"{\n  \"model\": m\n}", Wrong::NotJson(2, 12))]
    #[case::something_behind_it(b"{\"model\":\"m\"} x", Wrong::NotJson(1, 15))]
    #[case::a_lone_comma(b"{\"model\":\"m\",}", Wrong::NotJson(1, 14))]
    #[case::an_array(b"[\"m\", true, 5, {}]", Wrong::NotAnObject)]
    #[case::a_text(b"\"model\"", Wrong::NotAnObject)]
    #[case::null(b" null ", Wrong::NotAnObject)]
    #[case::a_broken_array(b"[\"m\"", Wrong::NotJson(1, 4))]
    #[case::no_model(b"{}", Wrong::Missing("model".to_owned()))]
    #[case::a_number_for_a_model(b"{\"model\":7}", Wrong::Kind(1, 10))]
    #[case::model_twice(b"{\"model\":\"m\",\"model\":\"n\"}", Wrong::Duplicate("model".to_owned(), 1, 20))]
    #[case::stream_twice(b"{\"model\":\"m\",\"stream\":true,\n\"stream\":false}", Wrong::Duplicate("stream".to_owned(), 2, 8))]
    #[case::spelled_otherwise(b"{\"model\":\"m\",\"\\u006dodel\":\"n\"}", Wrong::Duplicate("model".to_owned(), 1, 25))]
    fn a_body_that_is_no_call_is_told_what_is_wrong(#[case] body: &[u8], #[case] expected: Wrong) {
        assert_eq!(model_of(body), Err(expected));
    }

    #[test]
    fn whatever_else_is_in_a_call_is_left_to_the_provider() {
        let body = "\n {\"model\":\"m\",\"x\":[{}],\"x\":\"\u{feff}\u{e9}\",\"deep\":".to_owned();
        let body = format!("{body}{}1{}}}", "[".repeat(200), "]".repeat(200));
        assert_eq!(model_of(body.as_bytes()), Ok("m".to_owned()));
    }

    #[rstest]
    #[case::none(&[], true)]
    #[case::identity(&["identity"], true)]
    #[case::gzip(&["gzip"], false)]
    #[case::in_capitals(&["GZIP"], false)]
    #[case::behind_identity(&["identity, br"], false)]
    #[case::in_another_line(&["identity", "zstd"], false)]
    #[case::no_text(&["\u{e9}"], false)]
    fn a_compressed_body_is_refused(#[case] values: &[&str], #[case] passes: bool) {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(CONTENT_ENCODING, http::HeaderValue::from_bytes(value.as_bytes()).unwrap());
        }
        assert_eq!(check_encoding(&headers).is_ok(), passes);
    }

    proptest! {
        #[test]
        fn an_error_repeats_nothing_of_the_body(secret in "[a-z]{12}") {
            for body in [
                format!("{{\"model\":{{\"{secret}\":1}}}}"),
                format!("{{\"model\":\"m\",\"stream\":\"{secret}\"}}"),
                format!("{{\"model\":\"m\",\"stream\":\"duplicate field `{secret}`\"}}"),
                format!("{{\"model\":\"m\",\"a\":{secret}}}"),
                format!("{{\"{secret}\":1,\"{secret}\":2}}"),
                secret.clone(),
            ] {
                let wrong = model_of(body.as_bytes()).unwrap_err().to_string();
                prop_assert!(!wrong.contains(&secret), "{}", wrong);
            }
        }

        #[test]
        fn no_bytes_make_the_reader_panic(body: Vec<u8>) {
            let _ = model_of(&body);
        }
    }
}
