//! The API's own address as its clients see it: the base of links, redirects and the check of a request's origin.
//!
//! It differs between clients. A path begins with the stage on API Gateway's own domain, with the base path on a
//! custom domain, and with neither on a local machine. A CDN in front hides all three; `BASE_URL` then sets the
//! address.

use http::Uri;
use percent_encoding::percent_decode_str;

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
    /// Route as the template declares it, such as `/v1/models/{id}` or `/admin/{proxy+}`.
    pub resource: &'a str,
    /// Value of the route's greedy last parameter, if it has one.
    pub greedy: Option<&'a str>,
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

/// Returns the prefix of the path before the route's own segments. Returns `None` if the path does not match the
/// route.
fn prefix(asked: RequestAddress<'_>) -> Option<&str> {
    let path = asked.path.trim_end_matches('/');
    if asked.resource == "/" {
        return Some(path);
    }
    let resource = match asked.resource.split_once("/{proxy+}") {
        // The greedy part may contain slashes, and the gateway may have decoded it: its text is more reliable than its
        // number of segments.
        Some((fixed, "")) => {
            let greedy = asked.greedy.unwrap_or_default().trim_matches('/');
            let is_greedy = |rest: &str| {
                let text = rest.trim_matches('/');
                let is_it = || text == greedy || percent_decode_str(text).decode_utf8().is_ok_and(|it| it == greedy);
                (rest.is_empty() || rest.starts_with('/')) && is_it()
            };
            let mut places = path.rmatch_indices(fixed).map(|(at, _)| at);
            let place = places.find(|at| is_greedy(&path[at + fixed.len()..]));
            return place.map(|at| path[..at].trim_end_matches('/'));
        }
        _ => asked.resource.matches('/').count(),
    };
    path.rmatch_indices('/').nth(resource.saturating_sub(1)).map(|(at, _)| &path[..at])
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
    path.starts_with('/')
        && !path.contains("//")
        && path.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"/._~-".contains(&byte))
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    fn address<'a>(resource: &'a str, path: &'a str) -> RequestAddress<'a> {
        RequestAddress {
            host: Some("api.example"),
            domain_name: "gateway.example",
            resource,
            path,
            ..RequestAddress::default()
        }
    }

    #[rstest]
    #[case("/v1/messages", "/v1/messages", "https://api.example")]
    #[case("/v1/messages", "/prod/v1/messages", "https://api.example/prod")]
    #[case("/v1/models/{id}", "/a/b/v1/models/m", "https://api.example/a/b")]
    #[case("/v1/models/{id}", "", "https://api.example")]
    #[case("/v1/messages", "/prod/v1/messages/", "https://api.example/prod")]
    #[case("/admin", "/prod/admin", "https://api.example/prod")]
    #[case("/", "/prod/", "https://api.example/prod")]
    #[case("/", "/prod", "https://api.example/prod")]
    #[case("/", "/", "https://api.example")]
    fn the_address_keeps_what_stands_before_the_route(#[case] resource: &str, #[case] path: &str, #[case] url: &str) {
        assert_eq!(Links::from_request(address(resource, path)).base_url(), url);
    }

    #[rstest]
    #[case("/admin/errors", "errors", "")]
    #[case("/prod/admin/errors", "errors", "/prod")]
    #[case("/admin/admin/errors/", "errors", "/admin")]
    #[case("/prod/admin/api/accounts/acme/suspend", "api/accounts/acme/suspend", "/prod")]
    #[case::still_encoded("/prod/admin/x%20y", "x y", "/prod")]
    #[case::encoded_slash("/prod/admin/x%2Fy", "x/y", "/prod")]
    #[case::twice_encoded("/prod/admin/x%252Fy", "x%2Fy", "/prod")]
    #[case::the_fixed_part_again("/prod/admin/admin/x%2Fy", "admin/x/y", "/prod")]
    #[case::nothing_after_it("/prod/admin", "", "/prod")]
    #[case::no_path("", "errors", "")]
    #[case::another_host("//evil.example/admin/x", "x", "")]
    #[case::markup("/<b>/admin/x", "x", "")]
    fn a_greedy_route_keeps_its_prefix(#[case] path: &str, #[case] greedy: &str, #[case] prefix: &str) {
        let links = Links::from_request(RequestAddress { greedy: Some(greedy), ..address("/admin/{proxy+}", path) });
        assert_eq!(links.to("/login"), format!("{prefix}/login"));
    }

    #[rstest]
    #[case("/v1/v1/messages", "v1/v1/messages", "https://api.example")]
    #[case("/prod/v1/v1/messages", "v1/v1/messages", "https://api.example/prod")]
    #[case("/prod//v1/messages", "/v1/messages", "https://api.example/prod")]
    fn the_catch_all_route_keeps_its_prefix(#[case] path: &str, #[case] greedy: &str, #[case] url: &str) {
        let links = Links::from_request(RequestAddress { greedy: Some(greedy), ..address("/{proxy+}", path) });
        assert_eq!(links.base_url(), url);
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
