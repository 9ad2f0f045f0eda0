//! Table of all routes that the board serves: access to each, and the function that serves it. template.yaml declares
//! the same routes to API Gateway, and a test compares the two.

use http::Method;
use levee::admins::Role;
use levee::web::{self, Route, handler};

use crate::config::BoardState;
use crate::{accounts, audit, board, breakers, csp, errors, health, login, requests, snapshot, usage};

/// Access that a route of the board requires.
pub type Access = web::Access<Role>;

const VIEWER: Access = Access::SignedIn(Role::Viewer);
const OPERATOR: Access = Access::SignedIn(Role::Operator);

/// All routes of the board.
pub static ROUTES: [Route<BoardState>; 40] = [
    (Method::GET, "/health", Access::Anyone, handler!(health::answer)),
    (Method::GET, "/login", Access::Anyone, handler!(login::page)),
    (Method::POST, "/login", Access::SigningIn, handler!(login::sign_in)),
    (Method::POST, "/logout", VIEWER, handler!(login::sign_out, signed_in)),
    (Method::POST, "/admin/sign-out-everywhere", VIEWER, handler!(login::sign_out_everywhere, signed_in)),
    (Method::GET, "/admin", VIEWER, handler!(board::page, signed_in)),
    (Method::GET, "/admin/errors", VIEWER, handler!(errors::page, signed_in)),
    (Method::GET, "/admin/accounts", VIEWER, handler!(accounts::page, signed_in)),
    (Method::POST, "/admin/accounts/{id}/suspend", OPERATOR, handler!(accounts::suspend, signed_in)),
    (Method::POST, "/admin/accounts/{id}/resume", OPERATOR, handler!(accounts::resume, signed_in)),
    (Method::GET, "/admin/breakers/{id}", VIEWER, handler!(breakers::page, signed_in)),
    (Method::POST, "/admin/breakers/{id}/force", OPERATOR, handler!(breakers::force, signed_in)),
    (Method::POST, "/admin/breakers/{id}/pin", OPERATOR, handler!(breakers::pin, signed_in)),
    (Method::POST, "/admin/breakers/{id}/release", OPERATOR, handler!(breakers::release, signed_in)),
    (Method::GET, "/admin/csp", VIEWER, handler!(csp::page, signed_in)),
    (Method::GET, "/admin/csp/{id}", VIEWER, handler!(csp::group_page, signed_in)),
    (Method::POST, "/admin/csp/{id}/mute", OPERATOR, handler!(csp::mute, signed_in)),
    (Method::POST, "/admin/csp/{id}/resolve", OPERATOR, handler!(csp::resolve, signed_in)),
    (Method::POST, "/admin/csp/{id}/reopen", OPERATOR, handler!(csp::reopen, signed_in)),
    (Method::GET, "/admin/requests", VIEWER, handler!(requests::page, signed_in)),
    (Method::GET, "/admin/audit", VIEWER, handler!(audit::page, signed_in)),
    (Method::GET, "/admin/api/snapshot", VIEWER, handler!(snapshot::json)),
    (Method::GET, "/admin/api/breadcrumbs", VIEWER, handler!(errors::list)),
    (Method::GET, "/admin/api/accounts", VIEWER, handler!(accounts::list)),
    (Method::POST, "/admin/api/accounts/{id}/suspend", OPERATOR, handler!(accounts::suspend, signed_in)),
    (Method::POST, "/admin/api/accounts/{id}/resume", OPERATOR, handler!(accounts::resume, signed_in)),
    (Method::GET, "/admin/api/audit", VIEWER, handler!(audit::list)),
    (Method::GET, "/admin/api/breakers", VIEWER, handler!(breakers::list)),
    (Method::GET, "/admin/api/breakers/{id}", VIEWER, handler!(breakers::one)),
    (Method::GET, "/admin/api/breakers/{id}/history", VIEWER, handler!(breakers::history)),
    (Method::POST, "/admin/api/breakers/{id}/force", OPERATOR, handler!(breakers::force, signed_in)),
    (Method::POST, "/admin/api/breakers/{id}/pin", OPERATOR, handler!(breakers::pin, signed_in)),
    (Method::POST, "/admin/api/breakers/{id}/release", OPERATOR, handler!(breakers::release, signed_in)),
    (Method::GET, "/admin/api/csp/groups", VIEWER, handler!(csp::list)),
    (Method::GET, "/admin/api/csp/groups/{id}", VIEWER, handler!(csp::one)),
    (Method::POST, "/admin/api/csp/groups/{id}/mute", OPERATOR, handler!(csp::mute, signed_in)),
    (Method::POST, "/admin/api/csp/groups/{id}/resolve", OPERATOR, handler!(csp::resolve, signed_in)),
    (Method::POST, "/admin/api/csp/groups/{id}/reopen", OPERATOR, handler!(csp::reopen, signed_in)),
    (Method::GET, "/admin/api/usage", VIEWER, handler!(usage::list)),
    (Method::GET, "/admin/api/accounts/{id}/usage", VIEWER, handler!(usage::one)),
];

/// Returns true if answers on `path` are JSON for programs. All other answers are pages.
pub fn answers_json(path: &str) -> bool {
    path == "/health" || path.starts_with("/admin/api/")
}

#[cfg(test)]
mod tests {
    use levee::web::{MatchedRoute, Router};

    use super::*;

    #[test]
    fn every_route_is_found_by_its_path() {
        let router = Router::<BoardState>::new(&ROUTES).unwrap();
        for (method, path, ..) in &ROUTES {
            let real = path.replace("{id}", "acme");
            let MatchedRoute::Route(found, id) = router.find(method, &real) else { panic!("{real} is not found") };
            assert_eq!((&found.0, found.1, id), (method, *path, if path.contains("{id}") { "acme" } else { "" }));
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
        let router = Router::<BoardState>::new(&ROUTES).unwrap();
        let MatchedRoute::Methods(methods) = router.find(&Method::DELETE, "/login") else { panic!("found") };
        assert_eq!(methods, ["GET", "POST"]);
        for path in ["/", "/admin/", "/admin/x", "/admin/api/accounts//suspend", "/admin/api/accounts/a/b/suspend"] {
            assert!(matches!(router.find(&Method::GET, path), MatchedRoute::Nothing), "{path}");
        }
    }
}
