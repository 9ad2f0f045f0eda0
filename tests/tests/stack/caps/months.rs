//! Caps at the end of a month.

use levee::accounts::CapMode;
use serde_json::json;

use super::{TOKENS, assert_is_refused, call, capped, month, states, uses};

#[tokio::test]
async fn tokens_begin_anew_with_the_month_and_a_call_counts_in_the_month_in_which_it_began() {
    let stack = capped(CapMode::Block).await;
    let old = month(&stack);
    stack.advance(old.ends_at().as_secs() - stack.now().as_secs() - 3_600).await;
    assert_eq!(month(&stack), old);
    assert_eq!(states(&stack, 3).await, ["ok"; 3]);

    // The fourth call crosses the cap and midnight.
    let usage = json!({ "input_tokens": 500 });
    stack.script("primary", json!({ "usage": usage, "ttft_ms": 3_000 })).await;
    let across = async {
        stack.wait_for_provider("primary", "in_flight", 1).await;
        stack.advance(7_200).await;
    };
    let (answer, ()) = tokio::join!(call(&stack, true), across);
    assert_eq!((answer.status, answer.header("x-levee-token-state")), (200, "warn"), "{answer:?}");
    assert!(month(&stack) > old);

    uses(&stack, TOKENS).await;
    assert_eq!(states(&stack, 4).await, ["ok", "ok", "ok", "warn"]);
    assert_is_refused(&stack, &call(&stack, false).await);
    assert_eq!(stack.month_of("acme", &old.to_string()).await.calls, 4);
    assert_eq!(stack.month(stack.account_id()).await.calls, 4);
}
