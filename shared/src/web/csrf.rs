//! Proof that a request comes from a page of this site: its origin, and the token of its form.

use http::HeaderMap;

use super::form::Form;
use crate::session_token::{SessionToken, random_id};

/// Header in which a script sends the form token of its session.
const TOKEN_HEADER: &str = "x-levee-csrf";
/// Field in which a form carries this token.
pub const TOKEN_FIELD: &str = "csrf";

/// Returns true if the headers say that the request comes from the origin `own`, and none contradicts it. Browsers say
/// so in `Sec-Fetch-Site` (W3C Fetch Metadata) or in `Origin`. `Origin` is `null` on pages that send no referrer, such
/// as these (Fetch, "append a request Origin header"). No page can forge either header.
pub(super) fn is_same_site(own: &str, headers: &HeaderMap) -> bool {
    let text = |name: &str| headers.get(name).map(|value| value.to_str().unwrap_or("?"));
    let by_origin = text("origin").filter(|origin| *origin != "null").map(|origin| origin == own);
    let by_site = text("sec-fetch-site").map(|site| site == "same-origin");
    match (by_origin, by_site) {
        (None, None) => false,
        (by_origin, by_site) => by_origin.unwrap_or(true) && by_site.unwrap_or(true),
    }
}

/// Returns true if the header or the form holds the form token of the session.
pub(super) fn shows_token(session: &SessionToken, headers: &HeaderMap, form: &Form) -> bool {
    let shown = headers.get(TOKEN_HEADER).and_then(|value| value.to_str().ok());
    session.csrf().matches(shown.unwrap_or_else(|| form.field(TOKEN_FIELD)))
}

/// Creates a token for the sign-in form and its cookie.
pub(super) fn new_login_token() -> String {
    random_id()
}

/// Returns a cookie's value if it has the form of a token that [`new_login_token`] makes.
pub(super) fn login_token(cookie: Option<String>) -> Option<String> {
    cookie.filter(|text| text.len() == 32 && text.bytes().all(|byte| byte.is_ascii_hexdigit()))
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case::own_origin(Some("https://levee.example"), None, true)]
    #[case::own_origin_and_site(Some("https://levee.example"), Some("same-origin"), true)]
    #[case::no_referrer_page(Some("null"), Some("same-origin"), true)]
    #[case::site_alone(None, Some("same-origin"), true)]
    #[case::nothing_said(None, None, false)]
    #[case::opaque(Some("null"), None, false)]
    #[case::sandboxed(Some("null"), Some("cross-site"), false)]
    #[case::foreign(Some("https://evil.example"), None, false)]
    #[case::foreign_that_claims(Some("https://evil.example"), Some("same-origin"), false)]
    #[case::sibling(Some("https://levee.example"), Some("same-site"), false)]
    #[case::other_port(Some("https://levee.example:8443"), None, false)]
    #[case::other_scheme(Some("http://levee.example"), None, false)]
    #[case::prefix(Some("https://levee.example.evil.example"), None, false)]
    #[case::typed_in(None, Some("none"), false)]
    fn only_a_request_of_this_sites_own_pages_is_same_site(
        #[case] origin: Option<&str>,
        #[case] site: Option<&str>,
        #[case] expected: bool,
    ) {
        let mut headers = HeaderMap::new();
        for (name, value) in [("origin", origin), ("sec-fetch-site", site)] {
            if let Some(value) = value {
                headers.insert(name, value.parse().unwrap());
            }
        }
        assert_eq!(is_same_site("https://levee.example", &headers), expected);
    }

    #[test]
    fn login_tokens_are_long_and_never_the_same() {
        let token = new_login_token();
        assert!(login_token(Some(token.clone())).is_some() && token != new_login_token());
        for other in [None, Some(String::new()), Some(token[1..].to_owned())] {
            assert_eq!(login_token(other), None);
        }
    }
}
