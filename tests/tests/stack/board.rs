//! The System Health board: authorization, signing in, and the display while parts of the platform are down.

#![expect(clippy::unwrap_used, reason = "helpers of tests are tests")]

mod access;
mod actions;
mod audit;
mod breakers;
mod health;
mod sign_in;
mod snapshot;

use tests::Answer;

const SESSION: &str = "__Host-levee-session";

/// Paths that end the session of the request.
const SIGN_OUTS: [&str; 2] = ["/logout", "/admin/sign-out-everywhere"];

const SUSPEND: &str = "/admin/api/accounts/acme/suspend";

/// Replaces the parameter of a route's path by an existing id.
fn real(path: &str) -> String {
    path.replace("{id}", if path.contains("/breakers/") { "primary" } else { "acme" })
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
