//! Slowness: it counts once, while a call still waits, and a call that waits for a provider that is given up moves
//! on.

use levee::breaker::{Reason, Share};
use serde_json::json;
use tests::{Stack, messages};
use tokio::task::JoinSet;

use super::{builder, call, call_until, course, decision, hello, seen, status, undecided};

/// Makes enough streams to learn their usual duration. It is below a second, so that a stream is late after one
/// second and slow after four.
async fn learn(stack: &Stack) {
    learn_of(stack, true).await;
}

async fn learn_of(stack: &Stack, is_streamed: bool) {
    for _ in 0..52 {
        assert_eq!(call(stack, is_streamed).await.status, 200);
    }
}

#[tokio::test]
async fn what_was_slow_counts_as_bad_once_whatever_becomes_of_it() {
    let stack = undecided().env("AI_FAILOVER_AFTER_MS", "7000").start().await;
    learn(&stack).await;
    let before = seen(&stack, "primary").await;
    assert_eq!((before.bad, before.late), (0, 0));

    // Slow, then good.
    stack.script("primary", json!({ "ttft_ms": 5_000 })).await;
    assert_eq!(course(&call(&stack, true).await), ("primary", "1", ""));
    let after = seen(&stack, "primary").await;
    assert_eq!((after.good, after.on_time), (before.good, before.on_time));
    assert_eq!((after.bad, after.late), (1, 1));

    // Slow, then no answer.
    stack.script("primary", json!({ "ttft_ms": null, "hang": "headers" })).await;
    assert_eq!(course(&call(&stack, true).await), ("backup", "2", "timeout"));
    let after = seen(&stack, "primary").await;
    assert_eq!((after.good, after.bad, after.late), (before.good, 2, 2));
}

#[tokio::test]
async fn calls_that_wait_for_a_provider_that_is_given_up_meanwhile_move_on() {
    let stack = builder().env("AI_FAILOVER_AFTER_MS", "60000").environments("ai-proxy=6").start().await;
    learn(&stack).await;
    stack.script("primary", json!({ "hang": "headers" })).await;
    let mut waiting = JoinSet::new();
    for _ in 0..6 {
        let request = stack.request("/v1/messages").json(&hello(true));
        waiting.spawn(async move { tests::Answer::read(request.send().await.unwrap()).await });
    }
    while let Some(answer) = waiting.join_next().await {
        let answer = answer.unwrap();
        // A call that came late enough was not sent to the primary at all.
        let (provider, _, reason) = course(&answer);
        assert_eq!((answer.status, provider), (200, "backup"), "{answer:?}");
        assert!(["slow", "breaker-open"].contains(&reason), "{answer:?}");
    }
}

#[tokio::test]
async fn what_a_store_takes_makes_no_provider_late() {
    let stack = undecided().env("DYNAMODB_TIMEOUT_MS", "1500").env("AI_FAILOVER_AFTER_MS", "20000").start().await;
    learn(&stack).await;
    let before = seen(&stack, "primary").await;
    let stop = stack.control("POST", "/dynamodb/stop", json!({ "mode": "hang" })).await;
    assert_eq!(stop.status, 200, "{stop:?}");
    assert_eq!(course(&call(&stack, true).await), ("primary", "1", ""));
    let after = seen(&stack, "primary").await;
    assert_eq!((after.good, after.late, after.bad), (before.good + 1, 0, 0));
    // The stores' delays after the answer do not count either.
    stack.script("primary", status(400)).await;
    assert_eq!(course(&call(&stack, true).await), ("primary", "1", ""));
    let after = seen(&stack, "primary").await;
    assert_eq!((after.good, after.late, after.bad), (before.good + 1, 0, 0));
    stack.order("/dynamodb/start").await;
}

#[tokio::test]
async fn whole_answers_that_take_longer_than_they_used_to_are_late_and_cost_their_provider_its_share() {
    let stack = builder().start().await;
    learn_of(&stack, false).await;
    let before = seen(&stack, "primary").await;
    assert_eq!((before.bad, before.late, decision(&stack, "primary").await.generation), (0, 0, 0));

    stack.script("primary", json!({ "ttft_ms": 1_500 })).await;
    assert_eq!(course(&call(&stack, false).await), ("primary", "1", ""));
    let after = seen(&stack, "primary").await;
    assert_eq!((after.good, after.on_time), (before.good + 1, before.on_time));
    assert_eq!((after.bad, after.late), (0, 1));
    call_until(&stack, async |_| decision(&stack, "primary").await.share < Share::ALL).await;
    let decided = decision(&stack, "primary").await;
    assert!([Reason::Slowing, Reason::Stalling].contains(&decided.reason), "{decided:?}");
}

#[tokio::test]
async fn a_call_that_uses_no_tokens_is_given_up_as_soon_as_a_stream() {
    // Half of this time would exceed the test's time-out.
    let stack = undecided().env("AI_CALL_TIMEOUT_MS", "285000").start().await;
    stack.script("primary", json!({ "hang": "headers" })).await;
    let counted = stack.call("/v1/messages/count_tokens", &messages("Hello")).await;
    assert_eq!((counted.status, course(&counted)), (200, ("backup", "2", "timeout")), "{counted:?}");
}
