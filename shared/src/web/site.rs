//! Facts that tell one website from another.

use maud::Markup;

use super::cookies::CookieKind;
use super::error::WebError;
use super::layout::Tab;
use crate::clock::Timestamp;
use crate::session_token::SessionToken;

/// A website: its state, its users and its navigation.
pub trait Site: Sized + Sync + 'static {
    /// The one who is signed in: an admin, or a customer.
    type User: Send + Sync;
    /// Permission that a route may require of a user, such as a role or a scope.
    type Permission: Copy + Sync;

    /// Word for the site in sentences: "a page of this board".
    const NAME: &'static str;
    /// First page after a sign-in, to which an error page leads back.
    const HOME: Tab;
    /// Path of the sign-in form.
    const SIGN_IN: &'static str;
    /// Path that ends a session.
    const SIGN_OUT: &'static str;
    /// Entries of the navigation.
    const TABS: &'static [Tab];
    /// Cookie with the session token.
    const SESSION: CookieKind;
    /// Cookie with the token that the sign-in form must repeat.
    const LOGIN: CookieKind;

    /// Returns true if answers on `path` are JSON for programs. All other answers are pages.
    fn answers_json(path: &str) -> bool;

    /// Reads the user of a session; `None` if the session has ended or never existed.
    fn user(
        &self,
        token: &SessionToken,
        now: Timestamp,
    ) -> impl Future<Output = Result<Option<Self::User>, WebError>> + Send;

    /// Checks that `user` has a permission.
    ///
    /// # Errors
    /// A public sentence that names the missing permission.
    fn check(user: &Self::User, permission: Self::Permission) -> Result<(), &'static str>;

    /// Renders the name of a user for the header of each page.
    fn name(user: &Self::User) -> Markup;
}
