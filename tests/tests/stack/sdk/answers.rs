//! Answers and streams, and the requests that the provider receives.

use std::collections::BTreeSet;

use rstest::rstest;
use serde_json::{Value, json};
use tests::Language::{self, Python, TypeScript};
use tests::{Sdk, Stack};

use super::{assert_same, statuses};

/// API version that the current majors of both SDKs request.
const VERSION: &str = "2026-10-21";

/// Returns the parameters of a request's query, unordered: API Gateway passes them on as a map.
fn parameters(request: &Value) -> BTreeSet<&str> {
    request["query"].as_str().unwrap_or_default().split('&').collect()
}

#[rstest]
#[tokio::test]
async fn calls_streams_counts_and_models_are_those_of_the_provider(#[values(Python, TypeScript)] language: Language) {
    let stack = Stack::builder().start().await;
    let mut sdk = Sdk::start(language).await;
    for scenario in [
        "create",
        "cached",
        "stream_events",
        "stream_text",
        "stream_tool",
        "stream_thinking",
        "billed",
        "stream_billed",
        "count_tokens",
        "models",
        "model",
        "beta",
        "at_once",
    ] {
        let outcome = assert_same(&mut sdk, &stack, scenario, |target| target).await;
        assert_eq!(outcome["error"], Value::Null, "{outcome}");
    }
}

#[rstest]
#[tokio::test]
async fn an_answer_is_put_together_from_what_was_streamed(#[values(Python, TypeScript)] language: Language) {
    let stack = Stack::builder().start().await;
    let mut sdk = Sdk::start(language).await;

    let text = sdk.run("stream_text", &stack.target()).await;
    let [block] = text["message"]["content"].as_array().unwrap().as_slice() else { panic!("{text}") };
    assert_eq!((&block["type"], &block["text"]), (&json!("text"), &text["text"]));
    assert!(text["text"].as_str().unwrap().starts_with("Hello from primary"), "{text}");
    assert_eq!(text["message"]["stop_reason"], "end_turn");

    let tool = sdk.run("stream_tool", &stack.target()).await;
    let block = tool["message"]["content"].as_array().unwrap().last().unwrap();
    let streamed: Value = serde_json::from_str(tool["partial_json"].as_str().unwrap()).unwrap();
    assert_eq!((&block["type"], &block["name"]), (&json!("tool_use"), &json!("get_weather")));
    assert_eq!(block["input"], streamed);
    assert!(block["input"]["city"].is_string() && block["input"]["days"] == 3, "{block}");
    assert_eq!(tool["message"]["stop_reason"], "tool_use");

    let thinking = sdk.run("stream_thinking", &stack.target()).await;
    let [thought, said] = thinking["message"]["content"].as_array().unwrap().as_slice() else { panic!("{thinking}") };
    assert_eq!((&thought["type"], &thought["thinking"]), (&json!("thinking"), &thinking["thinking"]));
    assert!(!thought["signature"].as_str().unwrap().is_empty() && !thought["thinking"].as_str().unwrap().is_empty());
    assert_eq!(said["text"], thinking["text"]);

    let events = sdk.run("stream_events", &stack.target()).await;
    let deltas = events["events"].as_array().unwrap().iter().filter(|event| event["type"] == "content_block_delta");
    let pieces: String = deltas.map(|event| event["delta"]["text"].as_str().unwrap()).collect();
    assert_eq!(text["text"], pieces, "the same call, taken event by event");
}

#[rstest]
#[tokio::test]
async fn tokens_are_counted_and_models_listed_page_by_page(#[values(Python, TypeScript)] language: Language) {
    let stack = Stack::builder().start().await;
    let mut sdk = Sdk::start(language).await;

    let counted = sdk.run("count_tokens", &stack.target()).await;
    assert!(counted["input_tokens"].as_u64().is_some_and(|tokens| tokens > 0), "{counted}");

    let listed = sdk.run("models", &stack.target()).await;
    let everything = stack.get("/v1/models?limit=1000").await.json();
    let expected: Vec<&Value> = everything["data"].as_array().unwrap().iter().map(|model| &model["id"]).collect();
    assert_eq!(listed["ids"], json!(expected));
    assert_eq!(statuses(&listed).len(), expected.len().div_ceil(3), "three models a page");

    let retrieved = sdk.run("model", &stack.target()).await;
    assert_eq!(retrieved["model"]["id"], "claude-opus-5-5-20260811", "the alias's model");
}

#[rstest]
#[tokio::test]
async fn the_provider_gets_the_request_that_the_sdk_made(#[values(Python, TypeScript)] language: Language) {
    let stack = Stack::builder().start().await;
    let mut sdk = Sdk::start(language).await;
    for scenario in ["create", "stream_thinking", "count_tokens", "models", "beta"] {
        sdk.run(scenario, &stack.target()).await;
        let through = stack.provider("primary").await["last_request"].clone();
        sdk.run(scenario, &stack.provider_target().await).await;
        let direct = stack.provider("primary").await["last_request"].clone();

        for field in ["method", "path", "body_hash", "body_length"] {
            assert_eq!(through[field], direct[field], "{scenario}: {field}");
        }
        assert_eq!(parameters(&through), parameters(&direct), "{scenario}");
        for header in ["anthropic-version", "anthropic-beta", "content-type"] {
            assert_eq!(through["headers"][header], direct["headers"][header], "{scenario}: {header}");
        }
        assert_eq!(through["headers"]["anthropic-version"], VERSION);
        // The SDKs send their key as a bearer token; the caller's key is not passed on to the provider.
        let key = Stack::provider_key("primary");
        assert_eq!(direct["headers"]["authorization"], format!("Bearer {key}"));
        assert_eq!(
            (&through["headers"]["authorization"], &through["headers"]["x-api-key"]),
            (&Value::Null, &json!(key))
        );
        match scenario {
            "models" => assert!(parameters(&through).contains("limit=3"), "{through}"),
            "beta" => assert_eq!(through["headers"]["anthropic-beta"], "one-2026-01-01,two"),
            _ => {}
        }
    }
}

#[rstest]
#[tokio::test]
async fn the_raw_response_shows_where_the_limits_stand(#[values(Python, TypeScript)] language: Language) {
    let stack = Stack::builder().start().await;
    let outcome = Sdk::start(language).await.run("create_raw", &stack.target()).await;
    let header = |name: &str| outcome["headers"][name].as_str().unwrap_or_else(|| panic!("no {name}: {outcome}"));

    assert_eq!((&outcome["status"], &outcome["message"]["type"]), (&json!(200), &json!("message")));
    // `request-id` of a message is the provider's, as without Levee; Levee's own id has a header of its own.
    assert!(header("request-id").starts_with("req_") && outcome["request_id"] == header("request-id"), "{outcome}");
    assert!(!header("x-levee-request-id").is_empty() && header("x-levee-request-id") != header("request-id"));
    assert_eq!((header("x-levee-provider"), header("x-levee-attempts")), ("primary", "1"));
    assert_eq!(
        header("ratelimit-policy"),
        r#""integration";q=300;w=60, "account";q=600;w=60, "in-flight";q=20;qu="concurrent-requests""#
    );
    assert!(header("ratelimit").starts_with(r#""integration";r="#), "{outcome}");
    assert_eq!(header("x-ratelimit-limit"), "300");
    // The provider's rate limit headers are about the whole platform and are removed.
    assert!(outcome["headers"]["anthropic-ratelimit-requests-limit"].is_null(), "{outcome}");
}
