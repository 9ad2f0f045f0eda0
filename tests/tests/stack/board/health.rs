//! The public `/health`.

use serde_json::json;
use tests::{Stack, wait_for};

/// Returns the answer of `/health` after its cache has expired.
async fn health(stack: &Stack) -> (u16, String) {
    stack.advance(3).await;
    let answer = stack.browser().get("/health").await;
    assert_eq!((answer.header("content-type"), answer.header("cache-control")), ("application/json", "no-store"));
    (answer.status, answer.text().to_owned())
}

#[tokio::test]
async fn health_says_up_degraded_or_down_and_nothing_more() {
    let stack = Stack::builder().env("DYNAMODB_TIMEOUT_MS", "1000").start().await;
    let up = (200, r#"{"status":"up"}"#.to_owned());
    assert_eq!(health(&stack).await, up);

    stack.order("/redis/stop").await;
    assert_eq!(health(&stack).await, (200, r#"{"status":"degraded"}"#.to_owned()));
    stack.order("/redis/start").await;
    wait_for(async || (health(&stack).await == up).then_some(())).await;

    for how in [json!({}), json!({ "mode": "hang" }), json!({ "mode": "throttle" })] {
        assert_eq!(stack.control("POST", "/dynamodb/stop", how).await.status, 200);
        assert_eq!(health(&stack).await, (503, r#"{"status":"down"}"#.to_owned()));
        stack.order("/dynamodb/start").await;
        wait_for(async || (health(&stack).await == up).then_some(())).await;
    }
}
