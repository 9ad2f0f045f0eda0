//! Access checks that run before every handler. No other module makes them.

use http::{HeaderMap, Method};
use lambda_http::Request;
use subtle::ConstantTimeEq;

use super::call::{Call, SignedIn};
use super::csrf::{TOKEN_FIELD, is_same_site, login_token, shows_token};
use super::error::WebError;
use super::form::is_form;
use super::route::Access;
use super::site::Site;
use crate::http::{Rejection, UNREADABLE, admit_anyone};

/// Checks that a request may use its route. Returns the signed-in user if the route is for users.
pub(super) async fn authorize<S: Site>(
    call: &Call<'_, S>,
    access: Access<S::Permission>,
) -> Result<Option<SignedIn<S>>, WebError> {
    // Apply the authorizer's verdict, which limits sign-ins per client address.
    if matches!(access, Access::SigningIn) {
        admit_anyone(call.request).verdict.map_err(|refused| match refused {
            Rejection::Unreadable => WebError::Unavailable("context.unreadable", UNREADABLE.to_owned()),
            Rejection::BadRequest(sentence) => WebError::Invalid(sentence),
            Rejection::Forbidden(sentence) => WebError::Forbidden(sentence),
            Rejection::Limited(sentence, secs) => WebError::Limited(sentence, secs),
        })?;
    }

    // A request that may change something must come from this site's own origin.
    let changes = call.request.method() != Method::GET;
    if changes && !is_same_site(call.links.origin(), call.headers()) {
        return Err(WebError::CrossSite(S::NAME));
    }

    match access {
        Access::Anyone => Ok(None),
        Access::SigningIn => {
            if !is_form(call.headers()) {
                return Err(WebError::NotAForm);
            }
            // The token of the form must equal that of the cookie. Compare them in constant time.
            let expected = login_token(S::LOGIN.read(call.headers()));
            let shown = call.form.field(TOKEN_FIELD);
            let matches = expected.is_some_and(|expected| expected.as_bytes().ct_eq(shown.as_bytes()).into());
            if matches { Ok(None) } else { Err(WebError::Token) }
        }
        Access::SignedIn(permission) => {
            let token = call.session_token().ok_or(WebError::SignedOut)?;
            let user = call.state.user(&token, call.now).await?.ok_or(WebError::SignedOut)?;
            // A change needs the session's form token as well.
            if changes && !shows_token(&token, call.headers(), &call.form) {
                return Err(WebError::Token);
            }
            S::check(&user, permission).map_err(WebError::Permission)?;
            Ok(Some(SignedIn { user, token }))
        }
    }
}

/// Returns the rate-limit headers for the answer, whatever its status. They are empty on routes that bypass the
/// authorizer.
pub(super) fn limits<P>(request: &Request, access: &Access<P>) -> HeaderMap {
    match access {
        Access::SigningIn => admit_anyone(request).headers,
        Access::Anyone | Access::SignedIn(_) => HeaderMap::new(),
    }
}
