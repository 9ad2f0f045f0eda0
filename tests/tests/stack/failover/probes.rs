//! Providers that have been given up, and their recovery.

use levee::breaker::{BreakerState, BreakersTable, Grounds, Mode, Reason, Share, Transition};
use serde_json::json;
use tests::{Stack, messages, wait_for};

use super::{builder, call, call_until, course, decision, error, status};

const NONE: &str = "No AI provider can serve the call at the moment.";

#[tokio::test]
async fn when_all_are_given_up_calls_are_refused_at_once_until_a_probe_brings_one_back() {
    let stack = builder().start().await;
    for name in ["primary", "backup"] {
        stack.script(name, status(500)).await;
    }
    let refused = call_until(&stack, async |answer| error(answer).1 == NONE).await;
    assert_eq!(
        (refused.status, error(&refused).0.as_str(), course(&refused)),
        (529, "overloaded_error", ("", "0", ""))
    );
    assert!(refused.header("retry-after").parse::<u64>().is_ok_and(|seconds| seconds >= 1), "{refused:?}");
    // An SDK may retry by itself.
    assert_eq!(refused.header("x-should-retry"), "");

    // No provider is tried for a refused call.
    let before = (stack.requests("primary").await, stack.requests("backup").await);
    let mut refused = 0;
    for is_streamed in [true, false] {
        let answer = call(&stack, is_streamed).await;
        if answer.header("x-levee-attempts") == "0" {
            refused += 1;
            assert_eq!((answer.status, error(&answer).1.as_str()), (529, NONE), "{answer:?}");
        }
    }
    assert!(refused > 0);
    let after = (stack.requests("primary").await, stack.requests("backup").await);
    assert!(after.0 - before.0 <= 2 && after.1 - before.1 <= 2, "{before:?} {after:?}");

    stack.reset("primary").await;
    stack.advance(90).await;
    call_until(&stack, async |answer| answer.status == 200 && answer.header("x-levee-provider") == "primary").await;
    // The share comes back step by step.
    wait_for(async || {
        for _ in 0..6 {
            call(&stack, false).await;
        }
        stack.advance(11).await;
        (decision(&stack, "primary").await.mode == Mode::Closed).then_some(())
    })
    .await;
    assert_eq!(course(&call(&stack, true).await), ("primary", "1", ""));
}

/// Puts the provider `name` into probation. `health` is the share of its calls that succeeded before. No call has
/// been made yet.
async fn put_on_probation(stack: &Stack, name: &str, health: Share) {
    let from = BreakerState::new();
    let to = BreakerState {
        generation: 1,
        mode: Mode::Probe,
        share: Share::NONE,
        since: stack.now(),
        reason: Reason::Paused,
        health,
        ..BreakerState::new()
    };
    let transition = Transition::new(name, &from, to, Grounds::default(), "an environment");
    BreakersTable::new(stack.dynamodb(), "Breakers").write(&transition, &from).await.unwrap();
}

#[tokio::test]
async fn calls_that_say_nothing_about_a_provider_take_no_probes_place() {
    let stack = builder().start().await;
    put_on_probation(&stack, "primary", Share::NONE).await;
    for _ in 0..10 {
        let counted = stack.call("/v1/messages/count_tokens", &messages("Hello")).await;
        assert_eq!((counted.status, course(&counted)), (200, ("backup", "1", "breaker-open")), "{counted:?}");
    }
    for (code, expected) in [(400, ("primary", "1", "")), (401, ("backup", "2", "refused"))] {
        stack.script("primary", status(code)).await;
        for number in 0..6 {
            let answer = call(&stack, number % 2 == 0).await;
            assert_eq!(course(&answer), expected, "{code}, call {number}: {answer:?}");
        }
    }
    assert_eq!(decision(&stack, "primary").await.mode, Mode::Probe);

    stack.reset("primary").await;
    assert_eq!(course(&call(&stack, false).await), ("primary", "1", ""));
    call_until(&stack, async |_| decision(&stack, "primary").await.mode == Mode::Ramp).await;
}

#[tokio::test]
async fn where_all_are_on_probation_what_uses_no_tokens_is_served_all_the_same() {
    for health in [Share::from_basis_points(5_000), Share::NONE] {
        let stack = builder().only_primary().env("BREAKER_MODE", "enforce").start().await;
        put_on_probation(&stack, "primary", health).await;
        let counted = stack.call("/v1/messages/count_tokens", &messages("Hello")).await;
        assert_eq!((counted.status, counted.header("x-levee-attempts")), (200, "1"), "{counted:?}");
    }
}

#[tokio::test]
async fn a_provider_is_not_given_up_for_one_that_is_on_probation_but_its_failure_is_that_ones_turn() {
    let stack = builder().start().await;
    put_on_probation(&stack, "backup", Share::NONE).await;
    // Longer than the time that a provider gets if another one can take over.
    stack.script("primary", json!({ "ttft_ms": 2_000 })).await;
    assert_eq!(course(&call(&stack, true).await), ("primary", "1", ""));
    stack.script("primary", status(500)).await;
    assert_eq!(course(&call(&stack, true).await), ("backup", "2", "error"));
}
