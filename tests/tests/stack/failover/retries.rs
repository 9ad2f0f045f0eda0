//! Retries at the same provider: for transient failures, once per provider, and within a budget.

use serde_json::json;
use tests::{Builder, Stack};

use super::provider::{alone, answer, message, message_body, puppet};
use super::{builder, call, course, status, undecided};

const OVERLOADED: &str = r#"{"type":"error","error":{"type":"overloaded_error","message":"Overloaded"}}"#;

/// Works as [`undecided`], with a retry budget of this percentage of calls.
fn retrying(percent: &str) -> Builder {
    undecided().env("AI_RETRY_BUDGET_PERCENT", percent)
}

fn failure() -> String {
    answer("529 Overloaded", "application/json", OVERLOADED)
}

#[tokio::test]
async fn a_single_failure_of_the_only_provider_is_nothing_that_a_client_sees() {
    let only = puppet().await;
    let stack = builder().env("AI_RETRY_BUDGET_PERCENT", "100").env("AI_PROVIDERS", &alone(&only)).start().await;
    for is_streamed in [true, false] {
        only.says(&[&failure(), &message("only", is_streamed)]);
        let answer = call(&stack, is_streamed).await;
        assert_eq!((answer.status, course(&answer)), (200, ("primary", "2", "")), "{answer:?}");
        assert_eq!(answer.text(), message_body("only", is_streamed));
    }
}

async fn attempts(stack: &Stack) -> String {
    call(stack, false).await.header("x-levee-attempts").to_owned()
}

/// Makes calls that increase the budget and do not use it.
async fn earn(stack: &Stack, calls: usize) {
    for _ in 0..calls {
        assert_eq!(attempts(stack).await, "1");
    }
}

#[tokio::test]
async fn each_provider_is_tried_twice_at_most() {
    let stack = retrying("100").start().await;
    earn(&stack, 12).await;
    for name in ["primary", "backup"] {
        stack.script(name, status(529)).await;
    }
    let answer = call(&stack, false).await;
    assert_eq!((answer.status, answer.header("x-levee-attempts")), (529, "4"), "{answer:?}");
    assert_eq!((stack.requests("primary").await, stack.requests("backup").await), (14, 2));
}

#[tokio::test]
async fn who_says_when_to_be_asked_again_is_not_asked_before() {
    let stack = retrying("100").start().await;
    earn(&stack, 12).await;
    stack.script("primary", json!({ "status": 529, "retry_after": 30 })).await;
    stack.script("backup", status(529)).await;
    assert_eq!(attempts(&stack).await, "3");
    assert_eq!((stack.requests("primary").await, stack.requests("backup").await), (13, 2));
}

#[tokio::test]
async fn a_provider_whose_fault_does_not_pass_is_not_tried_again() {
    let stack = retrying("100").start().await;
    earn(&stack, 12).await;
    for (script, expected) in [(429, "3"), (401, "3"), (403, "3"), (500, "4"), (503, "4")] {
        stack.script("primary", status(script)).await;
        stack.script("backup", status(529)).await;
        assert_eq!(attempts(&stack).await, expected, "{script}");
        for name in ["primary", "backup"] {
            stack.reset(name).await;
        }
        earn(&stack, 2).await;
    }
    for name in ["primary", "backup"] {
        stack.script(name, json!({ "status": 429 })).await;
    }
    assert_eq!(attempts(&stack).await, "2");
}

#[tokio::test]
async fn of_many_calls_that_fail_a_part_is_tried_again() {
    let stack = retrying("10").start().await;
    for name in ["primary", "backup"] {
        stack.script(name, status(529)).await;
    }
    let mut all = 0;
    for _ in 0..30 {
        all += attempts(&stack).await.parse::<u64>().unwrap();
    }
    // Two attempts per call, plus retries of a tenth of the calls. There are up to twice as many retries if the calls
    // take longer than the budget's window.
    assert!((61..=66).contains(&all), "{all} attempts for 30 calls");
}

#[tokio::test]
async fn without_a_budget_nothing_is_tried_again() {
    let stack = retrying("0").start().await;
    for name in ["primary", "backup"] {
        stack.script(name, status(529)).await;
    }
    for _ in 0..3 {
        assert_eq!(attempts(&stack).await, "2");
    }
}
