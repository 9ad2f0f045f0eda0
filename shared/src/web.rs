//! Websites: what every function that serves pages shares, whoever signs in there.
//!
//! A function names its routes, its users and its navigation in a [`Site`], and keeps its pages. Pages are rendered on
//! the server and need no JavaScript. Invariants:
//!
//! - The router checks access, not the handlers: [`Route`] is a row of a table, and `gate` the rule. So a new route
//!   cannot be left open by mistake, and a [`Handler::SignedIn`] cannot run without a session.
//! - A request that changes anything must come from this site's own origin and carry the token of its session.
//! - Text from outside is escaped. maud does this, and no function here takes raw text.
//! - A page loads and runs nothing. Its content security policy says so, with the hash of its one style. All headers of
//!   all pages are set by one function.
//! - Every number has its unit, every time its zone.
//!
//! Start reading at [`serve()`].

mod answer;
mod arrival;
mod call;
mod cookies;
mod csrf;
mod error;
mod form;
mod gate;
mod headers;
mod layout;
mod page;
mod route;
mod serve;
pub mod show;
mod site;
mod table;

pub use answer::{Answer, json, see_other};
pub use arrival::Arrival;
pub use call::{Call, SignedIn, is_name};
pub use cookies::CookieKind;
pub use csrf::TOKEN_FIELD;
pub use error::WebError;
pub use form::Form;
pub use headers::own_policy;
pub use layout::{Page, Tab};
pub use page::{button, outside, signed_in};
pub use route::{Access, Handler, MatchedRoute, Pending, Route, Router, RoutesError, handler};
pub use serve::{Served, serve};
pub use site::Site;
pub use table::table;
