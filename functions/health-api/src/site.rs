//! The board as a website: its users are the platform's admins.

use levee::admins::{Role, Session};
use levee::clock::Timestamp;
use levee::session_token::SessionToken;
use levee::web::{self, CookieKind, Site, Tab, WebError};
use maud::{Markup, html};

use crate::config::BoardState;
use crate::error;
use crate::routes::answers_json;

/// One request to the board.
pub(crate) type Call<'a> = web::Call<'a, BoardState>;
/// The signed-in admin that sends a request.
pub(crate) type SignedIn = web::SignedIn<BoardState>;

const HOME: Tab = Tab { path: "/admin", name: "System Health" };

impl Site for BoardState {
    type User = Session;
    type Permission = Role;

    const NAME: &'static str = "board";
    const HOME: Tab = HOME;
    const SIGN_IN: &'static str = "/login";
    const SIGN_OUT: &'static str = "/logout";
    const TABS: &'static [Tab] = &[
        HOME,
        Tab { path: "/admin/errors", name: "Errors" },
        Tab { path: "/admin/requests", name: "Requests" },
        Tab { path: "/admin/accounts", name: "Accounts" },
        Tab { path: "/admin/csp", name: "Violations" },
        Tab { path: "/admin/audit", name: "Audit" },
    ];
    // A session lasts 12 hours. The token of a form is kept as long, for forms that are left open.
    const SESSION: CookieKind = CookieKind::new("__Host-levee-session", 12);
    const LOGIN: CookieKind = CookieKind::new("__Host-levee-login", 12);

    fn answers_json(path: &str) -> bool {
        answers_json(path)
    }

    async fn user(&self, token: &SessionToken, now: Timestamp) -> Result<Option<Session>, WebError> {
        self.admins.session(token, now).await.map_err(error::admins)
    }

    fn check(user: &Session, permission: Role) -> Result<(), &'static str> {
        if user.role < permission { Err("Only an operator may do this.") } else { Ok(()) }
    }

    fn name(user: &Session) -> Markup {
        html! { (user.email) " (" (user.role) ")" }
    }
}
