//! The System Health board: authorization, signing in, and the display while parts of the platform are down.

#![expect(clippy::unwrap_used, reason = "helpers of tests are tests")]

mod access;
mod actions;
mod audit;
mod breakers;
mod health;
mod sign_in;
mod snapshot;

use std::sync::LazyLock;

use levee::csp::counter::{Example, Meaning};
use levee::csp::table::GroupMinute;
use levee::csp::{Class, CspTable, Directive, Group};
use tests::{Answer, Stack};

const SESSION: &str = "__Host-levee-session";

/// Paths that end the session of the request.
const SIGN_OUTS: [&str; 2] = ["/logout", "/admin/sign-out-everywhere"];

const SUSPEND: &str = "/admin/api/accounts/acme/suspend";

/// Group of CSP reports that [`add_violation`] writes.
static VIOLATION: LazyLock<Group> = LazyLock::new(|| Group {
    project: "levee".to_owned(),
    directive: Directive::parse("img-src").unwrap(),
    class: Class::External,
    blocked: "https://evil.example".to_owned(),
    document: "levee.example/login".to_owned(),
});

/// Replaces the parameter of a route's path by an existing id; that of CSP groups exists after [`add_violation`].
pub(crate) fn real(path: &str) -> String {
    let violation = format!("levee.{}", VIOLATION.id());
    path.replace(
        "{id}",
        match path {
            path if path.contains("/breakers/") => "primary",
            path if path.contains("/csp/") => &violation,
            _ => "acme",
        },
    )
}

/// Writes a group of CSP reports, as the monitor does.
pub(crate) async fn add_violation(stack: &Stack) {
    let row = GroupMinute {
        id: VIOLATION.id(),
        meaning: Meaning { group: VIOLATION.clone(), example: Example::default() },
        reports: 7,
        browsers: [("chrome".to_owned(), 7)].into(),
        versions: [("other".to_owned(), 7)].into(),
        reach: 3,
    };
    let table = CspTable::new(stack.dynamodb(), "Csp");
    let minute = stack.now().as_secs() / 60;
    assert!(table.fold_group(&"levee".parse().unwrap(), minute, &row).await.unwrap());
}

/// Asserts the properties that every page has to have.
fn assert_page(page: &Answer, prefix: &str) {
    assert_eq!(page.header("content-type"), "text/html; charset=utf-8", "{page:?}");
    let policy = page.header("content-security-policy");
    assert!(policy.starts_with("default-src 'none'; style-src 'sha256-"), "{policy}");
    for rule in ["form-action 'self'", "base-uri 'none'", "frame-ancestors 'none'"] {
        assert!(policy.contains(rule), "{rule} is missing: {policy}");
    }
    let headers = ["cache-control", "referrer-policy", "x-content-type-options", "x-frame-options"];
    assert_eq!(headers.map(|name| page.header(name)), ["no-store", "no-referrer", "nosniff", "DENY"]);
    assert_eq!(page.header("cross-origin-resource-policy"), "same-origin");
    assert_eq!(page.header("cross-origin-opener-policy"), "same-origin");
    assert!(page.header("permissions-policy").contains("camera=()"), "{page:?}");
    let text = page.text();
    assert!(!text.contains("<script") && !text.contains(" style="), "{text}");
    for part in ["<main", "<h1>", "lang=\"en\"", "width=device-width", "<header"] {
        assert!(text.contains(part), "{part} is missing: {text}");
    }
    for link in text.split(" href=\"").chain(text.split(" action=\"")).skip(1).filter(|rest| rest.starts_with('/')) {
        assert!(link.starts_with(&format!("{prefix}/")), "a link leads elsewhere: {}", link.split('"').next().unwrap());
    }
}
