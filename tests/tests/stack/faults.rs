//! Answers to the caller if a function or a provider fails.

use serde_json::{Value, json};
use tests::{Stack, messages};

#[tokio::test]
async fn a_killed_function_costs_its_caller_a_502_and_nobody_else_anything() {
    let stack = Stack::builder().environments("ai-proxy=2").only_primary().start().await;
    stack.script("primary", json!({ "hang": true })).await;
    let call = messages("Hello");
    let hanging = tokio::spawn(stack.request("/v1/messages").json(&call).send());
    stack.wait_for_provider("primary", "in_flight", 1).await;

    // The busy environment is the one that handles the call.
    let busy = stack.busy_environment("ai-proxy").await;
    stack.control("POST", &format!("/functions/ai-proxy/{busy}/kill"), Value::Null).await;
    let killed = tests::Answer::read(hanging.await.unwrap().unwrap()).await;
    assert_eq!(killed.status, 502, "{killed:?}");
    assert_eq!(killed.json()["error"]["type"], "api_error");

    stack.script("primary", json!({ "hang": null })).await;
    for _ in 0..4 {
        assert_eq!(stack.call("/v1/messages", &call).await.status, 200);
    }
}

#[tokio::test]
async fn a_provider_that_fails_is_answered_in_anthropics_envelope() {
    let stack = Stack::builder().impatient().only_primary().start().await;
    let call = messages("Hello");
    let mut streamed = call.clone();
    streamed["stream"] = true.into();

    for (script, call, status, error) in [
        // The provider's own errors keep their status and their kind.
        (json!({ "status": 529 }), &call, 529, "overloaded_error"),
        (json!({ "status": 429, "retry_after": 7 }), &streamed, 429, "rate_limit_error"),
        // A rejected platform key is not reported to the client.
        (json!({ "status": 401 }), &call, 502, "api_error"),
        (json!({ "status": 403 }), &streamed, 502, "api_error"),
        // A failure before the first content has an error status.
        (json!({ "hang": true }), &call, 504, "timeout_error"),
        (json!({ "hang": true }), &streamed, 504, "timeout_error"),
        (json!({ "cut_after": 0 }), &call, 502, "api_error"),
    ] {
        stack.reset("primary").await;
        stack.script("primary", script.clone()).await;
        let answer = stack.call("/v1/messages", call).await;
        assert_eq!(answer.status, status, "{script}: {answer:?}");
        assert_eq!(answer.json()["type"], "error", "{script}");
        assert_eq!(answer.json()["error"]["type"], error, "{script}");
        assert!(!answer.header("x-levee-request-id").is_empty(), "{script}");
    }
}

#[tokio::test]
async fn a_stream_that_breaks_off_ends_in_a_well_formed_error_event() {
    let stack = Stack::builder()
        .env("AI_STREAM_GAP_TIMEOUT_MS", "300")
        .env("AI_FAILOVER_AFTER_MS", "300")
        .only_primary()
        .start()
        .await;
    let mut call = messages("Count to forty.");
    call["stream"] = true.into();

    for (script, error) in [
        (json!({ "cut_after": 3 }), "api_error"),
        (json!({ "hang": "stream" }), "timeout_error"),
        // The provider pings, so the stream is passed on before its first content.
        (json!({ "hang": "first_token" }), "timeout_error"),
        (json!({ "error_event_after": 3 }), "overloaded_error"),
    ] {
        stack.reset("primary").await;
        stack.script("primary", script.clone()).await;
        let answer = stack.call("/v1/messages", &call).await;
        assert_eq!(answer.status, 200, "{script}: {answer:?}");
        let events = answer.events();
        let (name, data) = events.last().unwrap();
        assert_eq!((name.as_str(), data["error"]["type"].as_str()), ("error", Some(error)), "{script}");
        assert!(events.iter().filter(|(name, _)| name == "error").count() == 1, "{script}");
        let has_content = events.iter().any(|(name, _)| name == "content_block_delta");
        assert_eq!(has_content, script["hang"] != "first_token", "{script}");
    }
}

#[tokio::test]
async fn a_malformed_call_is_refused_before_the_provider_hears_of_it() {
    let stack = Stack::builder().start().await;
    for body in ["", "[]", "{", r#"{"max_tokens":1}"#, r#"{"model":1}"#] {
        let answer = stack.request("/v1/messages").body(body).send().await.unwrap();
        let answer = tests::Answer::read(answer).await;
        assert_eq!((answer.status, answer.header("x-should-retry")), (400, "false"), "{body}: {answer:?}");
        assert_eq!(answer.json()["error"]["type"], "invalid_request_error", "{body}");
    }
    assert_eq!(stack.provider("primary").await["requests"], 0);
}

#[tokio::test]
async fn the_client_may_leave_and_its_call_is_metered_all_the_same() {
    let stack = Stack::builder().start().await;
    stack
        .script("primary", json!({ "gap_ms": 20, "deltas": 20, "usage": { "input_tokens": 7, "output_tokens": 9 } }))
        .await;
    let before = stack.month(stack.account_id()).await;
    let mut call = messages("Count to twenty.");
    call["stream"] = true.into();
    let mut answer = stack.send("/v1/messages", &call).await;
    answer.chunk().await.unwrap().expect("a first chunk");
    drop(answer);

    stack.wait_for_provider("primary", "completed", 1).await;
    let after = stack.wait_for_month(stack.account_id(), before.calls + 1).await;
    assert_eq!((after.input - before.input, after.output - before.output), (7, 9));
}
