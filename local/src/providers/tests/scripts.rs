//! The effect of each field of a script on a client.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::client::Stage;

#[tokio::test]
async fn status_fails_every_call_of_every_endpoint() {
    let stage = Stage::set().await;
    for (status, kind) in [
        (400, "invalid_request_error"),
        (401, "authentication_error"),
        (402, "billing_error"),
        (403, "permission_error"),
        (404, "not_found_error"),
        (409, "conflict_error"),
        (413, "request_too_large"),
        (429, "rate_limit_error"),
        (500, "api_error"),
        (503, "api_error"),
        (504, "timeout_error"),
        (529, "overloaded_error"),
    ] {
        stage.script(json!({ "status": status, "retry_after": 7 })).await;
        for answer in [stage.message(json!({ "stream": true })).await, stage.get("/v1/models").await] {
            assert_eq!((answer.status, &answer.json()["error"]["type"]), (status, &json!(kind)));
            assert_eq!(answer.header("retry-after"), Some("7"));
            assert!(status != 529 || answer.status_line().ends_with(" 529 Overloaded"), "{}", answer.status_line());
            assert_eq!(answer.header("content-type"), Some("application/json"));
        }
    }
    stage.script(json!({ "retry_after": "soon" })).await;
    assert_eq!(stage.message(json!({})).await.header("retry-after"), Some("soon"));
    assert_eq!(stage.shown().await["failed"], 13);
}

#[tokio::test]
async fn fail_ratio_spreads_failures_evenly() {
    let stage = Stage::set().await;
    stage.script(json!({ "fail_ratio": 0.25 })).await;
    let mut statuses = Vec::new();
    for _ in 0..8 {
        statuses.push(stage.message(json!({})).await.status);
    }
    assert_eq!(statuses, [200, 200, 200, 500, 200, 200, 200, 500]);
    stage.script(json!({ "status": 529, "fail_ratio": 1 })).await;
    assert_eq!(stage.message(json!({})).await.status, 529);
    stage.script(json!({ "fail_ratio": 0 })).await;
    assert_eq!(stage.message(json!({})).await.status, 200);
}

#[tokio::test]
async fn ttft_gap_and_deltas_shape_the_time_of_an_answer() {
    let stage = Stage::set().await;
    stage.script(json!({ "ttft_ms": 200, "gap_ms": 20, "deltas": 5 })).await;
    let began = Instant::now();
    let answer = stage.message(json!({ "stream": true })).await;
    assert_eq!(answer.deltas(), 5);
    assert!(began.elapsed() >= Duration::from_millis(200 + 4 * 20));

    let start_comes_first = |got: &str| {
        let has_started = got.contains("event: ping");
        assert!(!has_started || !got.contains("content_block"), "the start waited with the content");
        has_started
    };
    drop(stage.begin(json!({ "stream": true }), start_comes_first).await);

    let began = Instant::now();
    assert_eq!(stage.message(json!({})).await.status, 200);
    assert!(began.elapsed() >= Duration::from_millis(200 + 5 * 20));
}

#[tokio::test]
async fn deltas_are_as_many_as_asked_while_max_tokens_has_room() {
    let stage = Stage::set().await;
    for (deltas, max_tokens, sent) in
        [(0, 100, 0), (1, 100, 1), (300, 100, 300), (500, 100, 400), (100_000, 64_000, 100_000)]
    {
        stage.script(json!({ "deltas": deltas })).await;
        let answer = stage.message(json!({ "stream": true, "max_tokens": max_tokens })).await;
        assert_eq!(answer.deltas(), sent, "{deltas} deltas in {max_tokens} tokens");
        let events = answer.events();
        let usage = &events[events.len() - 2]["usage"];
        assert!(usage["output_tokens"].as_u64().unwrap() <= max_tokens);
    }
}

#[tokio::test]
async fn hang_headers_never_answers_and_ends_with_its_client() {
    let stage = Stage::set().await;
    for hang in [json!(true), json!("headers")] {
        stage.script(json!({ "hang": hang })).await;
        let connection = stage.begin(json!({}), |_| true).await;
        stage.shown_when(|shown| shown["in_flight"] == 1).await;
        tokio::time::sleep(Duration::from_millis(50)).await;
        let mut nothing = [0; 1];
        let read = connection.try_read(&mut nothing);
        assert_eq!(read.unwrap_err().kind(), std::io::ErrorKind::WouldBlock);
        drop(connection);
        stage.shown_when(|shown| shown["in_flight"] == 0).await;
    }
    assert_eq!(stage.shown().await["interrupted"], 2);
}

#[tokio::test]
async fn hang_first_token_pings_and_says_nothing() {
    let stage = Stage::set().await;
    stage.script(json!({ "hang": "first_token" })).await;
    let twice = |got: &str| {
        assert!(!got.contains("content_block"));
        got.matches("event: ping").count() == 2
    };
    drop(stage.begin(json!({ "stream": true }), twice).await);
    let shown = stage.shown_when(|shown| shown["in_flight"] == 0).await;
    assert_eq!((&shown["interrupted"], &shown["usage"]["input_tokens"]), (&json!(1), &json!(0)));
    assert_ne!(shown["partial_usage"]["input_tokens"], 0);
    drop(stage.begin(json!({}), |got| got.ends_with("\r\n\r\n")).await);
}

#[tokio::test]
async fn hang_stream_falls_silent_after_two_deltas() {
    let stage = Stage::set().await;
    stage.script(json!({ "hang": "stream" })).await;
    let two = |got: &str| got.matches("event: content_block_delta").count() == 2;
    drop(stage.begin(json!({ "stream": true }), two).await);
    let shown = stage.shown_when(|shown| shown["in_flight"] == 0).await;
    assert_eq!((&shown["interrupted"], &shown["completed"]), (&json!(1), &json!(0)));
    assert_ne!(shown["partial_usage"]["output_tokens"], 0);
}

#[tokio::test]
async fn cut_after_drops_the_connection() {
    let stage = Stage::set().await;
    let uncut = stage.message(json!({ "stream": true })).await;
    for after in [0, 3, 8] {
        stage.script(json!({ "cut_after": after })).await;
        let answer = stage.message(json!({ "stream": true })).await;
        assert_eq!((answer.status, answer.deltas(), answer.is_whole), (200, after, false));
        assert!(uncut.text().starts_with(&answer.text()), "what comes before the cut is unchanged");
    }
    let answer = stage.message(json!({})).await;
    assert_eq!((answer.status, answer.is_whole), (200, false));
    assert!(!answer.body.is_empty());
    stage.script(json!({ "cut_after": 9 })).await;
    assert!(stage.message(json!({ "stream": true })).await.is_whole, "a shorter stream ends as usual");
    let shown = stage.shown().await;
    assert_eq!((&shown["failed"], &shown["completed"]), (&json!(4), &json!(2)));
}

#[tokio::test]
async fn error_event_after_ends_the_stream_inside_a_200() {
    let stage = Stage::set().await;
    for after in [0, 3] {
        stage.script(json!({ "error_event_after": after })).await;
        let answer = stage.message(json!({ "stream": true })).await;
        assert_eq!((answer.status, answer.deltas(), answer.is_whole), (200, after, true));
        let events = answer.events();
        let error = json!({ "type": "error", "error": { "type": "overloaded_error", "message": "Overloaded" } });
        assert_eq!(events[0]["type"], "message_start");
        assert_eq!(events.last(), Some(&error));
    }
    assert_eq!(stage.message(json!({})).await.status, 200);
    assert_eq!(stage.shown().await["failed"], 2);
}

#[tokio::test]
async fn usage_is_laid_over_what_was_computed() {
    let stage = Stage::set().await;
    let usage = json!({ "input_tokens": 5, "output_tokens": 7, "cache_read_input_tokens": 11,
                        "cache_creation": { "ephemeral_1h_input_tokens": 13 } });
    stage.script(json!({ "usage": usage })).await;
    let events = stage.message(json!({ "stream": true })).await.events();
    assert_eq!(events[0]["message"]["usage"]["output_tokens"], 1);
    assert_eq!(events[0]["message"]["usage"]["cache_creation"]["ephemeral_1h_input_tokens"], 13);
    let last = &events[events.len() - 2]["usage"];
    assert_eq!((&last["output_tokens"], &last["cache_creation_input_tokens"]), (&json!(7), &json!(13)));
    let whole = &stage.message(json!({})).await.json()["usage"];
    assert_eq!((&whole["input_tokens"], &whole["output_tokens"]), (&json!(5), &json!(7)));
    let served = &stage.shown().await["usage"];
    assert_eq!((&served["input_tokens"], &served["output_tokens"]), (&json!(10), &json!(14)));
    assert_eq!(served["ephemeral_1h_input_tokens"], 26);
}

#[tokio::test]
async fn iterations_and_the_other_newer_usage_fields_are_sent_where_anthropic_sends_them() {
    let stage = Stage::set().await;
    let split = json!({ "ephemeral_5m_input_tokens": 1, "ephemeral_1h_input_tokens": 2 });
    let counts = json!({ "input_tokens": 5, "output_tokens": 7, "cache_creation_input_tokens": 3,
                         "cache_read_input_tokens": 2, "cache_creation": split });
    let iteration = |fields: Value| {
        let mut iteration = counts.clone();
        iteration.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
        iteration
    };
    let iterations = json!([
        iteration(json!({ "type": "message" })),
        iteration(json!({ "type": "compaction" })),
        iteration(json!({ "type": "advisor_message", "model": "claude-opus-5-5" })),
        iteration(json!({ "type": "fallback_message", "model": "claude-haiku-5-5" })),
    ]);
    let usage = json!({ "iterations": iterations, "output_tokens_details": { "thinking_tokens": 4 },
                        "speed": "fast", "inference_geo": "eu", "service_tier": "priority" });
    stage.script(json!({ "usage": usage })).await;

    let whole = &stage.message(json!({})).await.json()["usage"];
    let events = stage.message(json!({ "stream": true })).await.events();
    let (start, end) = (&events[0]["message"]["usage"], &events[events.len() - 2]["usage"]);
    for (field, value) in usage.as_object().unwrap() {
        assert_eq!(&whole[field], value);
        let is_cumulative = matches!(field.as_str(), "iterations" | "output_tokens_details");
        assert_eq!(start.get(field), Some(value).filter(|_| !is_cumulative), "{field}");
        assert_eq!(end.get(field), Some(value).filter(|_| is_cumulative), "{field}");
    }
}

#[tokio::test]
async fn a_client_that_leaves_stops_the_generation() {
    let stage = Stage::set().await;
    stage.script(json!({ "gap_ms": 20, "deltas": 1_000 })).await;
    let some = |got: &str| got.matches("event: content_block_delta").count() >= 3;
    drop(stage.begin(json!({ "stream": true, "max_tokens": 10_000 }), some).await);
    let shown = stage.shown_when(|shown| shown["in_flight"] == 0).await;
    assert_eq!(shown["interrupted"], 1);
    let sent = shown["partial_usage"]["output_tokens"].as_u64().unwrap();
    assert!((1..1_000).contains(&sent), "{sent}");
}

#[tokio::test]
async fn delete_restores_script_and_counts() {
    let stage = Stage::set().await;
    stage.script(json!({ "hang": true })).await;
    let old = stage.begin(json!({}), |_| true).await;
    stage.shown_when(|shown| shown["in_flight"] == 1).await;
    let shown = stage.control("DELETE", "primary", json!(null)).await.json();
    assert_eq!((&shown["script"], &shown["requests"], &shown["last_request"]), (&json!({}), &json!(0), &json!(null)));
    drop(old);
    assert_eq!(stage.message(json!({})).await.status, 200);
    let shown = stage.shown().await;
    assert_eq!((&shown["requests"], &shown["in_flight"], &shown["interrupted"]), (&json!(1), &json!(0), &json!(0)));
}

#[tokio::test]
async fn each_call_is_remembered_with_how_it_ended_and_what_of_it_was_sent() {
    let stage = Stage::set().await;
    let call = |user: &str| json!({ "stream": true, "metadata": { "user_id": user } });
    let whole = stage.message(json!({ "model": "claude-haiku-5-5" })).await.json();
    stage.message(call("whole")).await;
    stage.script(json!({ "cut_after": 3 })).await;
    stage.message(call("cut")).await;
    stage.script(json!({ "cut_after": null, "hang": "stream" })).await;
    drop(stage.begin(call("left"), |got| got.contains("content_block_delta")).await);
    stage.shown_when(|shown| shown["interrupted"] == 1).await;
    stage.message(json!({ "model": null })).await;

    let shown = stage.control("GET", "primary/served", json!(null)).await.json();
    let served = shown["served"].as_array().unwrap();
    let told = |field: &str| served.iter().map(|call| call[field].clone()).collect::<Vec<_>>();
    assert_eq!(json!(told("number")), json!([1, 2, 3, 4]), "one that is not understood is none");
    assert_eq!(json!(told("user")), json!([null, "whole", "cut", "left"]));
    assert_eq!(json!(told("end")), json!(["completed", "completed", "failed", "interrupted"]));
    for field in ["id", "model", "usage"] {
        let name = if field == "id" { "message" } else { field };
        assert_eq!(served[0][name], whole[field], "{field}");
    }
    let output = |at: usize| served[at]["usage"]["output_tokens"].as_u64().unwrap();
    assert!(output(1) > output(2) && output(2) > 0, "{shown}");

    let rest = stage.control("GET", "primary/served?after=3", json!(null)).await.json();
    assert_eq!(rest["served"], json!([served[3]]));
}
