//! Requests of customers: decided by operators, in force at the next call.

use serde_json::{Value, json};
use tests::{Stack, messages};

use super::{Run, levee};

/// Starts a stack whose account may make five calls a minute; its requests wait, because it is new.
async fn stack() -> Stack {
    Stack::builder().env("LIMIT_ACCOUNT_PER_MINUTE", "5").environments("authorizer=2").start().await
}

/// Makes a request for ten calls a minute, and returns its id.
async fn request(stack: &Stack, key: &str) -> String {
    let body = json!({ "policy": "account", "limit": 10, "reason": "Launch day" });
    let post = stack.client().post(stack.url("/v1/quota/requests")).header("x-api-key", stack.api_key());
    let answer = tests::Answer::read(post.header("idempotency-key", key).json(&body).send().await.unwrap()).await;
    let made = answer.json();
    assert_eq!((answer.status, &made["state"]), (201, &json!("pending")), "{made}");
    made["id"].as_str().unwrap().to_owned()
}

/// Returns the limit that the account's next call is counted under.
async fn limit(stack: &Stack) -> String {
    let answer = stack.call("/v1/messages", &messages("Hello")).await;
    let policies = answer.header("ratelimit-policy").to_owned();
    let account = policies.split(", ").find(|policy| policy.starts_with("\"account\""));
    account.unwrap_or_else(|| panic!("{answer:?}")).to_owned()
}

async fn run(stack: &Stack, command: &str) -> Run {
    levee(stack, command).await
}

#[tokio::test]
async fn a_part_of_a_request_is_granted_at_once_until_its_end() {
    let stack = stack().await;
    assert!(run(&stack, "request list").await.ok().stderr.contains("no requests"));
    let id = request(&stack, "one").await;
    // The list follows the table within about a second.
    let listed = tests::wait_for(async || {
        let listed = run(&stack, "request list --json").await.ok().json();
        (listed[0]["id"] == id.as_str()).then_some(listed)
    })
    .await;
    assert_eq!((&listed[0]["rule"], &listed[0]["evidence"]["pool"]["share"]), (&json!("age"), &json!(1200)));
    let shown = run(&stack, &format!("request show acme {id}")).await.ok();
    assert!(shown.stdout.contains("5 -> 10") && shown.stdout.contains("Launch day"), "{shown:?}");

    // More than was asked for, no more than before, and an end in the past are refused.
    for (more, code, said) in [
        ("--limit 11", 1, "at most the requested 10"),
        ("--limit 5", 1, "above the present 5"),
        ("--until 2020-01-01", 2, "in the past"),
    ] {
        run(&stack, &format!("request approve acme {id} {more}")).await.fails(code, said);
        assert_eq!(limit(&stack).await, r#""account";q=5;w=60"#, "{more}");
    }
    stack.skip_to_fresh_window().await;
    let approved = run(&stack, &format!("request approve acme {id} --limit 8 --until 2h --json")).await.ok();
    let view = approved.json();
    assert_eq!((&view["state"], &view["granted"]), (&json!("partially-approved"), &json!(8)), "{view}");
    assert_eq!((&view["grant"]["state"], &view["effective"]), (&json!("active"), &json!("at once")));
    for _ in 0..3 {
        assert_eq!(limit(&stack).await, r#""account";q=8;w=60"#);
    }
    // The customer sees the decision and no name.
    let seen = stack.get(&format!("/v1/quota/requests/{id}")).await.json();
    assert_eq!((&seen["granted"], &seen["events"][1]["by"]), (&json!(8), &json!("the platform")), "{seen}");
    assert_eq!(seen["evidence"]["pool"], Value::Null);
    // It is decided once.
    run(&stack, &format!("request deny acme {id} --reason No")).await.fails(1, "only a pending one");

    stack.advance(7300).await;
    assert_eq!(limit(&stack).await, r#""account";q=5;w=60"#);
    assert!(run(&stack, &format!("request show acme {id}")).await.ok().stdout.contains("(expired)"));
    let audit = run(&stack, "audit --json").await.ok().stdout;
    assert!(audit.contains("request.approve") && audit.contains("account: 5 -> 8 until"), "{audit}");
}

#[tokio::test]
async fn a_request_is_denied_for_a_reason_and_a_grant_is_taken_back_at_once() {
    let stack = stack().await;
    let id = request(&stack, "one").await;
    run(&stack, &format!("request deny acme {id} --reason Not-before-June")).await.ok();
    let seen = stack.get(&format!("/v1/quota/requests/{id}")).await.json();
    assert_eq!((&seen["state"], &seen["explanation"]), (&json!("denied"), &json!("Not-before-June")), "{seen}");

    let id = request(&stack, "two").await;
    run(&stack, &format!("request approve acme {id}")).await.ok();
    assert_eq!(limit(&stack).await, r#""account";q=10;w=60"#);
    run(&stack, &format!("request revoke acme {id} --reason Over")).await.ok();
    assert_eq!(limit(&stack).await, r#""account";q=5;w=60"#);
    assert_eq!(stack.get(&format!("/v1/quota/requests/{id}")).await.json()["grant"]["state"], "revoked");
    run(&stack, &format!("request revoke acme {id} --reason Over")).await.fails(1, "no grant in force");
    for unknown in ["acme qr-0", "nobody qr-0"] {
        run(&stack, &format!("request approve {unknown}")).await.fails(1, "has no request qr-0");
    }
}

#[tokio::test]
async fn a_limit_is_tried_on_what_was_recorded() {
    let stack = stack().await;
    run(&stack, "limit try acme account --limit 3").await.fails(1, "no statistics");
    stack.place_clock(24 * 3600, 12 * 3600).await;
    for _ in 0..4 {
        limit(&stack).await;
    }
    stack.advance(70).await;
    stack.order("/monitor/run").await;
    for (tried, over) in [(3, 1), (4, 0), (9, 0)] {
        let told = run(&stack, &format!("limit try acme account --limit {tried} --json")).await.ok().json();
        let exactly = json!({ "at_least": over, "at_most": over });
        assert_eq!(
            (&told["windows"], &told["windows_over"], &told["days_over"]),
            (&json!(1), &exactly, &exactly),
            "{told}"
        );
    }
    run(&stack, "limit try acme in-flight --limit 3").await.fails(2, "calls in flight");
    run(&stack, "limit try platform global --limit 3").await.fails(2, "by account");
}
