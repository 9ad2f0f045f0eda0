//! Table of all routes that the board serves: access and operation of each. template.yaml declares the same routes to
//! API Gateway, and a test compares the two.

use std::collections::BTreeMap;

use http::Method;
use levee::admins::Role;

/// Access that a route requires.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// None: the route is open to everyone.
    Anyone,
    /// The token of the sign-in form, from a client below the limit of sign-ins, which the authorizer counts.
    SigningIn,
    /// A signed-in admin with at least this role.
    SignedIn(Role),
}

/// Operation of a route.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Operation {
    /// Health of the platform in one word.
    Health,
    /// Sign-in form.
    LoginPage,
    /// Start of a session.
    SignIn,
    /// End of the session.
    SignOut,
    /// End of all sessions of the admin.
    SignOutEverywhere,
    /// System Health page.
    Board,
    /// Page of recent errors.
    Errors,
    /// Page of accounts.
    Accounts,
    /// Suspension of an account, from a form.
    Suspend,
    /// Resumption of an account, from a form.
    Resume,
    /// Page of one provider and its breaker's decisions.
    Breaker,
    /// Override that gives a provider no calls or all calls, from a form.
    Force,
    /// Override that gives a provider a part of the calls, from a form.
    Pin,
    /// Removal of an override, from a form.
    Release,
    /// Story of one request.
    Requests,
    /// Page of the audit.
    Audit,
    /// Snapshot of the board as JSON.
    ApiSnapshot,
    /// Recent errors as JSON.
    ApiBreadcrumbs,
    /// Accounts as JSON.
    ApiAccounts,
    /// Suspension of an account, from a script.
    ApiSuspend,
    /// Resumption of an account, from a script.
    ApiResume,
    /// The audit as JSON.
    ApiAudit,
    /// State of all providers as JSON.
    ApiBreakers,
    /// State of one provider as JSON.
    ApiBreaker,
    /// Decisions about one provider as JSON.
    ApiBreakerHistory,
    /// Override that gives a provider no calls or all calls, from a script.
    ApiForce,
    /// Override that gives a provider a part of the calls, from a script.
    ApiPin,
    /// Removal of an override, from a script.
    ApiRelease,
    /// Usage of all accounts as JSON or CSV.
    ApiUsage,
    /// Usage of one account as JSON or CSV.
    ApiAccountUsage,
}

/// Method, path, required access and operation of a route.
pub type Route = (Method, &'static str, Access, Operation);

const VIEWER: Access = Access::SignedIn(Role::Viewer);
const OPERATOR: Access = Access::SignedIn(Role::Operator);

/// All routes of the board.
pub static ROUTES: [Route; 30] = [
    (Method::GET, "/health", Access::Anyone, Operation::Health),
    (Method::GET, "/login", Access::Anyone, Operation::LoginPage),
    (Method::POST, "/login", Access::SigningIn, Operation::SignIn),
    (Method::POST, "/logout", VIEWER, Operation::SignOut),
    (Method::POST, "/admin/sign-out-everywhere", VIEWER, Operation::SignOutEverywhere),
    (Method::GET, "/admin", VIEWER, Operation::Board),
    (Method::GET, "/admin/errors", VIEWER, Operation::Errors),
    (Method::GET, "/admin/accounts", VIEWER, Operation::Accounts),
    (Method::POST, "/admin/accounts/{id}/suspend", OPERATOR, Operation::Suspend),
    (Method::POST, "/admin/accounts/{id}/resume", OPERATOR, Operation::Resume),
    (Method::GET, "/admin/breakers/{id}", VIEWER, Operation::Breaker),
    (Method::POST, "/admin/breakers/{id}/force", OPERATOR, Operation::Force),
    (Method::POST, "/admin/breakers/{id}/pin", OPERATOR, Operation::Pin),
    (Method::POST, "/admin/breakers/{id}/release", OPERATOR, Operation::Release),
    (Method::GET, "/admin/requests", VIEWER, Operation::Requests),
    (Method::GET, "/admin/audit", VIEWER, Operation::Audit),
    (Method::GET, "/admin/api/snapshot", VIEWER, Operation::ApiSnapshot),
    (Method::GET, "/admin/api/breadcrumbs", VIEWER, Operation::ApiBreadcrumbs),
    (Method::GET, "/admin/api/accounts", VIEWER, Operation::ApiAccounts),
    (Method::POST, "/admin/api/accounts/{id}/suspend", OPERATOR, Operation::ApiSuspend),
    (Method::POST, "/admin/api/accounts/{id}/resume", OPERATOR, Operation::ApiResume),
    (Method::GET, "/admin/api/audit", VIEWER, Operation::ApiAudit),
    (Method::GET, "/admin/api/breakers", VIEWER, Operation::ApiBreakers),
    (Method::GET, "/admin/api/breakers/{id}", VIEWER, Operation::ApiBreaker),
    (Method::GET, "/admin/api/breakers/{id}/history", VIEWER, Operation::ApiBreakerHistory),
    (Method::POST, "/admin/api/breakers/{id}/force", OPERATOR, Operation::ApiForce),
    (Method::POST, "/admin/api/breakers/{id}/pin", OPERATOR, Operation::ApiPin),
    (Method::POST, "/admin/api/breakers/{id}/release", OPERATOR, Operation::ApiRelease),
    (Method::GET, "/admin/api/usage", VIEWER, Operation::ApiUsage),
    (Method::GET, "/admin/api/accounts/{id}/usage", VIEWER, Operation::ApiAccountUsage),
];

/// Returns true if answers on `path` are JSON for programs. All other answers are pages.
pub fn answers_json(path: &str) -> bool {
    path == "/health" || path.starts_with("/admin/api/")
}

/// Finder of routes by path and method.
pub(crate) struct Router(matchit::Router<Vec<&'static Route>>);

/// Result of looking up a path.
pub(crate) enum MatchedRoute<'a> {
    /// The route, with the value of its path parameter; empty if it has none.
    Route(&'static Route, &'a str),
    /// A path that takes other methods, which are listed.
    Methods(Vec<&'static str>),
    /// No route.
    Nothing,
}

impl Router {
    pub(crate) fn new() -> Result<Self, matchit::InsertError> {
        // Group the routes by path, as `matchit` does not know methods.
        let mut by_path: BTreeMap<&str, Vec<&Route>> = BTreeMap::new();
        for route in &ROUTES {
            by_path.entry(route.1).or_default().push(route);
        }
        let mut router = matchit::Router::new();
        for (path, routes) in by_path {
            router.insert(path, routes)?;
        }
        Ok(Self(router))
    }

    /// Finds the route for `method` and `path`. `path` has no prefix before the route, such as a stage.
    pub(crate) fn find<'a>(&self, method: &Method, path: &'a str) -> MatchedRoute<'a> {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_route_is_found_by_its_path() {
        let router = Router::new().unwrap();
        for route in &ROUTES {
            let path = route.1.replace("{id}", "acme");
            let MatchedRoute::Route(found, id) = router.find(&route.0, &path) else { panic!("{path} is not found") };
            assert_eq!((found, id), (route, if route.1.contains("{id}") { "acme" } else { "" }));
        }
    }

    #[test]
    fn what_changes_something_and_what_is_under_admin_is_never_for_anyone() {
        for (method, path, access, _) in &ROUTES {
            assert!(*access != Access::Anyone || *method == Method::GET, "{method} {path}");
            assert!(!path.starts_with("/admin") || matches!(access, Access::SignedIn(_)), "{method} {path}");
        }
    }

    #[test]
    fn a_path_with_other_methods_names_them_and_an_unknown_one_is_nothing() {
        let router = Router::new().unwrap();
        let MatchedRoute::Methods(methods) = router.find(&Method::DELETE, "/login") else { panic!("found") };
        assert_eq!(methods, ["GET", "POST"]);
        for path in ["/", "/admin/", "/admin/x", "/admin/api/accounts//suspend", "/admin/api/accounts/a/b/suspend"] {
            assert!(matches!(router.find(&Method::GET, path), MatchedRoute::Nothing), "{path}");
        }
    }
}
