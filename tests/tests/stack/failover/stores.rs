//! A failing primary during an outage of a store.

use levee::metering::RecordState;
use serde_json::json;
use tests::wait_for;

use super::{builder, call, course, id, records, status};

#[tokio::test]
async fn without_redis_calls_are_failed_over_and_after_five_failures_an_environment_keeps_away() {
    // Retries need the budget, which is unavailable without Redis.
    let stack = builder().env("AI_RETRY_BUDGET_PERCENT", "100").start().await;
    assert_eq!(call(&stack, false).await.status, 200);
    stack.order("/redis/stop").await;
    stack.script("primary", status(500)).await;
    for number in 0..5 {
        let answer = call(&stack, number % 2 == 0).await;
        assert_eq!((answer.status, course(&answer)), (200, ("backup", "2", "error")), "{answer:?}");
        assert_eq!(answer.header("x-ratelimit-degraded"), "redis");
    }
    let answer = call(&stack, false).await;
    assert_eq!((answer.status, course(&answer)), (200, ("backup", "1", "breaker-local")), "{answer:?}");
    assert_eq!(stack.requests("primary").await, 6);

    // Both providers fail: calls are not refused for it, and no provider is tried twice.
    stack.script("backup", status(529)).await;
    for _ in 0..6 {
        let answer = call(&stack, false).await;
        assert!(["1", "2"].contains(&answer.header("x-levee-attempts")), "{answer:?}");
        assert!([500, 529].contains(&answer.status), "{answer:?}");
    }

    stack.order("/redis/start").await;
    for name in ["primary", "backup"] {
        stack.reset(name).await;
    }
    stack.advance(90).await;
    wait_for(async || {
        let answer = call(&stack, true).await;
        assert_eq!(answer.status, 200, "{answer:?}");
        (course(&answer) == ("primary", "1", "") && answer.header("x-ratelimit-degraded").is_empty()).then_some(())
    })
    .await;
}

#[tokio::test]
async fn without_dynamodb_calls_are_failed_over_and_their_records_are_in_the_log() {
    let stack = builder().env("DYNAMODB_TIMEOUT_MS", "500").start().await;
    assert_eq!(call(&stack, false).await.status, 200);
    stack.script("primary", status(500)).await;
    stack.order("/dynamodb/stop").await;
    let mut answers = Vec::new();
    for is_streamed in [true, false] {
        let answer = call(&stack, is_streamed).await;
        assert_eq!((answer.status, course(&answer)), (200, ("backup", "2", "error")), "{answer:?}");
        answers.push(answer);
    }
    for answer in &answers {
        let event = stack.wide_event("ai-proxy", id(answer)).await;
        assert_eq!((&event["outcome"], &event["UnwrittenUsage"]), (&json!("ok"), &json!(1)), "{event}");
        let lines = stack.log_lines("ai-proxy").into_iter();
        let unwritten: Vec<_> = lines
            .filter(|line| line["code"] == "usage.unwritten" && line["request.id"] == id(answer))
            .map(|line| serde_json::from_str::<serde_json::Value>(line["record"].as_str().unwrap()).unwrap())
            .collect();
        let closed = unwritten.iter().find(|record| record["state"] == "closed").unwrap();
        assert_eq!((&closed["attempt"], &closed["provider"]), (&json!(2), &json!("backup")), "{unwritten:?}");
    }
    stack.order("/dynamodb/start").await;
    stack.advance(90).await;
    let answer = call(&stack, false).await;
    assert_eq!(records(&stack, &answer).await.last().unwrap(), &("backup".to_owned(), RecordState::Closed, false));
}
