//! Signing in and out.

use health_api::routes::{ROUTES, answers_json};
use reqwest::Method;
use rstest::rstest;
use serde_json::json;
use tests::{Builder, Stack, token_of, wait_for};

use super::{SESSION, SUSPEND, add_violation, assert_page, real};

#[rstest]
#[case::at_the_root(None)]
#[case::under_a_stage(Some("prod"))]
#[tokio::test]
async fn an_admin_signs_in_looks_around_and_signs_out(#[case] stage: Option<&str>) {
    let builder = Stack::builder().with_demo();
    let stack = match stage {
        Some(stage) => builder.stage(stage).start().await,
        None => builder.start().await,
    };
    let prefix = stage.map(|stage| format!("/{stage}")).unwrap_or_default();
    let mut browser = stack.browser();
    let (email, password) = stack.admin();

    // Without a session, the board redirects to the form.
    assert_eq!(browser.get("/admin").await.header("location"), format!("{prefix}/login"));
    assert_page(&browser.get("/login").await, &prefix);
    // A path that cannot be decoded changes no link.
    for path in ["/admin/%ff", "/admin/%", "/admin/%2fadmin", "/admin/%25ff/%e2%82"] {
        assert_page(&browser.get(path).await, &prefix);
    }
    for path in ["/v1/v1/%ff", "/v1/v1%2f%", "/%2fv1/v1"] {
        let detail = browser.get(path).await.json()["detail"].as_str().unwrap().to_owned();
        assert!(detail.ends_with(&format!("before /v1: {}", stack.url(""))), "{path}: {detail}");
    }
    let answer = browser.sign_in(email, password).await;
    assert_eq!((answer.status, answer.header("location")), (303, format!("{prefix}/admin").as_str()));
    let session = browser.set_cookies.iter().find(|line| line.starts_with(SESSION)).unwrap();
    for part in ["HttpOnly", "Secure", "SameSite=Strict", "Path=/", "Max-Age=43200"] {
        assert!(session.split("; ").any(|it| it == part), "{part} is missing: {session}");
    }

    add_violation(&stack).await;
    for (_, path, ..) in ROUTES.iter().filter(|(method, path, ..)| *method == Method::GET && path.starts_with("/admin"))
    {
        let answer = browser.get(&real(path)).await;
        assert_eq!(answer.status, 200, "{path}: {answer:?}");
        assert!(!answer.header("x-levee-request-id").is_empty() && answer.header("cache-control") == "no-store");
        if answers_json(path) {
            assert_eq!(answer.header("content-type"), "application/json");
        } else {
            assert_page(&answer, &prefix);
        }
    }
    let answer = browser.submit("/admin/accounts/globex/suspend").await;
    assert_eq!((answer.status, answer.header("location")), (303, format!("{prefix}/admin/accounts").as_str()));
    assert!(browser.get("/admin/accounts").await.text().contains("Resume Globex Retail"));

    let left = browser.clone();
    assert_eq!(browser.submit("/logout").await.header("location"), format!("{prefix}/login"));
    assert_eq!(browser.cookie(SESSION), "", "the cookie is gone");
    assert_eq!(left.clone().get("/admin").await.status, 303, "and the session too");

    let audit = stack.signed_in(stack.admin()).await.get("/admin/api/audit?limit=4").await.json();
    let actions: Vec<_> = audit["entries"].as_array().unwrap().iter().map(|entry| &entry["action"]).collect();
    assert_eq!(actions, ["session.sign-in", "session.sign-out", "account.suspend", "session.sign-in"]);
}

#[tokio::test]
async fn a_sign_in_that_is_refused_tells_nothing_and_leaves_no_address() {
    let stack = Stack::builder().env("LIMIT_LOGIN_PER_ADDRESS", "0").start().await;
    let (email, password) = stack.admin();
    let sentence = "The e-mail address or the password is wrong.";
    let stranger = "nobody@stranger.example";
    let mut pages = Vec::new();
    for (email, password) in [(email, "wrong but long enough"), (stranger, password), ("", ""), (email, "")] {
        let mut browser = stack.browser();
        let answer = browser.sign_in(email, password).await;
        assert_eq!(answer.status, 401, "{email}: {answer:?}");
        assert!(answer.text().contains(sentence) && browser.cookie(SESSION).is_empty());
        pages.push(answer.text().replace(&token_of(&answer), ""));
    }
    assert!(pages.iter().all(|page| *page == pages[0]), "the pages differ");

    // The admin can see it in the audit; the input of the stranger is not stored.
    let audit = stack.signed_in(stack.admin()).await.get("/admin/api/audit").await.json();
    let refused: Vec<_> =
        audit["entries"].as_array().unwrap().iter().filter(|it| it["action"] == "session.refused").collect();
    assert_eq!(refused.len(), 2, "{audit}");
    assert!(refused.iter().all(|entry| entry["target"] == email), "{refused:?}");
    let rows = stack.rows().await;
    assert!(!rows.iter().any(|row| row.contains("stranger.example") || row.contains("127.0.0.1")));

    // After several wrong passwords even the right one has to wait.
    let mut browser = stack.browser();
    let waiting = loop {
        let answer = browser.sign_in(email, "wrong but long enough").await;
        if answer.status != 401 {
            break answer;
        }
    };
    assert_eq!(waiting.status, 429, "{waiting:?}");
    assert!(waiting.header("retry-after").parse::<u64>().unwrap() >= 1);
    assert!(waiting.text().contains("too many attempts") && waiting.header("content-type").starts_with("text/html"));

    // The attempts are among the recent errors, without addresses.
    let mut admin = stack.signed_in(stack.viewer()).await;
    for code in ["login.refused", "login.blocked"] {
        let found = wait_for(async || {
            let found = admin.get(&format!("/admin/api/breadcrumbs?code={code}")).await.json();
            found["breadcrumbs"].get(0).cloned()
        })
        .await;
        assert_eq!((&found["function"], &found["severity"]), (&json!("health-api"), &json!("warning")), "{found}");
    }
    let log = stack.log("health-api").join("\n");
    assert!(!log.contains("stranger.example") && !log.contains(email), "{log}");
}

#[tokio::test]
async fn a_sign_in_ends_the_session_that_its_browser_had() {
    let stack = Stack::builder().start().await;
    let mut browser = stack.signed_in(stack.viewer()).await;
    let other = stack.signed_in(stack.viewer()).await;
    let before = browser.clone();
    let (email, password) = stack.admin();
    assert_eq!(browser.sign_in(email, "wrong but long enough").await.status, 401);
    assert_eq!(before.clone().get("/admin").await.status, 200, "a refused one ends nothing");
    assert_eq!(browser.sign_in(email, password).await.status, 303);
    assert_eq!(before.clone().get("/admin").await.status, 303);
    assert_eq!((browser.get("/admin").await.status, other.clone().get("/admin").await.status), (200, 200));
}

#[tokio::test]
async fn a_sign_in_is_told_where_its_limit_stands_and_while_redis_is_gone_that_nobody_knows() {
    let stack = Stack::builder().start().await;
    stack.skip_to_fresh_window().await;
    let (email, password) = stack.admin();
    for (attempt, password, status) in [(1, "wrong but long enough", 401), (2, password, 303)] {
        let answer = stack.browser().sign_in(email, password).await;
        assert_eq!(answer.status, status, "{answer:?}");
        assert_eq!(answer.list("ratelimit-policy")[0], ("login-address".to_owned(), vec![("q", 10), ("w", 60)]));
        let standing = &answer.list("ratelimit")[0];
        assert_eq!((standing.0.as_str(), standing.1[0]), ("login-address", ("r", 10 - attempt)));
        assert_eq!(answer.header("x-ratelimit-degraded"), "");
    }
    let without_form = stack.browser().post("/login", &[]).await;
    assert_eq!((without_form.status, without_form.list("ratelimit")[0].1[0]), (403, ("r", 7)), "{without_form:?}");

    stack.order("/redis/stop").await;
    let mut browser = stack.browser();
    let answer = browser.sign_in(email, password).await;
    assert_eq!((answer.status, answer.header("x-ratelimit-degraded")), (303, "redis"), "{answer:?}");
    assert_eq!(browser.get("/admin").await.status, 200);
}

#[rstest]
#[case::over_plain_http(Stack::builder(), "")]
#[case::over_https(Stack::builder().tls(), "max-age=31536000")]
#[case::behind_an_https_address(Stack::builder().env("BASE_URL", "https://levee.example"), "max-age=31536000")]
#[tokio::test]
async fn every_answer_is_what_it_says_for_this_site_alone_and_https_once_is_https_from_then_on(
    #[case] builder: Builder,
    #[case] strict: &str,
) {
    let stack = builder.start().await;
    let mut browser = stack.browser();
    for (path, status) in
        [("/login", 200), ("/health", 200), ("/admin", 303), ("/admin/api/audit", 401), ("/admin/x", 404)]
    {
        let answer = browser.get(path).await;
        let names = ["x-content-type-options", "cross-origin-resource-policy", "strict-transport-security"];
        let headers = names.map(|name| answer.header(name));
        assert_eq!((answer.status, headers), (status, ["nosniff", "same-origin", strict]), "{path}: {answer:?}");
    }
}

#[tokio::test]
async fn a_sign_in_needs_the_form_of_this_very_browser() {
    let stack = Stack::builder().env("LIMIT_LOGIN_PER_ADDRESS", "0").start().await;
    let (email, password) = stack.admin();
    let token = token_of(&stack.browser().get("/login").await);
    let fields = [("csrf", token.as_str()), ("email", email), ("password", password)];

    // An attacker's form, with the attacker's token and without the cookie.
    let answer = stack.browser().post("/login", &fields).await;
    assert_eq!(answer.status, 403, "{answer:?}");
    // The victim's cookie with another token.
    let mut victim = stack.browser();
    victim.get("/login").await;
    assert_eq!(victim.post("/login", &fields).await.status, 403);
    // An empty cookie does not match an empty field.
    let mut empty = stack.browser();
    empty.set_cookie("__Host-levee-login", "");
    assert_eq!(empty.post("/login", &[("csrf", ""), ("email", email), ("password", password)]).await.status, 403);

    let post = |body: String, kind: &str| {
        stack.client().post(stack.url("/login")).header("content-type", kind.to_owned()).body(body)
    };
    let form = "application/x-www-form-urlencoded";
    let elsewhere = post(String::new(), form).header("origin", "https://evil.example");
    assert_eq!(stack.browser().send(elsewhere).await.status, 403);
    let large = post(format!("csrf={}", "x".repeat(8 * 1024)), form).header("origin", stack.origin());
    assert_eq!(stack.browser().send(large).await.status, 413);
    let json = post(json!({ "email": email, "password": password }).to_string(), "application/json");
    assert_eq!(stack.browser().send(json.header("origin", stack.origin())).await.status, 415);

    // A second tab does not invalidate the first one's form.
    let mut browser = stack.browser();
    let first = token_of(&browser.get("/login").await);
    browser.get("/login").await;
    assert_eq!(browser.post("/login", &[("csrf", &first), ("email", email), ("password", password)]).await.status, 303);
}

#[tokio::test]
async fn behind_another_address_the_board_is_that_addresss() {
    let stack = Stack::builder().env("BASE_URL", "https://levee.example/gate").start().await;
    let (email, password) = stack.admin();
    let mut browser = stack.browser();
    let token = token_of(&browser.get("/login").await);
    let body = format!("csrf={token}&email={email}&password={password}");
    let form = "application/x-www-form-urlencoded";
    let post = || stack.client().post(stack.url("/login")).header("content-type", form).body(body.clone());
    let answer = browser.send(post().header("origin", stack.origin())).await;
    assert_eq!(answer.status, 403, "the gateway's own address is another site: {answer:?}");
    let answer = browser.send(post().header("origin", "https://levee.example")).await;
    assert_eq!((answer.status, answer.header("location")), (303, "/gate/admin"), "{answer:?}");
    assert_page(&browser.get("/admin").await, "/gate");
}

#[tokio::test]
async fn the_11th_sign_in_of_an_address_within_a_minute_is_a_429_page() {
    let stack = Stack::builder().start().await;
    stack.skip_to_fresh_window().await;
    let mut browser = stack.browser();
    let token = token_of(&browser.get("/login").await);
    for attempt in 1..=10 {
        let email = format!("nobody{attempt}@levee.local");
        let answer = browser.post("/login", &[("csrf", &token), ("email", &email), ("password", "wrong")]).await;
        assert_eq!(answer.status, 401, "attempt {attempt}: {answer:?}");
    }
    let (email, password) = stack.admin();
    let answer = browser.post("/login", &[("csrf", &token), ("email", email), ("password", password)]).await;
    assert_eq!(answer.status, 429, "{answer:?}");
    assert!(answer.header("content-type").starts_with("text/html"), "{answer:?}");
    let retry_after: u64 = answer.header("retry-after").parse().unwrap();
    assert!((1..=60).contains(&retry_after));
    assert_eq!(answer.list("ratelimit")[0].1[0], ("r", 0), "{answer:?}");
    assert!(!answer.header("x-levee-request-id").is_empty());

    stack.advance(retry_after).await;
    assert_eq!(browser.sign_in(email, password).await.status, 303);
}

#[tokio::test]
async fn while_the_tables_are_down_nobody_is_signed_in_and_everybody_is_told_so() {
    let stack = Stack::builder().env("DYNAMODB_TIMEOUT_MS", "500").start().await;
    let mut admin = stack.signed_in(stack.admin()).await;
    let token = admin.token().await;
    stack.order("/dynamodb/stop").await;

    let (email, password) = stack.admin();
    let answers = [
        stack.browser().sign_in(email, password).await,
        admin.get("/admin").await,
        admin.post("/logout", &[("csrf", &token)]).await,
    ];
    for answer in answers {
        assert_eq!((answer.status, answer.header("retry-after")), (503, "5"), "{answer:?}");
        assert!(answer.header("content-type").starts_with("text/html"));
    }
    let answer = admin.get("/admin/api/snapshot").await;
    assert_eq!((answer.status, &answer.json()["code"]), (503, &json!("store_unavailable")));

    stack.order("/dynamodb/start").await;
    assert_eq!(admin.get("/admin").await.status, 200);
}

#[tokio::test]
async fn no_password_no_token_and_no_address_is_in_a_log() {
    let stack = Stack::builder().env("RUST_LOG", "trace").start().await;
    let (email, password) = stack.admin();
    let mut admin = stack.signed_in(stack.admin()).await;
    let token = admin.token().await;
    let wrong = stack.browser().sign_in(email, "a wrong one that is long").await;
    assert_eq!(wrong.status, 401);
    let proxied = stack.client().get(stack.url("/admin/errors?account=query-of-mine"));
    assert_eq!(admin.send(proxied.header("x-forwarded-for", "198.51.100.77")).await.status, 200);
    assert_eq!(admin.post(SUSPEND, &[("csrf", &token)]).await.status, 200);
    let last = admin.get("/admin").await;
    let event = stack.wide_event("health-api", last.header("x-levee-request-id")).await;
    assert_eq!((&event["route"], &event["outcome"], &event["status"]), (&json!("/admin"), &json!("ok"), &json!(200)));

    let log = stack.log("health-api").join("\n");
    for secret in [password, "a wrong one", email, &token, admin.cookie(SESSION), "query-of-mine", "198.51.100.77"] {
        assert!(!log.contains(secret), "'{secret}' is in the log");
    }
}
