//! Mistakes of a caller and clients that leave: they do not count against a provider, and no other provider is tried.

use levee::breaker::Mode;
use serde_json::json;
use tests::wait_for;

use super::breaker::subjects;
use super::provider::{STREAM, answer, both, error_event, message, puppet};
use super::{builder, call, codes, course, decision, hello, id, seen, status};

#[tokio::test]
async fn a_callers_own_mistake_is_no_other_providers_turn_and_counts_nothing() {
    let stack = builder().start().await;
    for code in [400, 404, 409, 413, 422] {
        for is_streamed in [true, false] {
            stack.script("primary", status(code)).await;
            let answer = call(&stack, is_streamed).await;
            assert_eq!((answer.status, course(&answer)), (code, ("primary", "1", "")), "{answer:?}");
        }
    }
    assert_eq!(stack.requests("backup").await, 0);
    let seen = seen(&stack, "primary").await;
    assert_eq!((seen.good, seen.bad, seen.throttled, seen.late), (0, 0, 0, 0));
    assert_eq!(decision(&stack, "primary").await.mode, Mode::Closed);
}

#[tokio::test]
async fn a_callers_own_mistake_that_a_stream_begins_with_is_passed_on_and_counts_nothing() {
    let (primary, backup) = (puppet().await, puppet().await);
    let stack = builder().env("AI_PROVIDERS", &both(&primary, &backup)).start().await;
    for kind in ["invalid_request_error", "not_found_error", "request_too_large"] {
        let error = error_event(kind);
        primary.says(&[&answer("200 OK", STREAM, &error)]);
        let answer = call(&stack, true).await;
        // The kind and the sentence pass, and the id is that of our request.
        let error = format!(
            "event: error\ndata: {{\"type\":\"error\",\"error\":{{\"type\":\"{kind}\",\"message\":\"Out of order\"}},\
             \"request_id\":\"{}\"}}\n\n",
            id(&answer)
        );
        assert_eq!((answer.status, answer.text(), course(&answer)), (200, error.as_str(), ("primary", "1", "")));
    }
    let seen = seen(&stack, "primary").await;
    assert_eq!((seen.good, seen.bad, backup.bodies().len()), (0, 0, 0));
}

#[tokio::test]
async fn what_something_before_the_provider_turns_away_is_the_backups_turn_and_counts_nothing() {
    let (primary, backup) = (puppet().await, puppet().await);
    backup.says(&[&message("backup", false)]);
    let stack = builder().env("AI_PROVIDERS", &both(&primary, &backup)).start().await;
    let all = ["400 Bad Request", "403 Forbidden", "413 Content Too Large", "414 URI Too Long", "401 Unauthorized"];
    for status in all.iter().cycle().take(15) {
        primary.says(&[&answer(status, "text/html", "<html>an edge</html>")]);
        let answer = call(&stack, false).await;
        assert_eq!((answer.status, course(&answer)), (200, ("backup", "2", "error")), "{status}: {answer:?}");
        assert!(codes(&stack, &answer).iter().any(|code| code == "provider.nonsense"), "{status}");
    }
    let seen = seen(&stack, "primary").await;
    assert_eq!((seen.good, seen.bad, seen.throttled, seen.late), (0, 0, 0, 0));
    assert_eq!(decision(&stack, "primary").await.mode, Mode::Closed);
    let subjects = subjects(&stack).await;
    assert!(!subjects.iter().any(|subject| subject.contains("credentials")), "{subjects:?}");
}

#[tokio::test]
async fn a_client_that_leaves_within_a_stream_counts_nothing_bad() {
    let stack = builder().start().await;
    stack.script("primary", json!({ "gap_ms": 20, "deltas": 20 })).await;
    let before = stack.month(stack.account_id()).await;
    for _ in 0..2 {
        let mut answer = stack.send("/v1/messages", &hello(true)).await;
        answer.chunk().await.unwrap().unwrap();
    }
    stack.wait_for_month(stack.account_id(), before.calls + 2).await;
    let seen = wait_for(async || Some(seen(&stack, "primary").await).filter(|seen| seen.good == 2)).await;
    assert_eq!((seen.bad, seen.throttled, stack.requests("backup").await), (0, 0, 0));
}
