//! Attempts that fail: they count nothing, or the estimated usage, once.

use std::time::Duration;

use levee::metering::{Figures, RecordState, estimate_prompt};
use serde_json::json;
use tests::{STREAM_HEAD, Scripted, messages};

use super::{builder, find, lines, streamed};

const ERROR_EVENT: &str = "event: error\ndata: {\"type\":\"error\",\"error\":{\"type\":\"overloaded_error\",\
                           \"message\":\"Overloaded\"}}\n\n";

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
            assert_eq!((record.state, record.figures), (RecordState::Void, Figures::default()), "{status}");
        }
    }
    assert_eq!(stack.month(stack.account_id()).await, before);
}

#[tokio::test]
async fn an_attempt_that_reached_nobody_is_void_and_counts_nothing() {
    // A port on which nothing listens any more.
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
        assert_eq!((record.state, record.call.provider.as_str()), (RecordState::Void, "gone"));
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
    assert_eq!((record.state, record.estimated), (RecordState::Closed, true));
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
    assert_eq!((record.state, record.estimated, record.figures.usage.input), (RecordState::Closed, true, 77));
    assert!(record.figures.usage.output > 0);
    let after = stack.month(stack.account_id()).await;
    assert_eq!((after.calls - before.calls, after.estimated_calls - before.estimated_calls), (1, 1));
    assert_eq!(after.input - before.input, 77);
}

#[tokio::test]
async fn an_error_event_that_opens_a_stream_is_void_and_counts_nothing() {
    let provider = Scripted::start(vec![(Duration::ZERO, format!("{STREAM_HEAD}{ERROR_EVENT}"))]).await;
    let stack = builder().env("AI_PROVIDERS", &provider.as_only_provider("")).start().await;
    let before = stack.month(stack.account_id()).await;
    let answer = stack.call("/v1/messages", &streamed()).await;
    // Nothing had been passed on, so the answer has an error status.
    assert_eq!((answer.status, answer.json()["error"]["type"].as_str()), (529, Some("overloaded_error")), "{answer:?}");
    let id = answer.header("x-levee-request-id");
    let record = find(&stack, id).await.unwrap();
    assert_eq!((record.state, record.figures), (RecordState::Void, Figures::default()));
    assert_eq!(stack.wide_event("ai-proxy", id).await["outcome"], "provider_error");
    assert_eq!(stack.month(stack.account_id()).await, before);
}

#[tokio::test]
async fn an_error_event_after_the_message_began_counts_its_input_as_an_estimate() {
    let stack = builder().start().await;
    let before = stack.month(stack.account_id()).await;
    stack.script("primary", json!({ "error_event_after": 0, "usage": { "input_tokens": 77 } })).await;
    let answer = stack.call("/v1/messages", &streamed()).await;
    assert_eq!((answer.status, answer.json()["error"]["type"].as_str()), (529, Some("overloaded_error")), "{answer:?}");
    let record = find(&stack, answer.header("x-levee-request-id")).await.unwrap();
    assert_eq!((record.state, record.estimated, record.figures.usage.input), (RecordState::Closed, true, 77));
    let after = stack.month(stack.account_id()).await;
    assert_eq!((after.calls - before.calls, after.estimated_calls - before.estimated_calls), (1, 1));
    assert_eq!(after.input - before.input, 77);
}

#[tokio::test]
async fn what_comes_after_a_streams_end_is_dropped_and_changes_nothing() {
    let usage = r#""usage":{"input_tokens":77,"output_tokens":9}"#;
    let whole = format!(
        "event: message_start\ndata: {{\"type\":\"message_start\",\"message\":{{{usage}}}}}\n\n\
         event: message_delta\ndata: {{\"type\":\"message_delta\",{usage}}}\n\n\
         event: message_stop\ndata: {{\"type\":\"message_stop\"}}\n\n"
    );
    let (began, later) = (format!("{STREAM_HEAD}{whole}"), ERROR_EVENT.to_owned());
    let pause = Duration::from_millis(200);
    let provider = Scripted::start(vec![(Duration::ZERO, began), (pause, later.clone()), (pause, later)]).await;
    let stack = builder().env("AI_PROVIDERS", &provider.as_only_provider("")).start().await;
    let before = stack.month(stack.account_id()).await;
    let answer = stack.call("/v1/messages", &streamed()).await;
    assert_eq!(answer.text(), whole);
    let id = answer.header("x-levee-request-id");
    let record = find(&stack, id).await.unwrap();
    let usage = record.figures.usage;
    assert_eq!((record.state, record.estimated, usage.input, usage.output), (RecordState::Closed, false, 77, 9));
    assert_eq!(stack.wide_event("ai-proxy", id).await["outcome"], "ok");
    assert!(lines(&stack, "ai-proxy", "provider.failed").is_empty());
    assert_eq!(stack.month(stack.account_id()).await.calls - before.calls, 1);
}

#[tokio::test]
async fn an_absurd_figure_is_logged_once_an_answer_with_whose_it_is_and_makes_an_estimate() {
    let stack = builder().start().await;
    stack.script("primary", json!({ "usage": { "input_tokens": 2_000_000_000 } })).await;
    for call in [messages("Hello"), streamed()] {
        let answer = stack.call("/v1/messages", &call).await;
        assert_eq!(answer.status, 200, "{answer:?}");
        let id = answer.header("x-levee-request-id");
        let record = find(&stack, id).await.unwrap();
        let prompt = estimate_prompt(call.to_string().as_bytes());
        assert_eq!((record.state, record.estimated, record.figures.usage.input), (RecordState::Closed, true, prompt));
        let mut said = lines(&stack, "ai-proxy", "metering.absurd");
        said.retain(|line| line["request.id"] == id);
        let said: Vec<_> = said.iter().map(|it| [&it["account.id"], &it["provider"], &it["field"]]).collect();
        assert_eq!(said, [["acme", "primary", "input_tokens"]]);
    }
}
