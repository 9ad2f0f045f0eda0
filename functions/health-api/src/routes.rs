//! Every route that the board serves, who may use it, and what it does. API Gateway is told of them in template.yaml; a
//! test holds the two together.

use std::collections::BTreeMap;

use http::Method;
use levee::admins::Role;

/// Who may use a route.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// Anyone.
    Anyone,
    /// Anyone who is not over the limit of sign-ins, which the authorizer counts, and who has the form.
    SigningIn,
    /// A signed-in admin of at least this role.
    SignedIn(Role),
}

/// What a route does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Operation {
    /// How the platform is, in a word.
    Health,
    /// The form to sign in.
    LoginPage,
    /// Begins a session.
    SignIn,
    /// Ends the session.
    SignOut,
    /// Ends all sessions of the admin.
    SignOutEverywhere,
    /// The board.
    Board,
    /// Recent errors.
    Errors,
    /// The accounts.
    Accounts,
    /// Stops an account, from a form.
    Suspend,
    /// Lets it go on, from a form.
    Resume,
    /// What was decided about a provider.
    Breaker,
    /// Gives a provider no calls or all, from a form.
    Force,
    /// Gives a provider a part of the calls, from a form.
    Pin,
    /// Lets a provider's breaker decide again, from a form.
    Release,
    /// The story of a request.
    Requests,
    /// What admins did.
    Audit,
    /// The board, as JSON.
    ApiSnapshot,
    /// Recent errors, as JSON.
    ApiBreadcrumbs,
    /// The accounts, as JSON.
    ApiAccounts,
    /// Stops an account, from a script.
    ApiSuspend,
    /// Lets it go on, from a script.
    ApiResume,
    /// What admins did, as JSON.
    ApiAudit,
    /// Where the providers stand, as JSON.
    ApiBreakers,
    /// Where one provider stands, as JSON.
    ApiBreaker,
    /// What was decided about it, as JSON.
    ApiBreakerHistory,
    /// Gives a provider no calls or all, from a script.
    ApiForce,
    /// Gives a provider a part of the calls, from a script.
    ApiPin,
    /// Lets a provider's breaker decide again, from a script.
    ApiRelease,
    /// What all accounts used, as JSON or CSV.
    ApiUsage,
    /// What one account used, as JSON or CSV.
    ApiAccountUsage,
}

/// Method, path, access and operation.
pub type Route = (Method, &'static str, Access, Operation);

const VIEWER: Access = Access::SignedIn(Role::Viewer);
const OPERATOR: Access = Access::SignedIn(Role::Operator);

/// Every route.
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

/// Whether the answers on `path` are for programs; all others are pages.
pub fn answers_json(path: &str) -> bool {
    path == "/health" || path.starts_with("/admin/api/")
}

/// Finds routes.
pub(crate) struct Router(matchit::Router<Vec<&'static Route>>);

/// What a path leads to.
pub(crate) enum Found<'a> {
    /// This route, with the value of its parameter, empty where it has none.
    Route(&'static Route, &'a str),
    /// A path that takes other methods.
    Methods(Vec<&'static str>),
    /// Nothing.
    Nothing,
}

impl Router {
    pub(crate) fn new() -> Result<Self, matchit::InsertError> {
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

    /// What `path`, without what stands before the route, leads to.
    pub(crate) fn find<'a>(&self, method: &Method, path: &'a str) -> Found<'a> {
        let Ok(matched) = self.0.at(path) else { return Found::Nothing };
        if matched.params.iter().any(|(_, value)| value.is_empty()) {
            return Found::Nothing;
        }
        match matched.value.iter().find(|(it, ..)| it == method) {
            Some(route) => Found::Route(route, matched.params.get("id").unwrap_or_default()),
            None => Found::Methods(matched.value.iter().map(|(method, ..)| method.as_str()).collect()),
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
            let Found::Route(found, id) = router.find(&route.0, &path) else { panic!("{path} is not found") };
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
        let Found::Methods(methods) = router.find(&Method::DELETE, "/login") else { panic!("found") };
        assert_eq!(methods, ["GET", "POST"]);
        for path in ["/", "/admin/", "/admin/x", "/admin/api/accounts//suspend", "/admin/api/accounts/a/b/suspend"] {
            assert!(matches!(router.find(&Method::GET, path), Found::Nothing), "{path}");
        }
    }
}
