//! The `answer` field: a scripted answer reaches the client unchanged.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::client::{Answer, Stage, message};

/// Calls every endpoint once, and messages also as a stream.
async fn every_endpoint(stage: &Stage) -> Vec<Answer> {
    vec![
        stage.message(json!({})).await,
        stage.message(json!({ "stream": true })).await,
        stage.post("/v1/messages/count_tokens", &message(json!({}))).await,
        stage.get("/v1/models").await,
        stage.get("/v1/models/claude-opus-5-5").await,
    ]
}

#[tokio::test]
async fn every_endpoint_sends_the_scripted_answer_and_no_header_beside_it() {
    let stage = Stage::set().await;
    let headers = json!({ "Retry-After": "soon", "x-several": ["one", "two"], "x-umlaut": "größer" });
    stage.script(json!({ "answer": { "status": 418, "headers": headers, "body": "no JSON" } })).await;
    for answer in every_endpoint(&stage).await {
        assert_eq!((answer.status, answer.text().as_str(), answer.is_whole), (418, "no JSON", true));
        let mut headers = answer.headers();
        headers.sort_unstable();
        let expected = [("retry-after", "soon"), ("x-several", "one"), ("x-several", "two"), ("x-umlaut", "größer")];
        assert_eq!(headers, expected);
    }

    stage.script(json!({ "answer": {} })).await;
    for answer in every_endpoint(&stage).await {
        assert_eq!((answer.status, answer.headers(), answer.text().as_str()), (200, vec![], ""));
    }
    stage.script(json!({ "answer": null })).await;
    assert_eq!(stage.message(json!({})).await.json()["type"], "message");
    assert_eq!(stage.shown().await["script"], json!({}));
}

#[tokio::test]
async fn every_status_of_three_digits_can_be_sent() {
    let stage = Stage::set().await;
    for status in [100, 101, 103, 199, 200, 204, 205, 206, 302, 304, 407, 499, 500, 599, 600, 999] {
        stage.script(json!({ "answer": { "status": status, "headers": { "x-a": "b" }, "body": "text" } })).await;
        let answer = stage.message(json!({})).await;
        let body = if status < 200 || status == 204 || status == 304 { "" } else { "text" };
        assert_eq!((answer.status, answer.headers(), answer.text().as_str()), (status, vec![("x-a", "b")], body));
        assert!(answer.is_whole);
    }
}

#[tokio::test]
async fn a_body_is_a_text_or_json_and_may_be_large() {
    let stage = Stage::set().await;
    let stream = "event: message_start\ndata: {\"type\":\"message_start\"}\n\nevent: ping\ndata: nonsense\n\n";
    let answer = json!({ "headers": { "content-type": "text/event-stream" }, "body": stream });
    stage.script(json!({ "answer": answer })).await;
    let answer = stage.message(json!({ "stream": true })).await;
    assert_eq!((answer.header("content-type"), answer.text().as_str()), (Some("text/event-stream"), stream));

    let body = json!({ "type": "message", "usage": [null, 1.5] });
    for (headers, content_type) in
        [(json!({}), "application/json"), (json!({ "content-type": "text/html" }), "text/html")]
    {
        stage.script(json!({ "answer": { "headers": headers, "body": body } })).await;
        let answer = stage.message(json!({})).await;
        assert_eq!((answer.headers(), answer.json()), (vec![("content-type", content_type)], body.clone()));
    }

    let (large, long) = ("body ".repeat(1_600_000), "h".repeat(40_000));
    let headers = json!({ "x-long": [long, long] });
    stage.script(json!({ "answer": { "headers": headers, "body": large } })).await;
    let answer = stage.message(json!({})).await;
    assert_eq!(answer.headers(), [("x-long", long.as_str()), ("x-long", long.as_str())]);
    assert!(answer.body == large.as_bytes(), "{} bytes came", answer.body.len());
}

#[tokio::test]
async fn failures_hangs_and_refusals_come_before_a_scripted_answer() {
    let stage = Stage::set().await;
    let answer = json!({ "status": 299, "body": "scripted" });
    stage.script(json!({ "answer": answer, "status": 529, "fail_ratio": 0.5 })).await;
    let mut statuses = Vec::new();
    for _ in 0..4 {
        statuses.push(stage.message(json!({})).await.status);
    }
    assert_eq!(statuses, [299, 529, 299, 529]);
    assert_eq!(stage.call("POST", "/v1/messages", &[("x-api-key", "sk-wrong")], b"{}").await.status, 401);

    // `ttft_ms` passes before a scripted answer.
    stage.script(json!({ "status": null, "fail_ratio": null, "ttft_ms": 150 })).await;
    let began = Instant::now();
    assert_eq!(stage.message(json!({ "model": null })).await.status, 299, "the request is not checked");
    assert!(began.elapsed() >= Duration::from_millis(150));

    // A hang takes precedence.
    stage.script(json!({ "hang": "headers" })).await;
    let connection = stage.begin(json!({}), |_| true).await;
    stage.shown_when(|shown| shown["in_flight"] == 1).await;
    drop(connection);
    stage.shown_when(|shown| shown["interrupted"] == 1).await;
}

#[tokio::test]
async fn calls_with_a_scripted_answer_are_counted_and_use_nothing() {
    let stage = Stage::set().await;
    for status in [200, 302, 399, 400, 999] {
        stage.script(json!({ "answer": { "status": status, "body": { "usage": { "input_tokens": 5 } } } })).await;
        every_endpoint(&stage).await;
    }
    let shown = stage.shown().await;
    let count = |field: &str| shown[field].as_u64().unwrap();
    assert_eq!((count("requests"), count("count_tokens"), count("models")), (10, 5, 10));
    assert_eq!((count("completed"), count("failed"), count("interrupted"), count("in_flight")), (6, 4, 0, 0));
    assert_eq!(shown["usage"]["input_tokens"], 0);
    let served = stage.control("GET", "primary/served", Value::Null).await.json();
    assert_eq!(served, json!({ "served": [] }));

    stage.script(json!({ "ttft_ms": 600_000 })).await;
    let connection = stage.begin(json!({}), |_| true).await;
    stage.shown_when(|shown| shown["in_flight"] == 1).await;
    drop(connection);
    stage.shown_when(|shown| shown["interrupted"] == 1).await;
}

#[tokio::test]
async fn a_refused_answer_changes_nothing_and_the_refusal_says_why() {
    let stage = Stage::set().await;
    stage.script(json!({ "answer": { "status": 299 } })).await;
    for (answer, mistake) in [
        (json!({ "status": 1_000 }), "answer: status: must be a number from 100 to 999"),
        (json!({ "headers": { "a b": "c" } }), "answer: headers: \"a b\" is not a header name"),
        (json!({ "state": 200 }), "answer: unknown field `state`, expected one of `status`, `headers`, `body`"),
    ] {
        let refusal = stage.control("PUT", "primary", json!({ "answer": answer })).await;
        assert_eq!((refusal.status, &refusal.json()["error"]), (400, &json!(mistake)));
    }
    assert_eq!(stage.shown().await["script"], json!({ "answer": { "status": 299 } }));
}
