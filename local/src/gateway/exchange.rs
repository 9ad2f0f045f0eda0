//! State of one request in the gateway, from which events and `$context` variables are built.

use std::net::IpAddr;

use http::{HeaderMap, HeaderValue, Method, StatusCode, Uri, Version, header, request::Parts, uri::Authority};
use percent_encoding::percent_decode_str;
use serde_json::{Map, Value};
use time::{OffsetDateTime, format_description::BorrowedFormatItem, macros::format_description};
use url::Url;

use super::{Front, LARGEST_HEAD};
use crate::host::uuid;

/// Format of `$context.requestTime` (CLF), as `09/Apr/2015:12:34:56 +0000`.
const CLF: &[BorrowedFormatItem<'_>] =
    format_description!("[day]/[month repr:short]/[year]:[hour]:[minute]:[second] +0000");

/// State of one request.
#[derive(Debug)]
pub(super) struct Exchange {
    pub(super) request_id: String,
    pub(super) extended_request_id: String,
    pub(super) trace_id: String,
    pub(super) method: Method,
    /// Path as the client sent it, with the stage.
    pub(super) full_path: String,
    /// Path within the API, still encoded; `None` if it is outside of the stage.
    pub(super) path: Option<String>,
    /// Path of the matched resource, as `/v1/models/{id}`.
    pub(super) resource: Option<String>,
    pub(super) path_parameters: Vec<(String, String)>,
    pub(super) query: Vec<(String, String)>,
    /// Headers as received; events add the forwarding headers.
    pub(super) headers: HeaderMap,
    pub(super) peer: IpAddr,
    pub(super) received: OffsetDateTime,
    pub(super) protocol: String,
    pub(super) stage: String,
    pub(super) scheme: &'static str,
    pub(super) port: u16,
    /// The authorizer's context, all values as text; `None` until the authorizer has answered.
    pub(super) authorizer: Option<Map<String, Value>>,
}

impl Exchange {
    /// Creates the state from a request's head.
    ///
    /// # Errors
    /// The status for a head that is refused: one that is too large, names no host or more than one, or names an invalid
    /// one (RFC 9112, section 3.2).
    pub(super) fn begin(head: &Parts, peer: IpAddr, front: &Front) -> Result<Self, StatusCode> {
        // Check the size of the head and the Host header.
        let line = head.method.as_str().len() + head.uri.to_string().len() + " HTTP/1.1 ".len();
        if line + head.headers.values().map(HeaderValue::len).sum::<usize>() > LARGEST_HEAD {
            // "HTTP header is larger than 10240 bytes", as API Gateway answers.
            return Err(StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE);
        }
        if !has_one_host(head) {
            return Err(StatusCode::BAD_REQUEST);
        }
        // Remove the stage from the path.
        let full_path = head.uri.path().to_owned();
        let path = match &front.stage {
            None => Some(full_path.clone()),
            Some(stage) => {
                full_path.strip_prefix('/').and_then(|path| path.strip_prefix(stage.as_str())).and_then(|path| {
                    match path {
                        "" => Some("/".to_owned()),
                        path => path.starts_with('/').then(|| path.to_owned()),
                    }
                })
            }
        };
        let query = url::form_urlencoded::parse(head.uri.query().unwrap_or_default().as_bytes());
        let received = OffsetDateTime::now_utc();
        Ok(Self {
            // A client may choose this id, but not the extended one
            // (https://docs.aws.amazon.com/apigateway/latest/developerguide/api-gateway-variables-for-access-logging.html).
            request_id: chosen_request_id(&head.headers).unwrap_or_else(uuid),
            extended_request_id: extended_id(),
            trace_id: trace_id(&head.headers, received),
            method: head.method.clone(),
            full_path,
            path,
            resource: None,
            path_parameters: Vec::new(),
            query: query.into_owned().collect(),
            headers: head.headers.clone(),
            peer,
            received,
            protocol: format!("{:?}", head.version),
            stage: front.stage.clone().unwrap_or_else(|| "local".to_owned()),
            scheme: front.scheme,
            port: front.port,
            authorizer: None,
        })
    }

    /// Records the resource that the path belongs to.
    pub(super) fn matched(&mut self, resource: &str, parameters: Vec<(String, String)>) {
        self.resource = Some(resource.to_owned());
        self.path_parameters = parameters;
    }

    /// Returns the first value of a request header.
    pub(super) fn header(&self, name: impl header::AsHeaderName) -> Option<&str> {
        self.headers.get(name).and_then(|value| value.to_str().ok())
    }

    /// Returns the decoded path within the API, as used in events.
    pub(super) fn decoded_path(&self) -> String {
        decode(self.path.as_deref().unwrap_or("/"))
    }

    /// Returns the requested host, without the port.
    pub(super) fn domain_name(&self) -> &str {
        let host = self.header(header::HOST).unwrap_or("localhost");
        host.rsplit_once(':').map_or(host, |(name, port)| if port.contains(']') { host } else { name })
    }

    /// Returns the value of `$context.requestTime`.
    pub(super) fn request_time(&self) -> String {
        self.received.format(CLF).unwrap_or_default()
    }

    /// Returns the value of `$context.requestTimeEpoch`, in milliseconds.
    pub(super) fn request_time_epoch(&self) -> i64 {
        i64::try_from(self.received.unix_timestamp_nanos() / 1_000_000).unwrap_or_default()
    }

    /// Adds the headers that every answer of API Gateway has.
    pub(super) fn sign(&self, headers: &mut HeaderMap) {
        for (name, value) in [("x-amzn-requestid", &self.request_id), ("x-amz-apigw-id", &self.extended_request_id)] {
            if let Ok(value) = HeaderValue::from_str(value) {
                headers.insert(name, value);
            }
        }
    }
}

/// Returns true if the head has one valid `Host` header. Only HTTP/1.0 may do without.
fn has_one_host(head: &Parts) -> bool {
    let mut hosts = head.headers.get_all(header::HOST).iter();
    match (hosts.next(), hosts.next()) {
        (None, _) => head.version == Version::HTTP_10,
        (Some(host), None) => is_host(host),
        (Some(_), Some(_)) => false,
    }
}

/// Returns true if a `Host` header is a host with or without a port: an authority by RFC 3986, without user information,
/// of which functions can make a URL. They read events with two parsers, which have to accept it both.
fn is_host(value: &HeaderValue) -> bool {
    let Some(host) = value.to_str().ok().filter(|host| !host.contains('@')) else { return false };
    let is_authority = host.parse::<Authority>().is_ok_and(|authority| !authority.host().is_empty());
    let url = Url::parse(&format!("http://{host}/")).ok().filter(|url| url.path() == "/");
    is_authority && url.is_some_and(|url| Uri::try_from(url.as_str()).is_ok())
}

/// Decodes percent-encoding. "REST APIs decode URL-encoded request parameters before passing them to backend
/// integrations" (api-gateway-known-issues.html).
pub(super) fn decode(text: &str) -> String {
    percent_decode_str(text).decode_utf8_lossy().into_owned()
}

fn chosen_request_id(headers: &HeaderMap) -> Option<String> {
    let id = headers.get("x-amzn-requestid")?.to_str().ok()?;
    (!id.is_empty()).then(|| id.to_owned())
}

fn extended_id() -> String {
    use base64::Engine;
    base64::engine::general_purpose::STANDARD.encode(rand::random::<[u8; 11]>())
}

/// Returns the client's trace, or a new one: `Root=1-{time}-{24 hex digits}`.
fn trace_id(headers: &HeaderMap, now: OffsetDateTime) -> String {
    let sent = headers.get("x-amzn-trace-id").and_then(|value| value.to_str().ok());
    match sent.filter(|sent| sent.contains("Root=")) {
        Some(sent) => sent.to_owned(),
        None => {
            let random = rand::random::<u128>() & ((1 << 96) - 1);
            format!("Root=1-{:08x}-{random:024x}", now.unix_timestamp())
        }
    }
}

#[cfg(test)]
mod tests {
    use http::Request;
    use rstest::rstest;

    use super::*;

    /// Returns true if a request with these `Host` headers is refused as malformed.
    fn is_refused(version: Version, hosts: &[&[u8]]) -> bool {
        let mut request = Request::builder().version(version).uri("/").body(()).unwrap();
        for host in hosts {
            request.headers_mut().append(header::HOST, HeaderValue::from_bytes(host).unwrap());
        }
        let front = Front { stage: None, scheme: "http", port: 80 };
        let begun = Exchange::begin(&request.into_parts().0, [127, 0, 0, 1].into(), &front);
        begun.is_err_and(|status| status == StatusCode::BAD_REQUEST)
    }

    #[rstest]
    fn a_host_is_taken(
        #[values(
            "levee.example",
            "LEVEE.example",
            "levee.example:8080",
            "levee.example.",
            "under_score.example",
            "xn--bcher-kva.example",
            "127.0.0.1:80",
            "[::1]",
            "[::1]:8080",
            "localhost"
        )]
        host: &str,
    ) {
        assert!(!is_refused(Version::HTTP_11, &[host.as_bytes()]));
    }

    #[rstest]
    #[case::nothing("")]
    #[case::a_port_alone(":80")]
    #[case::a_quote("a\"b")]
    #[case::an_encoded_quote("a%22b")]
    #[case::an_encoded_slash("a%2fb")]
    #[case::an_encoded_at("a%40b")]
    #[case::half_an_encoding("a%2")]
    #[case::a_percent("a%")]
    #[case::a_space("a b")]
    #[case::a_tab("a\tb")]
    #[case::angle_brackets("<x>")]
    #[case::braces("{x}")]
    #[case::a_backslash("a\\b")]
    #[case::a_backtick("a`b")]
    #[case::a_bar("a|b")]
    #[case::a_caret("a^b")]
    #[case::a_slash("a/b")]
    #[case::a_query("a?b")]
    #[case::a_fragment("a#b")]
    #[case::a_scheme("http://a")]
    #[case::a_user("user@host")]
    #[case::an_empty_user("@host")]
    #[case::two_users("a@b@c")]
    #[case::a_list("a, b")]
    #[case::a_word_as_port("host:port")]
    #[case::a_port_beyond_all("host:65536")]
    #[case::a_negative_port("host:-1")]
    #[case::two_ports("host:80:80")]
    #[case::an_open_bracket("[::1")]
    #[case::a_closing_bracket("::1]")]
    #[case::ipv6_without_brackets("::1")]
    #[case::a_name_in_brackets("[host]")]
    #[case::text_behind_a_bracket("[::1]x")]
    #[case::a_number_that_is_no_address("1.2.3.256")]
    #[case::not_ascii("b\u{fc}cher.example")]
    fn a_host_that_is_none_is_refused(#[case] host: &str) {
        assert!(is_refused(Version::HTTP_11, &[host.as_bytes()]));
    }

    #[test]
    fn bytes_that_are_no_text_are_no_host() {
        assert!(is_refused(Version::HTTP_11, &[b"a\xffb"]));
    }

    #[test]
    fn a_request_has_one_host_and_only_an_old_one_may_have_none() {
        assert!(is_refused(Version::HTTP_11, &[b"a.example", b"b.example"]));
        assert!(is_refused(Version::HTTP_11, &[b"a.example", b"a.example"]));
        assert!(is_refused(Version::HTTP_10, &[b"a.example", b"a.example"]));
        assert!(is_refused(Version::HTTP_11, &[]));
        assert!(!is_refused(Version::HTTP_10, &[]));
    }

    #[test]
    fn a_function_can_make_a_url_of_every_host_that_is_taken() {
        for byte in 0x20..=0x7e_u8 {
            for host in [format!("a{}b", char::from(byte)), format!("{}", char::from(byte)), format!("a:{byte}")] {
                if is_refused(Version::HTTP_11, &[host.as_bytes()]) {
                    continue;
                }
                // As lambda_http does: both steps panic there if they fail.
                let url = Url::parse(&format!("http://{host}/path")).unwrap();
                assert_eq!(Uri::try_from(url.as_str()).unwrap().path(), "/path", "{host}");
            }
        }
    }
}
