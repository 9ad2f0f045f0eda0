//! All providers have been given up, and come back.

use levee::breaker::Mode;
use tests::wait_for;

use crate::{builder, call, call_until, course, decision, error, requests, status};

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
    // An SDK may try again by itself.
    assert_eq!(refused.header("x-should-retry"), "");

    // Nobody is asked for it.
    let before = (requests(&stack, "primary").await, requests(&stack, "backup").await);
    for is_streamed in [true, false] {
        let answer = call(&stack, is_streamed).await;
        if answer.header("x-levee-attempts") == "0" {
            assert_eq!((answer.status, error(&answer).1.as_str()), (529, NONE), "{answer:?}");
        }
    }
    let after = (requests(&stack, "primary").await, requests(&stack, "backup").await);
    assert!(after.0 - before.0 <= 2 && after.1 - before.1 <= 2, "{before:?} {after:?}");

    stack.reset("primary").await;
    stack.advance(90).await;
    call_until(&stack, async |answer| answer.status == 200 && answer.header("x-levee-provider") == "primary").await;
    // Step by step, all of it.
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
