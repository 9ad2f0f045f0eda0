//! All providers fail: selection of the error for the client.

use levee::metering::RecordState;
use serde_json::{Value, json};
use tests::Answer;

use super::provider::{alone, answer, puppet};
use super::{call, course, error, id, records, status, undecided};

#[tokio::test]
async fn where_both_fail_the_client_gets_the_backups_error_unless_that_is_about_the_platforms_credentials() {
    let stack = undecided().start().await;
    let hanging = json!({ "hang": "headers" });
    for (primary, backup, expected, kind, whose, outcome) in [
        (status(500), status(529), 529, "overloaded_error", "backup", "provider_error"),
        (status(529), status(500), 500, "api_error", "backup", "provider_error"),
        (status(500), status(429), 429, "rate_limit_error", "backup", "provider_limited"),
        (status(429), status(401), 429, "rate_limit_error", "primary", "provider_limited"),
        (status(529), status(403), 529, "overloaded_error", "primary", "provider_error"),
        (status(401), status(500), 500, "api_error", "backup", "provider_error"),
        (status(401), status(403), 502, "api_error", "", "provider_error"),
        (status(401), status(402), 529, "overloaded_error", "", "provider_error"),
        // A model that the backup does not know might be known to the primary.
        (status(503), status(404), 503, "api_error", "primary", "provider_error"),
        (status(500), hanging, 504, "timeout_error", "", "timeout"),
    ] {
        for is_streamed in [true, false] {
            let scripts = [&primary, &backup].map(ToString::to_string);
            for (name, script) in ["primary", "backup"].into_iter().zip([&primary, &backup]) {
                stack.reset(name).await;
                stack.script(name, script.clone()).await;
            }
            if is_streamed && expected == 504 {
                continue;
            }
            let answer = call(&stack, is_streamed).await;
            assert_eq!((answer.status, error(&answer).0.as_str()), (expected, kind), "{scripts:?}: {answer:?}");
            assert_eq!(answer.header("x-levee-provider"), whose, "{scripts:?}");
            assert_eq!(answer.header("x-levee-attempts"), "2", "{scripts:?}");
            assert!(!answer.header("x-levee-fallback-reason").is_empty(), "{scripts:?}");
            let event = stack.wide_event("ai-proxy", id(&answer)).await;
            assert_eq!((&event["outcome"], &event["attempts"]), (&json!(outcome), &json!(2)), "{scripts:?}: {event}");
            if !whose.is_empty() {
                assert_eq!(event["Provider"], whose, "{scripts:?}: {event}");
            }
            assert_eq!(records(&stack, &answer).await.len(), 2, "{scripts:?}");
        }
    }
}

#[tokio::test]
async fn what_both_say_of_the_platforms_credentials_is_not_the_clients_to_know_or_to_try_again() {
    let stack = undecided().start().await;
    for name in ["primary", "backup"] {
        stack.script(name, status(401)).await;
    }
    let answer = call(&stack, false).await;
    assert_eq!((answer.status, answer.header("x-should-retry")), (502, "false"), "{answer:?}");
    // The id of the request may contain anything.
    assert!(!error(&answer).1.contains("key"), "{answer:?}");
    let ends = records(&stack, &answer).await.into_iter().map(|(_, end, _)| end);
    assert_eq!(ends.collect::<Vec<_>>(), [RecordState::Void, RecordState::Void]);
}

#[tokio::test]
async fn a_spent_budget_is_told_as_no_mistake_of_the_clients() {
    let only = puppet().await;
    let sentence =
        "You have reached your specified API usage limits. You will regain access on 2999-01-01 at 00:00 UTC.";
    let body = json!({ "type": "error", "error": { "type": "invalid_request_error", "message": sentence } });
    only.says(&[&answer("400 Bad Request", "application/json", &body.to_string())]);
    let stack = undecided().env("AI_PROVIDERS", &alone(&only)).start().await;
    let answer: Answer = call(&stack, false).await;
    assert_eq!((answer.status, error(&answer).0.as_str()), (529, "overloaded_error"), "{answer:?}");
    assert!(!answer.text().contains("usage limits"), "{answer:?}");
}

#[tokio::test]
async fn the_whole_call_has_one_deadline_however_many_providers_are_asked() {
    // The primary gets half of the time, and the backup only the rest.
    let stack = undecided().env("AI_CALL_TIMEOUT_MS", "3000").env("AI_FIRST_TOKEN_TIMEOUT_MS", "3000").start().await;
    for name in ["primary", "backup"] {
        stack.script(name, json!({ "hang": "headers" })).await;
    }
    for is_streamed in [true, false] {
        let answer = call(&stack, is_streamed).await;
        assert_eq!((answer.status, error(&answer).0.as_str()), (504, "timeout_error"), "{answer:?}");
        assert_eq!(course(&answer), ("", "2", "timeout"));
        let event: Value = stack.wide_event("ai-proxy", id(&answer)).await;
        assert_eq!(event["outcome"], "timeout", "{event}");
    }
    assert_eq!((stack.requests("primary").await, stack.requests("backup").await), (2, 2));
}
