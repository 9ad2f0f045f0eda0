//! Attempts that fail: they count nothing, or what may have been used, once.

use std::time::Duration;

use levee::metering::{Figures, State};
use serde_json::json;
use tests::{Scripted, messages};

use crate::{builder, find, streamed};

#[tokio::test]
async fn an_attempt_that_the_provider_refused_is_void_and_counts_nothing() {
    let stack = builder().start().await;
    let before = stack.month(stack.account_id()).await;
    for status in [500, 529, 429, 400] {
        stack.script("primary", json!({ "status": status })).await;
        for call in [messages("Hello"), streamed()] {
            let answer = stack.call("/v1/messages", &call).await;
            assert_eq!(answer.status, status, "{answer:?}");
            let record = find(&stack, answer.header("x-levee-request-id")).await.unwrap();
            assert_eq!((record.state, record.figures), (State::Void, Figures::default()), "{status}");
        }
    }
    assert_eq!(stack.month(stack.account_id()).await, before);
}

#[tokio::test]
async fn an_attempt_that_reached_nobody_is_void_and_counts_nothing() {
    // A port that nobody listens on any more.
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    drop(listener);
    let providers = json!([{ "name": "gone", "kind": "anthropic", "base_url": url, "api_key": "sk-gone" }]);
    let stack = builder().env("AI_PROVIDERS", &providers.to_string()).start().await;
    let before = stack.month(stack.account_id()).await;
    for call in [messages("Hello"), streamed()] {
        let answer = stack.call("/v1/messages", &call).await;
        assert_eq!(answer.status, 502, "{answer:?}");
        let record = find(&stack, answer.header("x-levee-request-id")).await.unwrap();
        assert_eq!((record.state, record.call.provider.as_str()), (State::Void, "gone"));
    }
    assert_eq!(stack.month(stack.account_id()).await, before);
}

#[tokio::test]
async fn an_answer_that_is_cut_within_its_json_is_there_once_as_an_estimate() {
    let head = "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 500\r\nconnection: close\r\n\r\n";
    let provider = Scripted::start(vec![(Duration::ZERO, format!("{head}{{\"id\":\"msg_1\","))]).await;
    let stack = builder().env("AI_PROVIDERS", &provider.as_only_provider("")).start().await;
    let before = stack.month(stack.account_id()).await;
    let answer = stack.call("/v1/messages", &messages("Hello")).await;
    assert_eq!(answer.status, 502, "{answer:?}");
    let record = find(&stack, answer.header("x-levee-request-id")).await.unwrap();
    assert_eq!((record.state, record.estimated), (State::Closed, true));
    let after = stack.month(stack.account_id()).await;
    assert_eq!((after.calls - before.calls, after.estimated_calls - before.estimated_calls), (1, 1));
}

#[tokio::test]
async fn a_stream_that_is_cut_counts_its_input_and_an_estimate_of_what_came() {
    let stack = builder().start().await;
    let before = stack.month(stack.account_id()).await;
    stack.script("primary", json!({ "cut_after": 3, "usage": { "input_tokens": 77 } })).await;
    let answer = stack.call("/v1/messages", &streamed()).await;
    assert_eq!(answer.events().last().unwrap().0, "error", "{answer:?}");
    let record = find(&stack, answer.header("x-levee-request-id")).await.unwrap();
    assert_eq!((record.state, record.estimated, record.figures.usage.input), (State::Closed, true, 77));
    assert!(record.figures.usage.output > 0);
    let after = stack.month(stack.account_id()).await;
    assert_eq!((after.calls - before.calls, after.estimated_calls - before.estimated_calls), (1, 1));
    assert_eq!(after.input - before.input, 77);
}
