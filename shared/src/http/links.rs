//! The API's own address as its clients see it: the base of links, redirects and the check of a request's origin.
//!
//! It differs between clients. A path begins with the stage on API Gateway's own domain, with the base path on a
//! custom domain, and with neither on a local machine. A CDN in front hides all three; `BASE_URL` then sets the
//! address.

use http::Uri;

/// Parts of a request that tell the address it was sent to.
#[derive(Debug, Clone, Copy, Default)]
pub struct RequestAddress<'a> {
    /// `Host` header.
    pub host: Option<&'a str>,
    /// `X-Forwarded-Proto` header, which the gateway sets.
    pub scheme: Option<&'a str>,
    /// `domainName` of the gateway.
    pub domain_name: &'a str,
    /// `requestContext.path` of the gateway: the path that the client requested, including the prefix before the
    /// route.
    pub path: &'a str,
    /// The route's own part of the path: the route with the values of its parameters, which the gateway may have
    /// decoded.
    pub route: &'a str,
}

/// Address of the API: origin and path prefix.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Links {
    origin: String,
    prefix: String,
}

impl Links {
    /// Derives the address from a request. Client input is used only if it is a plain host, a known scheme or a plain
    /// path, because the address is inserted into JSON and HTML.
    pub fn from_request(asked: RequestAddress<'_>) -> Self {
        let scheme = asked.scheme.filter(|scheme| *scheme == "http").unwrap_or("https");
        let host = asked.host.filter(|host| is_plain_host(host)).unwrap_or(asked.domain_name);
        let prefix = prefix(asked).filter(|prefix| is_plain_path(prefix)).unwrap_or_default();
        Self { origin: origin(scheme, host), prefix: prefix.to_owned() }
    }

    /// Parses the address from `BASE_URL`.
    ///
    /// # Errors
    /// A sentence that describes the mistake.
    pub fn configured(base_url: &str) -> Result<Self, String> {
        let wrong = || format!("must be an http or https URL without a query, not '{base_url}'");
        // Accept http or https, a host, and an optional path; no query.
        let url: Uri = base_url.parse().map_err(|_| wrong())?;
        let (Some(scheme @ ("http" | "https")), Some(authority), None) =
            (url.scheme_str(), url.authority(), url.query())
        else {
            return Err(wrong());
        };
        let prefix = url.path().trim_end_matches('/');
        if !is_plain_host(authority.as_str()) || !(prefix.is_empty() || is_plain_path(prefix)) {
            return Err(wrong());
        }
        Ok(Self { origin: origin(scheme, authority.as_str()), prefix: prefix.to_owned() })
    }

    /// Returns scheme, host and port, in the form of a browser's `Origin` header.
    pub fn origin(&self) -> &str {
        &self.origin
    }

    /// Returns the whole address, without a trailing slash.
    pub fn base_url(&self) -> String {
        format!("{}{}", self.origin, self.prefix)
    }

    /// Returns a link to `path`, which begins with a slash, for clients of this address.
    pub fn to(&self, path: &str) -> String {
        format!("{}{path}", self.prefix)
    }
}

/// Returns the part of the path before the route. Returns `None` if the path does not end in the route, or if another
/// character than those of a plain path precedes it.
///
/// The two texts differ in encoding: the gateway decodes parameters, replaces bytes that are not UTF-8, and may drop
/// slashes. The comparison is therefore of their [`letters`], which no decoding changes.
fn prefix(asked: RequestAddress<'_>) -> Option<&str> {
    if asked.route.is_empty() {
        return None;
    }
    let path = letters(asked.path);
    let mut letters_left = path.strip_suffix(letters(asked.route).as_slice())?.len();
    // Walk over as many letters of the path. In a plain path, each stands for itself.
    let mut end = 0;
    for byte in asked.path.bytes() {
        match byte {
            _ if letters_left == 0 => break,
            b'/' => {}
            byte if is_plain(byte) => letters_left -= 1,
            _ => return None,
        }
        end += 1;
    }
    let (prefix, rest) = asked.path.split_at(end);
    (rest.is_empty() || rest.starts_with('/')).then_some(prefix)
}

/// Returns the plain characters of `path` without its slashes, percent-decoded as often as possible. A decoded path has
/// the same letters as the encoded one: each decoding is one of the steps, in any order.
fn letters(path: &str) -> Vec<u8> {
    let mut letters: Vec<u8> = Vec::with_capacity(path.len());
    for byte in path.bytes() {
        // A decoded byte may be the last one of another encoded byte.
        let mut next = Some(byte);
        while let Some(byte) = next.filter(|byte| is_plain(*byte) || *byte == b'%') {
            letters.push(byte);
            next = match letters[..] {
                [.., b'%', high, low] => hex(high).zip(hex(low)).map(|(high, low)| (high << 4) | low),
                _ => None,
            };
            if next.is_some() {
                letters.truncate(letters.len() - 3);
            }
        }
    }
    letters
}

fn hex(digit: u8) -> Option<u8> {
    char::from(digit).to_digit(16).and_then(|value| u8::try_from(value).ok())
}

fn origin(scheme: &str, host: &str) -> String {
    let host = host.to_ascii_lowercase();
    let default_port = if scheme == "http" { ":80" } else { ":443" };
    format!("{scheme}://{}", host.strip_suffix(default_port).unwrap_or(&host))
}

fn is_plain_host(host: &str) -> bool {
    !host.is_empty() && host.bytes().all(|byte| byte.is_ascii_alphanumeric() || b".-:[]".contains(&byte))
}

/// Returns true for a plain path with one leading slash: two would lead to another host.
fn is_plain_path(path: &str) -> bool {
    path.starts_with('/') && !path.contains("//") && path.bytes().all(|byte| byte == b'/' || is_plain(byte))
}

fn is_plain(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"._~-".contains(&byte)
}

#[cfg(test)]
mod tests {
    use percent_encoding::percent_decode_str;
    use proptest::prelude::*;
    use rstest::rstest;

    use super::*;

    fn address<'a>(route: &'a str, path: &'a str) -> RequestAddress<'a> {
        RequestAddress {
            host: Some("api.example"),
            domain_name: "gateway.example",
            route,
            path,
            ..RequestAddress::default()
        }
    }

    #[rstest]
    #[case("/v1/messages", "/v1/messages", "")]
    #[case("/v1/messages", "/prod/v1/messages", "/prod")]
    #[case("/v1/models/m", "/a/b/v1/models/m", "/a/b")]
    #[case("/v1/models/a/b", "/prod/v1/models/a%2Fb", "/prod")]
    #[case("/v1/models/m", "", "")]
    #[case("/v1/messages", "/prod/v1/messages/", "/prod")]
    #[case("/admin", "/prod/admin", "/prod")]
    #[case("/", "/prod/", "/prod")]
    #[case("/", "/prod", "/prod")]
    #[case("/", "/", "")]
    #[case::no_route("", "/prod", "")]
    #[case::another_route("/login", "/prod/admin", "")]
    #[case::a_part_of_a_segment("/admin", "/prodadmin", "")]
    #[case::below_admin("/admin/errors", "/admin/errors", "")]
    #[case::below_admin_and_a_stage("/admin/errors", "/prod/admin/errors", "/prod")]
    #[case::a_stage_that_is_named_as_the_route("/admin/errors", "/admin/admin/errors/", "/admin")]
    #[case::still_encoded("/admin/x y", "/prod/admin/x%20y", "/prod")]
    #[case::encoded_slash("/admin/x/y", "/prod/admin/x%2Fy", "/prod")]
    #[case::twice_encoded("/admin/x%2Fy", "/prod/admin/x%252Fy", "/prod")]
    #[case::the_fixed_part_again("/admin/admin/x/y", "/prod/admin/admin/x%2Fy", "/prod")]
    #[case::nothing_after_it("/admin", "/prod/admin/", "/prod")]
    #[case::no_path("/admin/errors", "", "")]
    #[case::another_host("/admin/x", "//evil.example/admin/x", "")]
    #[case::markup("/admin/x", "/<b>/admin/x", "")]
    #[case::an_encoded_prefix("/admin/x", "/%3Cb%3E/admin/x", "")]
    #[case::twice_v1("/v1/v1/messages", "/v1/v1/messages", "")]
    #[case::twice_v1_and_a_stage("/v1/v1/messages", "/prod/v1/v1/messages", "/prod")]
    #[case::the_stage_twice("/prod/admin", "/prod/prod/admin", "/prod")]
    #[case::two_slashes("//v1/messages", "/prod//v1/messages", "/prod")]
    #[case::no_utf8("/admin/\u{fffd}", "/prod/admin/%ff", "/prod")]
    #[case::no_utf8_at_the_root("/\u{fffd}", "/prod/%ff", "/prod")]
    #[case::no_utf8_that_is_kept("/admin/%ff", "/prod/admin/%ff", "/prod")]
    #[case::a_part_of_utf8("/\u{fffd}/admin", "/prod/%e2%82/admin", "/prod")]
    #[case::encoded_slash_before_admin("//admin", "/prod/%2fadmin", "/prod")]
    #[case::encoded_slash_after_admin("/admin//", "/prod/admin/%2F", "/prod")]
    #[case::encoded_slashes_around_admin("/admin///admin", "/prod/admin/%2f/admin", "/prod")]
    #[case::nothing_but_slashes("///", "/prod/%2f%2f", "/prod")]
    #[case::a_lone_percent("/%", "/prod/%", "/prod")]
    #[case::half_an_encoding("/admin/%4", "/prod/admin/%4", "/prod")]
    #[case::no_hex("/admin/%zz", "/prod/admin/%zz", "/prod")]
    #[case::encoded_percent("/admin/%", "/prod/admin/%25", "/prod")]
    #[case::an_encoding_within_one("/admin/%41", "/prod/admin/%4%31", "/prod")]
    #[case::a_nul("/admin/\0", "/prod/admin/%00", "/prod")]
    #[case::unicode("/é/x", "/prod/%C3%A9/x", "/prod")]
    #[case::unicode_without_a_stage("/é/x", "/%C3%A9/x", "")]
    fn the_prefix_is_what_stands_before_the_route(#[case] route: &str, #[case] path: &str, #[case] prefix: &str) {
        let links = Links::from_request(address(route, path));
        assert_eq!(links.to("/login"), format!("{prefix}/login"));
        assert_eq!(links.base_url(), format!("https://api.example{prefix}"));
    }

    proptest! {
        /// A gateway may pass a parameter on as it is, decode it once or more often, and may drop repeated slashes.
        #[test]
        fn no_path_and_no_decoding_changes_the_prefix(
            prefix in "(/[a-z0-9._-]{1,5}){0,2}",
            rest in "(/|%|%25|%2f|%ff|%e2%82|[0-9a-f]|%[0-9a-f]{0,2}|[ -~]|é|admin|prod){0,12}",
            decodings in 0_usize..3,
            drops_slashes: bool,
        ) {
            let path = format!("{prefix}/{rest}");
            let mut route = format!("/{rest}");
            for _ in 0..decodings {
                route = percent_decode_str(&route).decode_utf8_lossy().into_owned();
            }
            if drops_slashes {
                route = format!("/{}", route.split('/').filter(|part| !part.is_empty()).collect::<Vec<_>>().join("/"));
            }
            prop_assert_eq!(Links::from_request(address(&route, &path)).prefix, prefix);
        }
    }

    #[rstest]
    #[case(Some("http"), Some("127.0.0.1:8080"), "http://127.0.0.1:8080")]
    #[case(Some("http"), Some("localhost:80"), "http://localhost")]
    #[case(Some("https"), Some("API.example:443"), "https://api.example")]
    #[case(Some("gopher"), None, "https://gateway.example")]
    #[case(None, Some("a\"b"), "https://gateway.example")]
    fn the_origin_is_written_as_browsers_write_it(
        #[case] scheme: Option<&str>,
        #[case] host: Option<&str>,
        #[case] origin: &str,
    ) {
        let links = Links::from_request(RequestAddress { scheme, host, ..address("/admin", "/admin") });
        assert_eq!(links.origin(), origin);
    }

    #[test]
    fn a_configured_address_wins_and_must_be_one() {
        let links = Links::configured("https://Levee.example:443/gate/").unwrap();
        assert_eq!(
            (links.origin(), links.base_url().as_str()),
            ("https://levee.example", "https://levee.example/gate")
        );
        assert_eq!(links.to("/admin"), "/gate/admin");
        for wrong in ["levee.example", "/gate", "ftp://levee.example", "https://levee.example/?a", "https://u@h/", ""] {
            assert!(Links::configured(wrong).is_err(), "{wrong}");
        }
    }
}
