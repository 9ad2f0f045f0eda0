//! One request as handlers see it.

use http::{HeaderMap, StatusCode};
use lambda_http::{Request, RequestExt};
use serde::Serialize;

use super::answer::{Answer, json, see_other};
use super::csrf;
use super::error::WebError;
use super::form::Form;
use super::site::Site;
use crate::clock::Timestamp;
use crate::http::Links;
use crate::session_token::SessionToken;

/// One request, with everything that its handler needs.
pub struct Call<'a, S: Site> {
    /// State of the site.
    pub state: &'a S,
    /// The request itself.
    pub request: &'a Request,
    /// Path of the request, without the prefix before its route.
    pub path: &'a str,
    /// Public address of the API.
    pub links: &'a Links,
    /// Id of the request, as its caller sees it.
    pub request_id: &'a str,
    /// Moment of arrival.
    pub now: Timestamp,
    /// Value of the path's parameter; empty if it has none.
    pub id: &'a str,
    /// Fields of the form that was sent.
    pub form: Form,
}

/// The signed-in user that sends a request.
pub struct SignedIn<S: Site> {
    /// The user, as read for this request.
    pub user: S::User,
    /// Token of the session.
    pub token: SessionToken,
}

impl<S: Site> Call<'_, S> {
    /// Returns the headers of the request.
    pub fn headers(&self) -> &HeaderMap {
        self.request.headers()
    }

    /// Returns a parameter of the query. An empty one counts as absent.
    pub fn query(&self, name: &str) -> Option<&str> {
        let parameters = self.request.query_string_parameters_ref()?;
        parameters.first(name).map(str::trim).filter(|value| !value.is_empty())
    }

    /// Returns a parameter of the query that is a name ([`is_name`]).
    ///
    /// # Errors
    /// It is no name.
    pub fn query_name(&self, name: &str) -> Result<Option<&str>, WebError> {
        match self.query(name) {
            Some(value) if !is_name(value) => {
                Err(WebError::Invalid(format!("'{name}' takes letters, digits, dots, underscores and hyphens.")))
            }
            value => Ok(value),
        }
    }

    /// Returns the number of entries that the caller asks for: 1 to 100, by default 50.
    ///
    /// # Errors
    /// It is another number.
    pub fn limit(&self) -> Result<usize, WebError> {
        let Some(text) = self.query("limit") else { return Ok(50) };
        let limit = text.parse().ok().filter(|limit| (1..=100).contains(limit));
        limit.ok_or_else(|| WebError::Invalid("'limit' takes a whole number from 1 to 100.".to_owned()))
    }

    /// Returns the session token that the request carries, if it has the form of one.
    pub fn session_token(&self) -> Option<SessionToken> {
        S::SESSION.read(self.headers()).as_deref().and_then(SessionToken::parse)
    }

    /// Returns the token for the sign-in form. A browser keeps its token, so that a form in another tab stays valid.
    pub fn login_token(&self) -> String {
        csrf::login_token(S::LOGIN.read(self.headers())).unwrap_or_else(csrf::new_login_token)
    }

    /// Answers a request that has changed something: a script gets `body` as JSON, and a form leads back to the page
    /// `back`.
    pub fn changed(&self, body: &impl Serialize, back: &str) -> Answer {
        if S::answers_json(self.path) { json(StatusCode::OK, body) } else { see_other(&self.links.to(back)) }
    }
}

/// Returns true if `text` has the form of a name: 1 to 64 letters, digits, dots, underscores and hyphens.
pub fn is_name(text: &str) -> bool {
    (1..=64).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte))
}
