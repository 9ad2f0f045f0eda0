//! Access checks that run before every handler. No other module makes them.

use http::{HeaderMap, Method};
use lambda_http::Request;
use levee::admins::SessionToken;
use levee::http::{Rejection, UNREADABLE, admit_anyone};
use subtle::ConstantTimeEq;

use crate::call::{Call, Form, SignedIn, is_form};
use crate::cookies;
use crate::error::BoardError;
use crate::routes::Access;

/// Header in which a script sends the form token of its session.
const TOKEN_HEADER: &str = "x-levee-csrf";
/// Field in which a form carries this token.
pub(crate) const TOKEN_FIELD: &str = "csrf";

/// Checks that a request may use its route. Returns the signed-in admin if the route is for admins.
pub(crate) async fn authorize(call: &Call<'_>, access: Access, form: &Form) -> Result<Option<SignedIn>, BoardError> {
    // Apply the authorizer's verdict, which limits sign-ins per client address.
    if access == Access::SigningIn {
        admit_anyone(call.request).verdict.map_err(|refused| match refused {
            Rejection::Unreadable => BoardError::Unavailable("context.unreadable", UNREADABLE.to_owned()),
            Rejection::BadRequest(sentence) => BoardError::Invalid(sentence),
            Rejection::Forbidden(sentence) => BoardError::Forbidden(sentence),
            Rejection::Limited(sentence, secs) => BoardError::Limited(sentence, secs),
        })?;
    }

    // A request that may change something must come from this board's own origin.
    let changes = call.request.method() != Method::GET;
    if changes && !is_same_site(call.links.origin(), call.headers()) {
        return Err(BoardError::CrossSite);
    }

    match access {
        Access::Anyone => Ok(None),
        Access::SigningIn => {
            if !is_form(call.headers()) {
                return Err(BoardError::NotAForm);
            }
            // The token of the form must equal that of the cookie. Compare them in constant time.
            let expected = cookies::LOGIN.read(call.headers()).filter(|token| is_login_token(token));
            let shown = form.field(TOKEN_FIELD);
            let matches = expected.is_some_and(|expected| expected.as_bytes().ct_eq(shown.as_bytes()).into());
            if matches { Ok(None) } else { Err(BoardError::Token) }
        }
        Access::SignedIn(role) => {
            let admin = session(call).await?;
            // A change needs the session's form token as well.
            if changes && !shows_token(&admin, call.headers(), form) {
                return Err(BoardError::Token);
            }
            if admin.session.role < role { Err(BoardError::Role) } else { Ok(Some(admin)) }
        }
    }
}

/// Returns the rate-limit headers for the answer, whatever its status. They are empty on routes that bypass the
/// authorizer.
pub(crate) fn limits(request: &Request, access: Access) -> HeaderMap {
    match access {
        Access::SigningIn => admit_anyone(request).headers,
        Access::Anyone | Access::SignedIn(_) => HeaderMap::new(),
    }
}

async fn session(call: &Call<'_>) -> Result<SignedIn, BoardError> {
    let cookie = cookies::SESSION.read(call.headers());
    let token = cookie.as_deref().and_then(SessionToken::parse).ok_or(BoardError::SignedOut)?;
    let session = call.state.admins.session(&token, call.now).await.map_err(BoardError::admins)?;
    Ok(SignedIn { session: session.ok_or(BoardError::SignedOut)?, token })
}

fn shows_token(admin: &SignedIn, headers: &HeaderMap, form: &Form) -> bool {
    let shown = headers.get(TOKEN_HEADER).and_then(|value| value.to_str().ok());
    admin.token.csrf().matches(shown.unwrap_or_else(|| form.field(TOKEN_FIELD)))
}

/// Returns true if the headers say that the request comes from the origin `own`, and none contradicts it. Browsers say
/// so in `Sec-Fetch-Site` (W3C Fetch Metadata) or in `Origin`. `Origin` is `null` on pages that send no referrer, such
/// as this board's (Fetch, "append a request Origin header"). No page can forge either header.
fn is_same_site(own: &str, headers: &HeaderMap) -> bool {
    let text = |name: &str| headers.get(name).map(|value| value.to_str().unwrap_or("?"));
    let by_origin = text("origin").filter(|origin| *origin != "null").map(|origin| origin == own);
    let by_site = text("sec-fetch-site").map(|site| site == "same-origin");
    match (by_origin, by_site) {
        (None, None) => false,
        (by_origin, by_site) => by_origin.unwrap_or(true) && by_site.unwrap_or(true),
    }
}

/// Creates a token for the sign-in form and its cookie.
pub(crate) fn new_login_token() -> String {
    rand::random::<[u8; 16]>().iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Returns true if `text` has the form of a token that [`new_login_token`] makes.
pub(crate) fn is_login_token(text: &str) -> bool {
    text.len() == 32 && text.bytes().all(|byte| byte.is_ascii_hexdigit())
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
    fn only_a_request_of_this_boards_own_pages_is_same_site(
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
        assert!(is_login_token(&token) && token != new_login_token());
        assert!(!is_login_token("") && !is_login_token(&token[1..]));
    }
}
