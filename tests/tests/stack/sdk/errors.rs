//! Errors of Levee and of the provider: the exceptions that a program gets, and the retries of its SDK.

use rstest::rstest;
use serde_json::{Value, json};
use tests::Language::{self, Python, TypeScript};
use tests::{Sdk, Stack};

use super::{assert_same, class, statuses};

const DAY_SECS: u64 = 86_400;

/// Returns the class that is raised for an error within a stream, whose status was 200.
fn streamed_error(language: Language) -> &'static str {
    match language {
        Python => "APIStatusError",
        TypeScript => "APIError",
    }
}

/// Checks an error of Levee: raised at once, with Anthropic's type, and with a request id.
fn assert_refused(outcome: &Value, expected: &str, status: u64, kind: &str) {
    let error = &outcome["error"];
    assert_eq!((class(outcome), statuses(outcome)), (expected, vec![status]), "{outcome}");
    assert_eq!((&error["status"], &error["type"]), (&json!(status), &json!(kind)), "{outcome}");
    assert_eq!(error["api_message"], error["body"]["detail"], "{outcome}");
    assert!(error["request_id"].is_string(), "{outcome}");
    assert_eq!(error["request_id"], error["body"]["request_id"], "{outcome}");
}

#[rstest]
#[tokio::test]
async fn a_wrong_key_raises_an_authentication_error(#[values(Python, TypeScript)] language: Language) {
    let stack = Stack::builder().start().await;
    let mut sdk = Sdk::start(language).await;
    let unknown = "lv_local_nobodysKey01_thisKeyOpensNothingButLocalhost31mUIlS";
    for key in ["nonsense", unknown, &Stack::provider_key("primary")] {
        for scenario in ["create", "stream_text", "count_tokens", "models"] {
            let outcome = sdk.run(scenario, &stack.target().with_key(key)).await;
            assert_refused(&outcome, "AuthenticationError", 401, "authentication_error");
        }
    }
    assert_eq!(stack.provider("primary").await["last_request"], Value::Null);
}

#[rstest]
#[tokio::test]
async fn a_quota_that_is_spent_for_the_day_raises_a_rate_limit_error_at_once(
    #[values(Python, TypeScript)] language: Language,
) {
    let stack = Stack::builder().env("LIMIT_ACCOUNT_PER_DAY", "1").start().await;
    let mut sdk = Sdk::start(language).await;
    // At noon, midnight is far more than a minute away.
    stack.place_clock(DAY_SECS, DAY_SECS / 2).await;
    assert_eq!(statuses(&sdk.run("create", &stack.target()).await), [200]);

    for scenario in ["create", "stream_text", "count_tokens", "models"] {
        let outcome = sdk.run(scenario, &stack.target()).await;
        assert_refused(&outcome, "RateLimitError", 429, "rate_limit_error");
        let (attempt, body) = (&outcome["attempts"][0], &outcome["error"]["body"]);
        assert_eq!((&attempt["should_retry"], &body["policy"]), (&json!("false"), &json!("account-day")), "{outcome}");
        assert!(attempt["retry_after"].as_str().unwrap().parse::<u64>().unwrap() > 60, "{outcome}");
    }
}

#[rstest]
#[tokio::test]
async fn a_quota_that_comes_back_within_the_minute_is_waited_for(#[values(Python, TypeScript)] language: Language) {
    let stack = Stack::builder().env("LIMIT_ACCOUNT_PER_MINUTE", "1").start().await;
    let mut sdk = Sdk::start(language).await;
    // Near enough to the end of the minute for a short wait, and early enough for two calls before it.
    stack.place_clock(60, 55).await;
    let first = sdk.run("create", &stack.target()).await;
    // With a single retry, waiting for too short a time would lead to a second refusal.
    let waited = sdk.run("create", &stack.target().retrying(1)).await;

    assert_eq!((statuses(&first), statuses(&waited)), (vec![200], vec![429, 200]), "{waited}");
    let refusal = &waited["attempts"][0];
    assert_eq!(refusal["should_retry"], "true");
    assert!((1..=5).contains(&refusal["retry_after"].as_str().unwrap().parse::<u64>().unwrap()), "{waited}");
    assert_eq!(waited["message"], first["message"]);
    assert_eq!(stack.provider("primary").await["requests"], 2, "what was refused never reached the provider");
}

#[rstest]
#[case::overloaded(529, "OverloadedError")]
#[case::failed(500, "InternalServerError")]
#[case::malformed(400, "BadRequestError")]
#[tokio::test]
async fn an_upstream_error_raises_what_it_raises_against_the_provider_itself(
    #[values(Python, TypeScript)] language: Language,
    #[case] status: u64,
    #[case] expected: &str,
) {
    let stack = Stack::builder().only_primary().start().await;
    let mut sdk = Sdk::start(language).await;
    stack.script("primary", json!({ "status": status, "retry_after": 1 })).await;

    for scenario in ["create", "stream_text", "count_tokens"] {
        let outcome = assert_same(&mut sdk, &stack, scenario, |target| target.retrying(1)).await;
        assert_eq!((class(&outcome), &outcome["error"]["status"]), (expected, &json!(status)), "{outcome}");
        let tries = if status == 400 { 1 } else { 2 };
        assert_eq!(statuses(&outcome), vec![status; tries], "{outcome}");
        assert!(outcome["error"]["request_id"].as_str().unwrap().starts_with("req_"), "{outcome}");
    }
}

/// The provider's sentence names the platform's organization and limit, so that it is the one thing that differs.
#[rstest]
#[tokio::test]
async fn a_rate_limit_of_the_provider_raises_a_rate_limit_error_in_neutral_words(
    #[values(Python, TypeScript)] language: Language,
) {
    let stack = Stack::builder().only_primary().start().await;
    let mut sdk = Sdk::start(language).await;
    stack.script("primary", json!({ "status": 429, "retry_after": 1 })).await;
    for scenario in ["create", "stream_text", "count_tokens"] {
        let outcome = sdk.run(scenario, &stack.target().retrying(1)).await;
        assert_eq!((class(&outcome), statuses(&outcome)), ("RateLimitError", vec![429, 429]), "{outcome}");
        let error = &outcome["error"];
        assert_eq!(error["api_message"], "The AI provider limits the platform's calls at the moment.", "{outcome}");
        assert!(error["request_id"].as_str().unwrap().starts_with("req_"), "{outcome}");
        assert!(!outcome.to_string().contains("organization"), "{outcome}");
    }
}

#[rstest]
#[tokio::test]
async fn an_error_within_a_stream_raises_what_it_raises_against_the_provider_itself(
    #[values(Python, TypeScript)] language: Language,
) {
    let stack = Stack::builder().only_primary().start().await;
    let mut sdk = Sdk::start(language).await;
    stack.script("primary", json!({ "error_event_after": 3 })).await;

    for scenario in ["stream_text", "stream_events", "stream_thinking"] {
        let mut outcome = sdk.run(scenario, &stack.target()).await;
        let mut direct = sdk.run(scenario, &stack.provider_target().await).await;
        assert_eq!((class(&outcome), statuses(&outcome)), (streamed_error(language), vec![200]), "{outcome}");
        assert_eq!(outcome["error"]["type"], "overloaded_error");
        // Only Levee's event names a request: by the id that operators look for.
        assert!(outcome["error"]["body"]["request_id"].is_string(), "{outcome}");
        for error in [&mut outcome["error"], &mut direct["error"]] {
            error["message"] = Value::Null;
            error["body"]["request_id"] = Value::Null;
        }
        assert_eq!(outcome, direct, "{scenario}");
        let (said, thought, events) = (&outcome["text"], &outcome["thinking"], &outcome["events"]);
        let has_content = |value: &Value| value.as_str().is_some_and(|text| !text.is_empty());
        assert!(has_content(said) || has_content(thought) || events.as_array().is_some_and(|it| it.len() > 3));
    }
}

#[rstest]
#[tokio::test]
async fn a_stream_that_is_cut_raises_an_api_error_after_all_that_came(
    #[values(Python, TypeScript)] language: Language,
) {
    let stack = Stack::builder().only_primary().start().await;
    let mut sdk = Sdk::start(language).await;
    stack.script("primary", json!({ "cut_after": 3 })).await;

    for scenario in ["stream_text", "stream_events"] {
        let through = sdk.run(scenario, &stack.target()).await;
        let direct = sdk.run(scenario, &stack.provider_target().await).await;
        assert_eq!((class(&through), statuses(&through)), (streamed_error(language), vec![200]), "{through}");
        assert_eq!(through["error"]["type"], "api_error");
        assert_eq!(through["error"]["api_message"], "The connection to the AI provider was lost.");
        // Without Levee it is a broken connection, without an error type; the content before it is the same.
        assert_eq!(direct["error"]["type"], Value::Null, "{direct}");
        assert_eq!((&through["text"], &through["events"]), (&direct["text"], &direct["events"]));
    }

    // An answer that is not streamed has not begun, so the SDK retries it, as without Levee.
    let through = sdk.run("create", &stack.target().retrying(1)).await;
    assert_eq!((class(&through), statuses(&through)), ("InternalServerError", vec![502, 502]), "{through}");
    assert_eq!(through["error"]["type"], "api_error");
}

#[rstest]
#[tokio::test]
async fn a_request_that_is_too_large_or_for_nothing_raises_its_error_at_once(
    #[values(Python, TypeScript)] language: Language,
) {
    let stack = Stack::builder().start().await;
    let mut sdk = Sdk::start(language).await;

    let large = sdk.run("large", &stack.target()).await;
    assert_refused(&large, "ContentTooLargeError", 413, "request_too_large");
    let nothing = sdk.run("unknown_route", &stack.target()).await;
    assert_refused(&nothing, "NotFoundError", 404, "not_found_error");

    // An unknown model is reported by the provider.
    let model = assert_same(&mut sdk, &stack, "unknown_model", |target| target).await;
    assert_eq!((class(&model), statuses(&model)), ("NotFoundError", vec![404]));
    assert_eq!(model["error"]["api_message"], "model: no-such-model");
}
