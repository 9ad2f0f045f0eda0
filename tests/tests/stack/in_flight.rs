//! Calls in flight: the limit per account, and the release of a call's place at its end.

use reqwest::Response;
use serde_json::{Value, json};
use tests::{Answer, Builder, Stack, messages};

/// Returns a stack whose accounts may have `most` calls in flight.
fn stack(most: u64) -> Builder {
    Stack::builder()
        .env("LIMIT_ACCOUNT_IN_FLIGHT", &most.to_string())
        .env("LIMIT_INTEGRATION_PER_MINUTE", "0")
        .env("LIMIT_ACCOUNT_PER_MINUTE", "0")
        .environments("authorizer=2,ai-proxy=4")
}

fn streamed() -> Value {
    let mut call = messages("Count to forty.");
    call["stream"] = true.into();
    call
}

/// Begins a stream and waits for its head.
async fn begin(stack: &Stack) -> Response {
    let answer = stack.send("/v1/messages", &streamed()).await;
    assert_eq!(answer.status(), 200);
    answer
}

/// Makes the stand-in's streams long enough for other calls to run meanwhile.
async fn long_streams(stack: &Stack) {
    stack.script("primary", json!({ "gap_ms": 100, "deltas": 40 })).await;
}

async fn status(stack: &Stack) -> u16 {
    stack.call("/v1/messages", &messages("Hello")).await.status
}

#[tokio::test]
async fn a_call_more_than_may_be_in_flight_is_refused_and_passes_when_one_of_them_has_ended() {
    let stack = stack(2).start().await;
    long_streams(&stack).await;
    let (first, second) = (begin(&stack).await, begin(&stack).await);

    let refused = stack.call("/v1/messages", &messages("Hello")).await;
    assert_eq!((refused.status, refused.header("retry-after")), (429, "1"), "{refused:?}");
    let body = refused.json();
    assert_eq!(
        (&body["code"], &body["policy"], &body["scope"], &body["limit"], &body["window_seconds"]),
        (&json!("quota_exceeded"), &json!("in-flight"), &json!("account"), &json!(2), &json!(null))
    );
    assert_eq!(body["detail"], "The account limit of 2 calls at the same time is reached.");
    let policy = refused.header("ratelimit-policy");
    assert!(policy.contains(r#""in-flight";q=2;qu="concurrent-requests""#), "{policy}");
    assert!(refused.header("ratelimit").contains(r#""in-flight";r=0"#), "{refused:?}");
    assert_eq!(refused.header("x-should-retry"), "true");

    // Refused calls hold no place: after the end of the first stream there is room for exactly one more.
    assert!(Answer::read(first).await.text().contains("message_stop"));
    let third = begin(&stack).await;
    let refused = status(&stack).await;
    // On a busy machine one of the streams may have ended meanwhile.
    if stack.provider("primary").await["in_flight"] == 2 {
        assert_eq!(refused, 429);
    }
    for stream in [second, third] {
        assert!(Answer::read(stream).await.text().contains("message_stop"));
    }
    let answer = stack.call("/v1/messages", &messages("Hello")).await;
    assert_eq!(answer.status, 200);
    assert!(answer.header("ratelimit").contains(r#""in-flight";r=1"#), "{answer:?}");
}

#[tokio::test]
async fn however_a_call_ends_its_place_is_free_at_once() {
    let stack = stack(1).impatient().only_primary().start().await;
    let (whole, streamed) = (messages("Hello"), streamed());
    for (script, call, expected) in [
        (json!({}), &whole, 200),
        (json!({}), &streamed, 200),
        // Broken off after the first content, by the provider or because it became silent.
        (json!({ "cut_after": 3 }), &streamed, 200),
        (json!({ "error_event_after": 3 }), &streamed, 200),
        (json!({ "hang": "stream" }), &streamed, 200),
        // Passed on before any content, because it pings, and then given up.
        (json!({ "hang": "first_token" }), &streamed, 200),
        // Ended before the first content.
        (json!({ "cut_after": 0 }), &streamed, 502),
        (json!({ "hang": "headers" }), &streamed, 504),
        (json!({ "hang": true }), &streamed, 504),
        (json!({ "status": 529 }), &streamed, 529),
        (json!({ "status": 401 }), &streamed, 502),
        (json!({ "status": 529 }), &whole, 529),
        (json!({ "hang": true }), &whole, 504),
        (json!({ "cut_after": 0 }), &whole, 502),
        // Not sent to a provider.
        (json!({}), &json!([]), 400),
    ] {
        stack.reset("primary").await;
        stack.script("primary", script.clone()).await;
        for _ in 0..2 {
            let answer = stack.call("/v1/messages", call).await;
            assert_eq!(answer.status, expected, "{script}: {answer:?}");
        }
    }
    stack.reset("primary").await;
    for _ in 0..2 {
        assert_eq!(stack.call("/v1/messages/count_tokens", &whole).await.status, 200);
        assert_eq!(stack.get("/v1/models").await.status, 200);
    }
}

#[tokio::test]
async fn of_fifty_streams_each_begun_when_the_one_before_has_said_its_last_none_meets_another() {
    let stack = stack(1).start().await;
    for turn in 0..50 {
        let mut answer = stack.send("/v1/messages", &streamed()).await;
        assert_eq!(answer.status(), 200, "stream {turn}");
        let mut received = Vec::new();
        // As SDKs do, stop at the last event, without waiting for the end of the connection.
        while !received.windows(12).any(|part| part == b"message_stop") {
            received.extend_from_slice(&answer.chunk().await.unwrap().expect("a whole stream"));
        }
    }
}

#[tokio::test]
async fn a_client_that_leaves_holds_its_place_until_the_call_is_over_and_no_longer() {
    let stack = stack(1).start().await;
    long_streams(&stack).await;
    let answer = begin(&stack).await;
    let id = answer.headers()["x-levee-request-id"].to_str().unwrap().to_owned();
    drop(answer);
    // The answer is still generated and metered after the client has left.
    assert_eq!(status(&stack).await, 429);
    assert_eq!(stack.wide_event("ai-proxy", &id).await["outcome"], "ok");
    assert_eq!(status(&stack).await, 200);
}

#[tokio::test]
async fn the_place_of_a_call_whose_environment_died_is_free_when_nobody_renews_it() {
    let stack = stack(1).only_primary().start().await;
    stack.script("primary", json!({ "hang": true })).await;
    let hanging = tokio::spawn(stack.request("/v1/messages").json(&messages("Hello")).send());
    stack.wait_for_provider("primary", "in_flight", 1).await;
    let busy = stack.busy_environment("ai-proxy").await;
    stack.control("POST", &format!("/functions/ai-proxy/{busy}/kill"), Value::Null).await;
    assert_eq!(hanging.await.unwrap().unwrap().status(), 502);
    stack.script("primary", json!({ "hang": null })).await;

    assert_eq!(status(&stack).await, 429);
    stack.advance(60).await;
    assert_eq!(status(&stack).await, 429);
    stack.advance(31).await;
    assert_eq!(status(&stack).await, 200);
}

#[tokio::test]
async fn the_place_of_a_call_that_never_reached_the_proxy_is_free_soon() {
    let stack = stack(1).start().await;
    // The authorizer allows the call, and the gateway refuses it: the event exceeds the size limit of a function.
    let body = json!({ "model": "claude-sonnet-5-5", "padding": "x".repeat(7 * 1024 * 1024) });
    assert_eq!(stack.call("/v1/messages", &body).await.status, 413);
    assert_eq!(status(&stack).await, 429);
    stack.advance(31).await;
    assert_eq!(status(&stack).await, 200);
}

#[tokio::test]
async fn a_call_during_which_redis_goes_ends_well_and_its_report_says_what_was_not_given_back() {
    let stack = stack(2).start().await;
    let before = stack.call("/v1/messages", &messages("Hello")).await;
    let before = stack.wide_event("ai-proxy", before.header("x-levee-request-id")).await;
    assert_eq!((&before["outcome"], &before["Unreleased"]), (&json!("ok"), &json!(0)));

    long_streams(&stack).await;
    let stream = begin(&stack).await;
    stack.control("POST", "/redis/stop", Value::Null).await;
    let answer = Answer::read(stream).await;
    assert_eq!(answer.events().last().unwrap().0, "message_stop");

    let report = stack.wide_event("ai-proxy", answer.header("x-levee-request-id")).await;
    assert_eq!((&report["outcome"], &report["Unreleased"]), (&json!("ok"), &json!(1)), "{report}");
    stack.reset("primary").await;
    assert_eq!(status(&stack).await, 200, "nobody is refused without Redis");
}
