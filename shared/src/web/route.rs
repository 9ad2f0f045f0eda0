//! Routes of a website, and the search for the route of a request.

use std::collections::BTreeMap;
use std::pin::Pin;

use http::Method;

use super::answer::Answer;
use super::call::{Call, SignedIn};
use super::error::WebError;
use super::site::Site;

/// Access that a route requires.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access<P> {
    /// None: the route is open to everyone.
    Anyone,
    /// The token of the sign-in form, from a client below the limit of sign-ins, which the authorizer counts.
    SigningIn,
    /// A signed-in user with this permission.
    SignedIn(P),
}

/// Answer that a handler is working on.
pub type Pending<'a> = Pin<Box<dyn Future<Output = Result<Answer, WebError>> + Send + 'a>>;

/// Function that serves a route. [`handler!`](crate::handler) makes one from an `async fn`.
pub enum Handler<S: Site> {
    /// Function that does not ask who is signed in.
    Plain(for<'a> fn(&'a Call<'a, S>) -> Pending<'a>),
    /// Function that needs the signed-in user. It runs only on routes with [`Access::SignedIn`].
    SignedIn(for<'a> fn(&'a Call<'a, S>, &'a SignedIn<S>) -> Pending<'a>),
}

/// Makes a [`Handler`] from an `async fn` of the call: `handler!(errors::list)`; or, for `handler!(errors::page,
/// signed_in)`, of the call and the signed-in user.
#[macro_export]
macro_rules! handler {
    ($function:path) => {
        $crate::web::Handler::Plain(|call| ::std::boxed::Box::pin($function(call)))
    };
    ($function:path, signed_in) => {
        $crate::web::Handler::SignedIn(|call, user| ::std::boxed::Box::pin($function(call, user)))
    };
}

pub use handler;

/// Method, path, required access and handler of a route. A path may have one parameter, `{id}`.
pub type Route<S> = (Method, &'static str, Access<<S as Site>::Permission>, Handler<S>);

/// Two routes that contradict each other.
#[derive(Debug, thiserror::Error)]
#[error("the routes: {0}")]
pub struct RoutesError(#[from] matchit::InsertError);

/// Finder of routes by path and method.
pub struct Router<S: Site>(matchit::Router<Vec<&'static Route<S>>>);

/// Result of looking up a path.
pub enum MatchedRoute<'a, S: Site> {
    /// The route, with the value of its path parameter; empty if it has none.
    Route(&'static Route<S>, &'a str),
    /// A path that takes other methods, which are listed.
    Methods(Vec<&'static str>),
    /// No route.
    Nothing,
}

impl<S: Site> MatchedRoute<'_, S> {
    /// Returns the path of the route as the table has it.
    pub fn path(&self) -> Option<&'static str> {
        match self {
            Self::Route((_, path, ..), _) => Some(path),
            Self::Methods(_) | Self::Nothing => None,
        }
    }
}

impl<S: Site> Router<S> {
    /// Creates the finder of `routes`.
    ///
    /// # Errors
    /// Two routes contradict each other.
    pub fn new(routes: &'static [Route<S>]) -> Result<Self, RoutesError> {
        // Group the routes by path, as `matchit` does not know methods.
        let mut by_path: BTreeMap<&str, Vec<&Route<S>>> = BTreeMap::new();
        for route in routes {
            by_path.entry(route.1).or_default().push(route);
        }
        let mut router = matchit::Router::new();
        for (path, routes) in by_path {
            router.insert(path, routes)?;
        }
        Ok(Self(router))
    }

    /// Finds the route for `method` and `path`. `path` has no prefix before the route, such as a stage.
    pub fn find<'a>(&self, method: &Method, path: &'a str) -> MatchedRoute<'a, S> {
        let Ok(matched) = self.0.at(path) else { return MatchedRoute::Nothing };
        // An empty parameter names nothing.
        if matched.params.iter().any(|(_, value)| value.is_empty()) {
            return MatchedRoute::Nothing;
        }
        match matched.value.iter().find(|(it, ..)| it == method) {
            Some(route) => MatchedRoute::Route(route, matched.params.get("id").unwrap_or_default()),
            None => MatchedRoute::Methods(matched.value.iter().map(|(method, ..)| method.as_str()).collect()),
        }
    }
}
