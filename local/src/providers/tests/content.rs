//! Content of messages, whole and streamed.

use serde_json::{Value, json};

use super::client::{Answer, Stage};

/// Assembles a stream's events into the message that a JSON answer would contain.
fn assembled(answer: &Answer) -> Value {
    let mut message = Value::Null;
    let mut partial = String::new();
    for event in answer.events() {
        let at = |event: &Value| usize::try_from(event["index"].as_u64().unwrap()).unwrap();
        match event["type"].as_str().unwrap() {
            "message_start" => message = event["message"].clone(),
            "content_block_start" => {
                let content = message["content"].as_array_mut().unwrap();
                assert_eq!(at(&event), content.len());
                content.push(event["content_block"].clone());
            }
            "content_block_delta" => {
                let block = &mut message["content"][at(&event)];
                let delta = &event["delta"];
                for (kind, field) in
                    [("text_delta", "text"), ("thinking_delta", "thinking"), ("signature_delta", "signature")]
                {
                    if delta["type"] == kind {
                        block[field] =
                            json!(block[field].as_str().unwrap().to_owned() + delta[field].as_str().unwrap());
                    }
                }
                partial.push_str(delta["partial_json"].as_str().unwrap_or_default());
            }
            "content_block_stop" if !partial.is_empty() => {
                message["content"][at(&event)]["input"] = serde_json::from_str(&std::mem::take(&mut partial)).unwrap();
            }
            "message_delta" => {
                message["stop_reason"] = event["delta"]["stop_reason"].clone();
                message["stop_sequence"] = event["delta"]["stop_sequence"].clone();
                for (field, value) in event["usage"].as_object().unwrap() {
                    message["usage"][field] = value.clone();
                }
            }
            _ => {}
        }
    }
    message
}

fn kinds(message: &Value) -> Vec<&str> {
    message["content"].as_array().unwrap().iter().map(|block| block["type"].as_str().unwrap()).collect()
}

fn weather_tool() -> Value {
    json!({ "name": "get_weather", "input_schema": { "type": "object", "properties": { "city": { "type": "string" } } } })
}

#[tokio::test]
async fn a_stream_has_anthropics_events_in_their_order() {
    let stage = Stage::set().await;
    let answer = stage.message(json!({ "stream": true })).await;
    assert_eq!(answer.header("content-type"), Some("text/event-stream; charset=utf-8"));
    assert!(answer.is_whole);
    let mut expected = vec!["message_start", "ping", "content_block_start"];
    expected.extend(["content_block_delta"; 8]);
    expected.extend(["content_block_stop", "message_delta", "message_stop"]);
    assert_eq!(answer.event_names(), expected);

    let events = answer.events();
    let start = &events[0]["message"];
    assert_eq!((&start["stop_reason"], &start["content"]), (&json!(null), &json!([])));
    assert_eq!(start["model"], "claude-sonnet-5-5-20260915");
    assert_eq!(start["usage"]["output_tokens"], 1);
    assert_eq!(start["usage"]["cache_creation"]["ephemeral_5m_input_tokens"], 0);
    assert_eq!(start["usage"]["service_tier"], "standard");
    let last = &events[events.len() - 2];
    assert!(last["usage"]["output_tokens"].as_u64().unwrap() > 1);
    assert_eq!(last["usage"]["input_tokens"], start["usage"]["input_tokens"]);
    assert_eq!(last["usage"].get("cache_creation"), None);
}

#[tokio::test]
async fn the_same_request_gets_the_same_bytes_and_another_provider_says_something_else() {
    let stage = Stage::set().await;
    for stream in [false, true] {
        let first = stage.message(json!({ "stream": stream })).await;
        let second = stage.message(json!({ "stream": stream })).await;
        assert_eq!(first.body, second.body);
        assert_eq!(first.header("request-id"), second.header("request-id"));
        assert!(first.text().contains("Hello from primary: "));
        let other = stage.message(json!({ "stream": stream, "metadata": { "user_id": "x" } })).await;
        assert_ne!(first.body, other.body);
        let other = Stage::set_for("backup").await.message(json!({ "stream": stream })).await;
        assert!(other.text().contains("Hello from backup: "));
    }
}

#[tokio::test]
async fn a_stream_makes_the_message_it_would_have_been_whole() {
    let stage = Stage::set().await;
    for (changes, expected) in [
        (json!({}), &["text"][..]),
        (json!({ "thinking": { "type": "adaptive" } }), &["thinking", "text"]),
        (
            json!({ "thinking": { "type": "enabled" }, "tools": [weather_tool()], "tool_choice": { "type": "any" } }),
            &["thinking", "text", "tool_use"],
        ),
        (
            json!({ "tools": [{ "type": "web_search_20250305", "name": "web_search" }] }),
            &["server_tool_use", "web_search_tool_result", "text"],
        ),
    ] {
        let mut streaming = changes.clone();
        streaming["stream"] = json!(true);
        let message = assembled(&stage.message(streaming.clone()).await);
        assert_eq!(kinds(&message), expected, "{changes}");
        // The whole message has another body hash because of `stream`, so only kinds and keys are compared.
        let whole = stage.message(changes).await.json();
        assert_eq!(kinds(&whole), expected);
        assert_eq!(message["stop_reason"], whole["stop_reason"]);
        let keys = |message: &Value| message["usage"].as_object().unwrap().keys().cloned().collect::<Vec<_>>();
        assert_eq!(keys(&message), keys(&whole));
    }
}

#[tokio::test]
async fn a_tool_is_called_when_named_or_insisted_on() {
    let stage = Stage::set().await;
    let ask = |text: &str, choice: Value| {
        json!({
            "tools": [weather_tool()], "tool_choice": choice, "messages": [{ "role": "user", "content": text }],
        })
    };
    for (changes, calls) in [
        (ask("hello", json!(null)), false),
        (ask("use get_weather", json!({ "type": "auto" })), true),
        (ask("use get_weather", json!({ "type": "none" })), false),
        (ask("hello", json!({ "type": "tool", "name": "get_weather" })), true),
    ] {
        let message = stage.message(changes.clone()).await.json();
        assert_eq!(message["stop_reason"], if calls { "tool_use" } else { "end_turn" }, "{changes}");
        if calls {
            assert_eq!(message["content"][1]["name"], "get_weather");
            assert!(message["content"][1]["input"]["city"].is_string());
        }
    }
}

#[tokio::test]
async fn max_tokens_and_stop_sequences_end_the_text() {
    let stage = Stage::set().await;
    let message = stage.message(json!({ "max_tokens": 5 })).await.json();
    assert_eq!((&message["stop_reason"], &message["usage"]["output_tokens"]), (&json!("max_tokens"), &json!(5)));
    let message = stage.message(json!({ "max_tokens": 0 })).await.json();
    assert_eq!((&message["content"], &message["usage"]["output_tokens"]), (&json!([]), &json!(0)));
    let message = assembled(&stage.message(json!({ "max_tokens": 0, "stream": true })).await);
    assert_eq!((&message["content"], &message["usage"]["output_tokens"]), (&json!([]), &json!(0)));
    let message = stage.message(json!({ "stop_sequences": ["primary"] })).await.json();
    assert_eq!((&message["stop_reason"], &message["stop_sequence"]), (&json!("stop_sequence"), &json!("primary")));
    assert_eq!(message["content"][0]["text"], "Hello from ");
}

#[tokio::test]
async fn cache_use_is_reported_by_kind() {
    let stage = Stage::set().await;
    let block = |text: &str, ttl: &str| {
        json!({
            "type": "text", "text": text, "cache_control": { "type": "ephemeral", "ttl": ttl },
        })
    };
    let changes =
        json!({ "system": [block("long lived", "1h"), block("short lived", "5m"), block("a cached one", "5m")] });
    let usage = &stage.message(changes).await.json()["usage"];
    assert_eq!(usage["cache_creation"], json!({ "ephemeral_1h_input_tokens": 3, "ephemeral_5m_input_tokens": 3 }));
    assert_eq!((&usage["cache_creation_input_tokens"], &usage["cache_read_input_tokens"]), (&json!(6), &json!(3)));
    let served = &stage.shown().await["usage"];
    for field in ["input_tokens", "output_tokens", "cache_creation_input_tokens", "cache_read_input_tokens"] {
        assert_eq!(served[field], usage[field]);
    }
    assert_eq!((&served["ephemeral_1h_input_tokens"], &served["ephemeral_5m_input_tokens"]), (&json!(3), &json!(3)));
}
