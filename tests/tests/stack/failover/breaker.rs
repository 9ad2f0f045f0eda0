//! Effect of failures on the primary's share, and the different effects of a budget, a rate limit and rejected
//! credentials.

use levee::breaker::{Mode, Reason};
use levee::metering::Month;
use serde_json::{Value, json};
use tests::{Stack, wait_for};

use super::provider::{JSON, answer, both, message, puppet};
use super::{builder, call, call_until, course, decision, seen, status, undecided};

#[tokio::test]
async fn a_primary_that_fails_is_given_up_and_calls_go_to_the_backup_at_once() {
    let stack = builder().start().await;
    stack.script("primary", status(500)).await;
    let given_up = async |_: &tests::Answer| decision(&stack, "primary").await.mode == Mode::Open;
    assert_eq!(call_until(&stack, given_up).await.status, 200);
    // At little traffic even a few bad results leave a share too small to be of use.
    let reason = decision(&stack, "primary").await.reason;
    assert!([Reason::Failing, Reason::Erring].contains(&reason), "{reason}");
    let before = stack.requests("primary").await;
    for is_streamed in [true, false] {
        let answer = call(&stack, is_streamed).await;
        // The environment's own breaker or the shared one may be the reason.
        let (provider, attempts, reason) = course(&answer);
        assert_eq!((answer.status, provider, attempts), (200, "backup", "1"), "{answer:?}");
        assert!(reason.starts_with("breaker-"), "{reason}");
    }
    assert_eq!(stack.requests("primary").await, before);
}

#[tokio::test]
async fn in_a_dry_run_breakers_say_what_they_would_do_and_every_call_goes_to_the_primary_first() {
    let stack = undecided().start().await;
    stack.script("primary", status(500)).await;
    let mut calls = 0;
    let transitions = async || {
        let lines = stack.log_lines("ai-proxy").into_iter();
        lines.filter(|line| line["code"] == "breaker.transition").collect::<Vec<_>>()
    };
    let transition = wait_for(async || {
        calls += 1;
        assert_eq!(course(&call(&stack, calls % 2 == 0).await), ("backup", "2", "error"));
        transitions().await.into_iter().find(|line| line["to"] == "open")
    })
    .await;
    assert_eq!(transition["Provider"], "primary", "{transition}");
    assert!([json!("failing"), json!("erring")].contains(&transition["reason"]), "{transition}");
    for _ in 0..3 {
        calls += 1;
        assert_eq!(course(&call(&stack, false).await), ("backup", "2", "error"));
    }
    assert_eq!(stack.requests("primary").await, calls);
}

/// Runs the monitor and returns the subjects of all messages that SNS has received.
pub async fn subjects(stack: &Stack) -> Vec<String> {
    let answer = stack.control("POST", "/monitor/run", Value::Null).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    let shown = stack.control("GET", "/alerts", Value::Null).await.json();
    shown["messages"].as_array().unwrap().iter().map(|it| it["subject"].as_str().unwrap().to_owned()).collect()
}

#[tokio::test]
async fn a_primary_that_refuses_the_platforms_credentials_is_told_of_once_and_not_given_up() {
    let stack = builder().start().await;
    for code in [401, 403, 401, 403] {
        stack.script("primary", status(code)).await;
        let answer = call(&stack, code == 403).await;
        assert_eq!((answer.status, course(&answer)), (200, ("backup", "2", "refused")), "{answer:?}");
    }
    // The second run finds the breadcrumbs of the first.
    subjects(&stack).await;
    let mut subjects = subjects(&stack).await;
    subjects.retain(|subject| subject.contains("credentials"));
    assert_eq!(subjects.len(), 1, "{subjects:?}");
    assert!(subjects[0].contains("primary"), "{subjects:?}");
    let (decided, seen) = (decision(&stack, "primary").await, seen(&stack, "primary").await);
    assert_eq!((decided.mode, seen.bad, seen.throttled), (Mode::Closed, 0, 0));
}

#[tokio::test]
async fn a_spent_budget_gives_the_primary_up_until_its_date() {
    let (primary, backup) = (puppet().await, puppet().await);
    let stack = builder().env("AI_PROVIDERS", &both(&primary, &backup)).start().await;
    let month_ends = Month::from_timestamp(stack.now()).0.ends_at();
    let date = &month_ends.to_rfc3339()[..10];
    let sentence =
        format!("You have reached your specified API usage limits. You will regain access on {date} at 00:00 UTC.");
    let body = json!({ "type": "error", "error": { "type": "invalid_request_error", "message": sentence } });
    primary.says(&[&answer("400 Bad Request", JSON, &body.to_string())]);
    backup.says(&[&message("backup", false)]);

    assert_eq!(course(&call(&stack, false).await), ("backup", "2", "spent"));
    call_until(&stack, async |_| decision(&stack, "primary").await.mode == Mode::Open).await;
    let decided = decision(&stack, "primary").await;
    assert_eq!((decided.reason, decided.not_before), (Reason::Spent, month_ends));
    let before = primary.bodies().len();
    assert_eq!(course(&call(&stack, false).await), ("backup", "1", "breaker-open"));
    stack.advance(3600).await;
    assert_eq!(course(&call(&stack, false).await), ("backup", "1", "breaker-open"));
    assert_eq!(primary.bodies().len(), before);
}

#[tokio::test]
async fn a_primary_that_asks_to_be_left_alone_is_and_is_never_given_up() {
    let stack = builder().start().await;
    stack.script("primary", json!({ "status": 429, "retry_after": 120 })).await;
    let answer = call(&stack, false).await;
    assert_eq!((answer.status, course(&answer)), (200, ("backup", "2", "throttled")), "{answer:?}");
    assert_eq!(seen(&stack, "primary").await.throttled, 1);
    stack.reset("primary").await;
    for _ in 0..10 {
        assert_eq!(course(&call(&stack, false).await), ("backup", "1", "breaker-open"));
    }
    assert_eq!(decision(&stack, "primary").await.mode, Mode::Closed);
    stack.advance(121).await;
    assert_eq!(course(&call(&stack, false).await), ("primary", "1", ""));
}

#[tokio::test]
async fn a_primary_that_limits_the_platform_gets_fewer_calls_and_is_never_given_up() {
    let stack = builder().start().await;
    stack.script("primary", status(429)).await;
    call_until(&stack, async |_| decision(&stack, "primary").await.mode == Mode::Shed).await;
    assert_eq!(decision(&stack, "primary").await.reason, Reason::Throttled);
    for _ in 0..30 {
        assert_eq!(call(&stack, false).await.status, 200);
    }
    let decided = decision(&stack, "primary").await;
    assert_eq!((decided.mode, decided.reason), (Mode::Shed, Reason::Throttled), "{decided:?}");
}
