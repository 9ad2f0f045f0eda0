//! Authorization of the board, route by route.

use health_api::routes::{Access, ROUTES, answers_json};
use levee::accounts::{AccountsTable, Status};
use levee::admins::{Admin, AdminsTable, PasswordHash, Role};
use levee::breaker::{BreakerState, BreakersTable};
use reqwest::Method;
use serde_json::json;
use tests::{Answer, Browser, Stack};

use super::{SESSION, SIGN_OUTS, SUSPEND, add_violation, assert_page, real};

/// Returns the routes that need a session: method, path with an existing id, and role.
fn guarded() -> Vec<(Method, String, Role)> {
    let guarded = ROUTES.iter().filter_map(|(method, path, access, _)| match access {
        Access::SignedIn(role) => Some((method.clone(), real(path), *role)),
        Access::Anyone | Access::SigningIn => None,
    });
    guarded.collect()
}

/// Returns the state that a refused request must not change.
async fn state_of(stack: &Stack) -> (Status, BreakerState, usize) {
    let account = AccountsTable::new(stack.dynamodb(), "Accounts").account("acme").await.unwrap().unwrap().account;
    let now = stack.now();
    let audit = AdminsTable::new(stack.dynamodb(), "Admins").audit_log(1_000, now).await.unwrap();
    let breaker = BreakersTable::new(stack.dynamodb(), "Breakers").read("primary").await.unwrap();
    (account.status, breaker, audit.iter().filter(|entry| !entry.action.starts_with("session.sign-in")).count())
}

fn assert_signed_out(answer: &Answer, path: &str, which: &str, stack: &Stack) {
    if answers_json(path) {
        assert_eq!(answer.status, 401, "{path}, {which}: {answer:?}");
        assert_eq!(answer.header("content-type"), "application/problem+json");
        assert_eq!(answer.json()["code"], "signed_out");
        assert_eq!(answer.json()["request_id"], answer.header("x-levee-request-id"));
    } else {
        let login = stack.url("/login").replace(&stack.origin(), "");
        assert_eq!((answer.status, answer.header("location")), (303, login.as_str()), "{path}, {which}: {answer:?}");
    }
}

fn assert_forbidden(answer: &Answer, path: &str, code: &str) {
    assert_eq!(answer.status, 403, "{path}: {answer:?}");
    if answers_json(path) {
        assert_eq!(answer.json()["code"], code, "{path}");
    } else {
        assert_eq!(answer.header("content-type"), "text/html; charset=utf-8", "{path}");
    }
}

/// Sends a request that is complete except for a valid session.
async fn ask(browser: &mut Browser<'_>, method: &Method, path: &str, token: &str) -> Answer {
    match *method {
        Method::GET => browser.get(path).await,
        _ => browser.post(path, &[("csrf", token)]).await,
    }
}

#[tokio::test]
async fn every_route_of_admins_refuses_whoever_has_no_session_and_changes_nothing() {
    let stack = Stack::builder().start().await;
    let admins = AdminsTable::new(stack.dynamodb(), "Admins");
    let (email, password) = ("gone@levee.local", "correct horse battery staple");
    let gone = Admin {
        email: email.to_owned(),
        role: Role::Operator,
        password: PasswordHash::new(password).unwrap(),
        created_at: 0,
        sessions_from: 0,
    };
    assert!(admins.create(&gone).await.unwrap());

    let good = stack.signed_in(stack.admin()).await;
    let mut tampered = good.clone();
    let last = if good.cookie(SESSION).ends_with('0') { "1" } else { "0" };
    tampered.set_cookie(SESSION, &format!("{}{last}", &good.cookie(SESSION)[..good.cookie(SESSION).len() - 1]));
    let mut made_up = stack.browser();
    made_up.set_cookie(SESSION, &"a".repeat(64));
    let mut nonsense = stack.browser();
    nonsense.set_cookie(SESSION, "'; DROP TABLE");
    let elsewhere = Stack::builder().start().await;
    let mut at_home = elsewhere.signed_in(elsewhere.admin()).await;
    assert_eq!(at_home.get("/admin").await.status, 200, "it is good where it began");
    let mut foreign = stack.browser();
    foreign.set_cookie(SESSION, at_home.cookie(SESSION));
    let deleted = stack.signed_in((email, password)).await;
    let mut everywhere = stack.signed_in(stack.viewer()).await;
    let signed_out = everywhere.clone();
    assert_eq!(everywhere.submit("/admin/sign-out-everywhere").await.status, 303);
    assert!(admins.delete(email).await.unwrap());
    let token = good.clone().token().await;
    let before = state_of(&stack).await;

    let strangers = [
        ("without a session", stack.browser()),
        ("tampered with", tampered),
        ("made up", made_up),
        ("nonsense", nonsense),
        ("of another stack", foreign),
        ("of a deleted admin", deleted),
        ("signed out everywhere", signed_out),
    ];
    for (method, path, _) in guarded() {
        for (which, browser) in &strangers {
            let answer = ask(&mut browser.clone(), &method, &path, &token).await;
            assert_signed_out(&answer, &path, which, &stack);
        }
    }
    assert_eq!(state_of(&stack).await, before);
    assert_eq!(good.clone().get("/admin").await.status, 200, "nothing ended the good session");

    // The session expires after twelve hours, even if it is in use.
    stack.advance(11 * 3600 + 3000).await;
    assert_eq!(good.clone().get("/admin").await.status, 200);
    stack.advance(601).await;
    for (method, path, _) in guarded() {
        let answer = ask(&mut good.clone(), &method, &path, &token).await;
        assert_signed_out(&answer, &path, "expired", &stack);
    }
    assert_eq!(state_of(&stack).await, before);
}

#[tokio::test]
async fn whatever_changes_something_must_come_from_a_page_of_the_same_session() {
    let stack = Stack::builder().start().await;
    let mut admin = stack.signed_in(stack.admin()).await;
    let token = admin.token().await;
    let foreign_token = stack.signed_in(stack.admin()).await.token().await;
    let before = state_of(&stack).await;

    for (method, path, _) in guarded().into_iter().filter(|(method, ..)| *method != Method::GET) {
        let request = || stack.client().request(method.clone(), stack.url(&path)).header("x-levee-csrf", &token);
        for (origin, site) in [
            (Some("https://evil.example"), None),
            (Some("https://evil.example"), Some("same-origin")),
            (Some("null"), None),
            (Some("null"), Some("cross-site")),
            (None, Some("same-site")),
            (None, Some("none")),
            (None, None),
        ] {
            let mut request = request();
            for (name, value) in [("origin", origin), ("sec-fetch-site", site)] {
                if let Some(value) = value {
                    request = request.header(name, value);
                }
            }
            assert_forbidden(&admin.clone().send(request).await, &path, "cross_site");
        }
        for fields in [&[][..], &[("csrf", "")], &[("csrf", &foreign_token[..])], &[("csrf", &token[1..])]] {
            assert_forbidden(&admin.clone().post(&path, fields).await, &path, "form_token");
        }
        let in_header = stack.client().request(method.clone(), stack.url(&path)).header("origin", stack.origin());
        let in_header = in_header.header("x-levee-csrf", &foreign_token);
        assert_forbidden(&admin.clone().send(in_header).await, &path, "form_token");
    }
    assert_eq!(state_of(&stack).await, before);
    assert_eq!(admin.get("/admin").await.status, 200, "nothing ended the session");

    // A script with a session sends its token in a header.
    let script =
        stack.client().post(stack.url(SUSPEND)).header("origin", stack.origin()).header("x-levee-csrf", &token);
    let answer = admin.send(script).await;
    assert_eq!((answer.status, &answer.json()["status"]), (200, &json!("suspended")), "{answer:?}");
}

#[tokio::test]
async fn a_viewer_looks_at_everything_and_changes_nothing() {
    let stack = Stack::builder().start().await;
    add_violation(&stack).await;
    let viewer = stack.signed_in(stack.viewer()).await;
    let token = viewer.clone().token().await;
    let before = state_of(&stack).await;
    // Leave out signing out: viewers may do it, and it would end the session of this test.
    for (method, path, role) in guarded().into_iter().filter(|(_, path, _)| !SIGN_OUTS.contains(&path.as_str())) {
        let answer = ask(&mut viewer.clone(), &method, &path, &token).await;
        match role {
            Role::Operator => assert_forbidden(&answer, &path, "role"),
            Role::Viewer => assert_eq!((method, answer.status), (Method::GET, 200), "{path}: {answer:?}"),
        }
    }
    assert_eq!(state_of(&stack).await, before);
    assert!(!viewer.clone().get("/admin/accounts").await.text().contains("/suspend"), "there is a button");
}

#[tokio::test]
async fn what_is_not_there_is_404_and_another_method_is_405() {
    let stack = Stack::builder().start().await;
    let mut browser = stack.browser();
    let page = browser.get("/admin/nothing").await;
    assert_eq!(page.status, 404, "{page:?}");
    assert_page(&page, "");
    let program = browser.get("/admin/api/nothing").await;
    assert_eq!((program.status, program.header("content-type")), (404, "application/problem+json"));
    let put = stack.client().put(stack.url("/admin/api/accounts/acme/suspend"));
    let put = browser.send(put).await;
    assert_eq!((put.status, put.header("allow"), &put.json()["code"]), (405, "POST", &json!("method_not_allowed")));
    let head = browser.send(stack.client().delete(stack.url("/admin"))).await;
    assert_eq!((head.status, head.header("allow")), (405, "GET"));
}
