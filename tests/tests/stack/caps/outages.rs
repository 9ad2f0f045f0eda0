//! Caps without Redis, and after Redis has lost its data.

use levee::accounts::CapMode;
use serde_json::Value;
use tests::{Stack, wait_for};

use super::{LIMIT, TOKENS, assert_is_refused, builder, call, capped, set_cap, states, uses};

async fn stop_redis(stack: &Stack) {
    assert_eq!(stack.control("POST", "/redis/stop", Value::Null).await.status, 200);
}

#[tokio::test]
async fn without_redis_what_an_account_has_used_is_known_from_the_ledger() {
    let stack = builder().environments("authorizer=1,ai-proxy=1").start().await;
    uses(&stack, TOKENS).await;
    set_cap(&stack, LIMIT, CapMode::Warn).await;
    stop_redis(&stack).await;
    assert_eq!(states(&stack, 6).await, ["ok", "ok", "ok", "warn", "over", "over"]);
}

#[tokio::test]
async fn without_redis_a_cap_that_blocks_still_does() {
    let stack = capped(CapMode::Block).await;
    assert_eq!(states(&stack, 4).await, ["ok", "ok", "ok", "warn"]);
    stop_redis(&stack).await;
    // Check every environment, including those that have not seen the account before.
    let before = stack.invocations("ai-proxy").await;
    wait_for(async || {
        assert_is_refused(&stack, &call(&stack, false).await);
        let now = stack.invocations("ai-proxy").await;
        before.iter().zip(&now).all(|(before, now)| now > before).then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_redis_that_has_lost_everything_is_filled_again() {
    let stack = capped(CapMode::Block).await;
    let flush = async || {
        let flush = async |mut connection| redis::cmd("FLUSHALL").query_async::<()>(&mut connection).await;
        stack.redis().run(flush).await.unwrap();
    };
    for expected in ["ok", "ok", "ok", "warn"] {
        assert_eq!(states(&stack, 1).await, [expected]);
        flush().await;
    }
    assert_is_refused(&stack, &call(&stack, false).await);
}
