//! Anthropic's official SDKs, pointed at the stack: what a program sees is what it would see of Anthropic itself.
//!
//! The programs are under `tests/sdk`; `cargo xtask test` installs the SDKs. Wherever the stack adds nothing of its own,
//! the same program asks the stand-in provider directly, and the two outcomes are held against each other.

#![expect(clippy::expect_used, clippy::panic, reason = "helpers of tests are tests")]

use std::collections::{BTreeMap, BTreeSet};

use levee::metering::{Figures, Record, State};
use rstest::rstest;
use serde_json::{Value, json};
use tests::Language::{self, Python, TypeScript};
use tests::{Sdk, Stack, Target, figures};

/// The version of the API that the current majors of both SDKs ask for.
const VERSION: &str = "2026-10-21";
const DAY_SECS: u64 = 86_400;

/// The statuses of the HTTP answers that the SDK got on the way.
fn statuses(outcome: &Value) -> Vec<u64> {
    let attempts = outcome["attempts"].as_array().expect("attempts");
    attempts.iter().map(|attempt| attempt["status"].as_u64().expect("a status")).collect()
}

/// The class of the exception that the scenario ended in.
fn class(outcome: &Value) -> &str {
    outcome["error"]["classes"][0].as_str().unwrap_or_else(|| panic!("no error: {outcome}"))
}

/// The parameters of a request's query. Their order is lost on the way: API Gateway hands them on as a map.
fn parameters(request: &Value) -> BTreeSet<&str> {
    request["query"].as_str().unwrap_or_default().split('&').collect()
}

/// What is raised for an error within a stream, whose status was 200.
fn streamed_error(language: Language) -> &'static str {
    match language {
        Python => "APIStatusError",
        TypeScript => "APIError",
    }
}

/// Checks an error of ours: raised at once, with Anthropic's type, and with an id to ask us about.
fn assert_refused(outcome: &Value, expected: &str, status: u64, kind: &str) {
    let error = &outcome["error"];
    assert_eq!((class(outcome), statuses(outcome)), (expected, vec![status]), "{outcome}");
    assert_eq!((&error["status"], &error["type"]), (&json!(status), &json!(kind)), "{outcome}");
    assert_eq!(error["api_message"], error["body"]["detail"], "{outcome}");
    assert!(error["request_id"].is_string(), "{outcome}");
    assert_eq!(error["request_id"], error["body"]["request_id"], "{outcome}");
}

/// Runs a scenario through the stack and directly; checks that the outcomes are the same, and returns them.
async fn assert_same(sdk: &mut Sdk, stack: &Stack, scenario: &str, adjust: impl Fn(Target) -> Target) -> Value {
    let through = sdk.run(scenario, &adjust(stack.target())).await;
    let direct = sdk.run(scenario, &adjust(stack.provider_target().await)).await;
    assert_eq!(through, direct, "{scenario}");
    through
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
    assert_eq!(retrieved["model"]["id"], "claude-opus-4-5-20251101", "the alias's model");
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
        // The SDKs show their key as a bearer token; ours is not the provider's business.
        let key = stack.provider_key("primary");
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

/// The ledger's records by their calls' ids, without those that are known.
async fn recorded(stack: &Stack, known: &BTreeSet<String>) -> BTreeMap<String, Record> {
    let records = stack.records().await.into_iter().map(|record| (record.call.id.clone(), record));
    records.filter(|(id, _)| !known.contains(id)).collect()
}

/// Figures in an order that does not depend on that of the calls.
fn sorted(figures: impl Iterator<Item = Figures>) -> Vec<String> {
    let mut sorted: Vec<_> = figures.map(|figures| format!("{figures:?}")).collect();
    sorted.sort();
    sorted
}

#[rstest]
#[tokio::test]
async fn the_usage_that_the_sdk_reports_is_the_providers_and_the_accounts(
    #[values(Python, TypeScript)] language: Language,
) {
    let stack = Stack::builder().start().await;
    let mut sdk = Sdk::start(language).await;
    let before = stack.month(stack.account_id()).await;

    let mut messages = Vec::new();
    let mut known = recorded(&stack, &BTreeSet::new()).await.into_keys().collect::<BTreeSet<_>>();
    for scenario in [
        "create",
        "cached",
        "stream_text",
        "stream_tool",
        "stream_thinking",
        "billed",
        "stream_billed",
        "beta",
        "at_once",
    ] {
        let outcome = sdk.run(scenario, &stack.target()).await;
        let told = outcome["messages"].as_array().cloned().unwrap_or_else(|| vec![outcome["message"].clone()]);
        // Call by call, before all of them are added up.
        let records = recorded(&stack, &known).await;
        assert!(records.values().all(|record| record.state == State::Closed && !record.estimated), "{records:?}");
        let in_ledger = records.values().map(|record| record.figures);
        let in_messages = told.iter().map(|message| figures(&message["usage"]));
        assert_eq!(sorted(in_ledger), sorted(in_messages), "{scenario}");
        if scenario.ends_with("billed") {
            let used = records.values().next().unwrap().figures.usage;
            assert!(used.cache_read > 0 && used.cache_write_5m > 0 && used.cache_write_1h > 0, "{used:?}");
            assert_eq!((used.web_searches, used.web_fetches), (1, 1));
            assert!(told[0]["usage"]["output_tokens_details"]["thinking_tokens"].as_u64() > Some(0), "{outcome}");
        }
        known.extend(records.into_keys());
        messages.extend(told);
    }
    let reported = |pointer: &str| -> u64 {
        messages.iter().map(|message| message["usage"].pointer(pointer).and_then(Value::as_u64).unwrap()).sum()
    };
    let reported = json!({
        "input_tokens": reported("/input_tokens"),
        "output_tokens": reported("/output_tokens"),
        "cache_read_input_tokens": reported("/cache_read_input_tokens"),
        "cache_creation_input_tokens": reported("/cache_creation_input_tokens"),
        "ephemeral_5m_input_tokens": reported("/cache_creation/ephemeral_5m_input_tokens"),
        "ephemeral_1h_input_tokens": reported("/cache_creation/ephemeral_1h_input_tokens"),
    });

    assert_eq!(messages.len(), 14);
    assert!(reported.as_object().unwrap().values().all(|tokens| tokens.as_u64().unwrap() > 0), "{reported}");
    assert_eq!(reported, stack.provider("primary").await["usage"]);
    let after = stack.month(stack.account_id()).await;
    assert_eq!(after.since(&before), (14, reported));
}

#[rstest]
#[tokio::test]
async fn the_raw_response_shows_where_the_limits_stand(#[values(Python, TypeScript)] language: Language) {
    let stack = Stack::builder().start().await;
    let outcome = Sdk::start(language).await.run("create_raw", &stack.target()).await;
    let header = |name: &str| outcome["headers"][name].as_str().unwrap_or_else(|| panic!("no {name}: {outcome}"));

    assert_eq!((&outcome["status"], &outcome["message"]["type"]), (&json!(200), &json!("message")));
    // The id of the message's call is the provider's, as without us; ours is beside it.
    assert!(header("request-id").starts_with("req_") && outcome["request_id"] == header("request-id"), "{outcome}");
    assert!(!header("x-levee-request-id").is_empty() && header("x-levee-request-id") != header("request-id"));
    assert_eq!((header("x-levee-provider"), header("x-levee-attempts")), ("primary", "1"));
    assert_eq!(
        header("ratelimit-policy"),
        r#""integration";q=300;w=60, "account";q=600;w=60, "in-flight";q=20;qu="concurrent-requests""#
    );
    assert!(header("ratelimit").starts_with(r#""integration";r="#), "{outcome}");
    assert_eq!(header("x-ratelimit-limit"), "300");
    assert!(header("anthropic-ratelimit-requests-limit").parse::<u64>().is_ok());
}

#[rstest]
#[tokio::test]
async fn a_wrong_key_raises_an_authentication_error(#[values(Python, TypeScript)] language: Language) {
    let stack = Stack::builder().start().await;
    let mut sdk = Sdk::start(language).await;
    let unknown = "lv_local_nobodysKey01_thisKeyOpensNothingButLocalhost31mUIlS";
    for key in ["nonsense", unknown, &stack.provider_key("primary")] {
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
    // At noon midnight is far more than a minute away.
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
    // Near enough to the minute's end for a short wait, far enough for two calls before it.
    stack.place_clock(60, 55).await;
    let first = sdk.run("create", &stack.target()).await;
    // One further try is all that it has: had it come back too early, it would have been refused again.
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
#[case::limited(429, "RateLimitError")]
#[case::malformed(400, "BadRequestError")]
#[tokio::test]
async fn an_upstream_error_raises_what_it_raises_against_the_provider_itself(
    #[values(Python, TypeScript)] language: Language,
    #[case] status: u64,
    #[case] expected: &str,
) {
    let stack = Stack::builder().start().await;
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

#[rstest]
#[tokio::test]
async fn an_error_within_a_stream_raises_what_it_raises_against_the_provider_itself(
    #[values(Python, TypeScript)] language: Language,
) {
    let stack = Stack::builder().start().await;
    let mut sdk = Sdk::start(language).await;
    stack.script("primary", json!({ "error_event_after": 3 })).await;

    for scenario in ["stream_text", "stream_events", "stream_thinking"] {
        let outcome = assert_same(&mut sdk, &stack, scenario, |target| target).await;
        assert_eq!((class(&outcome), statuses(&outcome)), (streamed_error(language), vec![200]), "{outcome}");
        assert_eq!(outcome["error"]["type"], "overloaded_error");
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
    let stack = Stack::builder().start().await;
    let mut sdk = Sdk::start(language).await;
    stack.script("primary", json!({ "cut_after": 3 })).await;

    for scenario in ["stream_text", "stream_events"] {
        let through = sdk.run(scenario, &stack.target()).await;
        let direct = sdk.run(scenario, &stack.provider_target().await).await;
        assert_eq!((class(&through), statuses(&through)), (streamed_error(language), vec![200]), "{through}");
        assert_eq!(through["error"]["type"], "api_error");
        assert_eq!(through["error"]["api_message"], "The connection to the AI provider was lost.");
        // Without us it is a broken connection, of which the SDK knows no type; what came before it is the same.
        assert_eq!(direct["error"]["type"], Value::Null, "{direct}");
        assert_eq!((&through["text"], &through["events"]), (&direct["text"], &direct["events"]));
    }

    // An answer that is not streamed has not begun: it is tried again, as without us.
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

    // A model that does not exist is the provider's to say.
    let model = assert_same(&mut sdk, &stack, "unknown_model", |target| target).await;
    assert_eq!((class(&model), statuses(&model)), ("NotFoundError", vec![404]));
    assert_eq!(model["error"]["api_message"], "model: no-such-model");
}
