//! The main task: a client with an API key calls an AI provider through the whole stack.

use serde_json::{Value, json};
use tests::{Stack, messages};

#[tokio::test]
async fn a_json_call_arrives_byte_for_byte_as_the_provider_sent_it() {
    let stack = Stack::builder().start().await;
    let call = messages("Tell me about levees.");

    let through = stack.call("/v1/messages", &call).await;
    let direct = stack.direct("primary", "/v1/messages", &call).await;

    assert_eq!(through.status, 200, "{through:?}");
    assert_eq!(through.body, direct.body);
    for name in ["content-type", "request-id"] {
        assert_eq!(through.header(name), direct.header(name), "{name}");
    }
}

#[tokio::test]
async fn the_platforms_own_limits_at_a_provider_stay_inside() {
    let stack = Stack::builder().without_limits().start().await;
    let mut streamed = messages("Hello");
    streamed["stream"] = true.into();
    let mut answers = vec![stack.call("/v1/messages", &messages("Hello")).await];
    answers.push(stack.call("/v1/messages", &streamed).await);
    answers.push(stack.call("/v1/messages/count_tokens", &messages("Hello")).await);
    answers.push(stack.get("/v1/models").await);
    let event = stack.wide_event("ai-proxy", answers[0].header("x-levee-request-id")).await;
    assert_eq!((&event["ProviderRequestsLeft"], &event["ProviderHeadroom"]), (&json!(3_999), &json!(99)), "{event}");
    assert!(event["ProviderInputTokensLeft"].is_u64() && event["ProviderOutputTokensLeft"].is_u64(), "{event}");
    for name in ["primary", "backup"] {
        stack.script(name, json!({ "status": 429 })).await;
    }
    answers.push(stack.call("/v1/messages", &messages("Hello")).await);
    let event = stack.wide_event("ai-proxy", answers[4].header("x-levee-request-id")).await;
    assert_eq!((answers[4].status, &event["ProviderHeadroom"]), (429, &json!(0)), "{event}");
    for answer in answers {
        assert!(!format!("{answer:?}").contains("anthropic-ratelimit"), "{answer:?}");
    }
}

#[tokio::test]
async fn answers_are_kept_out_of_caches_and_streams_out_of_buffers() {
    let stack = Stack::builder().only_primary().start().await;
    let mut streamed = messages("Hello");
    streamed["stream"] = true.into();
    let answer = stack.call("/v1/messages", &streamed).await;
    let protection = |answer: &tests::Answer| {
        ["x-content-type-options", "cache-control", "x-accel-buffering"].map(|name| answer.header(name).to_owned())
    };
    assert_eq!(protection(&answer), ["nosniff", "no-cache", "no"], "{answer:?}");
    let mut others = vec![stack.call("/v1/messages", &messages("Hello")).await];
    others.push(stack.call("/v1/messages/count_tokens", &messages("Hello")).await);
    others.push(stack.get("/v1/models").await);
    others.push(stack.call("/v1/messages", &json!({ "model": 7 })).await);
    stack.script("primary", json!({ "status": 500 })).await;
    others.push(stack.call("/v1/messages", &streamed).await);
    stack.script("primary", json!({ "status": 401 })).await;
    others.push(stack.call("/v1/messages", &messages("Hello")).await);
    assert_eq!(others.iter().map(|answer| answer.status).collect::<Vec<_>>(), [200, 200, 200, 400, 500, 502]);
    for answer in others {
        assert_eq!(protection(&answer), ["nosniff", "no-store", ""], "{answer:?}");
    }
}

#[tokio::test]
async fn headers_of_a_provider_that_are_not_well_formed_do_not_pass() {
    let stack = Stack::builder().only_primary().start().await;
    let body = json!({ "type": "message", "content": [], "usage": { "input_tokens": 1, "output_tokens": 1 } });
    let headers = json!({
        "content-type": "application/json; x=<script>",
        "request-id": "<script>alert(1)</script>",
        "retry-after": "soon",
        "x-should-retry": "perhaps",
    });
    stack.script("primary", json!({ "answer": { "headers": headers, "body": body } })).await;
    let answer = stack.call("/v1/messages", &messages("Hello")).await;
    assert_eq!((answer.status, answer.header("content-type")), (200, "application/json"), "{answer:?}");
    for name in ["request-id", "retry-after", "x-should-retry"] {
        assert_eq!(answer.header(name), "", "{name}: {answer:?}");
    }
}

#[tokio::test]
async fn a_stream_arrives_byte_for_byte_with_text_thinking_and_tools() {
    let stack = Stack::builder().start().await;
    let mut call = messages("Use get_weather for Rotterdam.");
    call["stream"] = true.into();
    call["max_tokens"] = 4096.into();
    call["thinking"] = json!({ "type": "enabled", "budget_tokens": 1024 });
    call["tools"] = json!([{
        "name": "get_weather",
        "description": "The weather in a city",
        "input_schema": { "type": "object", "properties": { "city": { "type": "string" } }, "required": ["city"] },
    }]);

    let through = stack.call("/v1/messages", &call).await;
    let direct = stack.direct("primary", "/v1/messages", &call).await;

    assert_eq!(through.status, 200, "{through:?}");
    assert!(through.header("content-type").starts_with("text/event-stream"), "{through:?}");
    assert_eq!(through.body, direct.body);
    for event in ["message_start", "thinking_delta", "input_json_delta", "message_stop"] {
        assert!(through.text().contains(event), "{event} is missing");
    }
}

#[tokio::test]
async fn the_first_bytes_of_a_stream_arrive_while_the_provider_is_still_sending() {
    let stack = Stack::builder().start().await;
    stack.script("primary", json!({ "gap_ms": 50, "deltas": 40 })).await;
    let mut call = messages("Count to forty.");
    call["stream"] = true.into();

    let mut answer = stack.send("/v1/messages", &call).await;
    let first = answer.chunk().await.unwrap().expect("a first chunk");
    let in_flight = stack.provider("primary").await["in_flight"].clone();
    let mut rest = Vec::new();
    while let Some(chunk) = answer.chunk().await.unwrap() {
        rest.extend_from_slice(&chunk);
    }

    assert!(String::from_utf8_lossy(&first).starts_with("event: message_start"));
    assert_eq!(in_flight, 1, "the provider had finished before the client saw anything");
    assert!(String::from_utf8_lossy(&rest).contains("message_stop"));
}

#[tokio::test]
async fn token_counts_and_models_come_from_the_provider() {
    let stack = Stack::builder().start().await;
    let mut call = messages("How many tokens is this?");
    call.as_object_mut().unwrap().remove("max_tokens");

    let counted = stack.call("/v1/messages/count_tokens", &call).await;
    assert_eq!(counted.body, stack.direct("primary", "/v1/messages/count_tokens", &call).await.body);
    assert!(counted.json()["input_tokens"].is_u64());

    let models = stack.get("/v1/models?limit=1").await;
    assert_eq!((models.status, models.json()["data"].as_array().map(Vec::len)), (200, Some(1)));
    let id = models.json()["data"][0]["id"].as_str().unwrap().to_owned();
    assert_eq!(stack.get(&format!("/v1/models/{id}")).await.json()["id"], Value::from(id));
}

#[tokio::test]
async fn neither_side_ever_sees_the_others_key() {
    let stack = Stack::builder().start().await;
    let answer = stack
        .request("/v1/messages")
        .header("anthropic-beta", "one,two")
        .header("anthropic-beta", "three")
        .header("x-levee-proxy-secret", "a-guess")
        .header("cookie", "session=1")
        .json(&messages("Hello"))
        .send()
        .await
        .unwrap();
    let headers = answer.headers().clone();
    let provider = stack.provider("primary").await;
    let sent = provider["last_request"]["headers"].as_object().unwrap();

    // The provider got its own key and Anthropic's headers, and no other headers of the client.
    assert!(!serde_json::to_string(sent).unwrap().contains(stack.api_key()));
    assert_eq!(sent["x-api-key"], Stack::provider_key("primary"));
    assert_eq!(sent["anthropic-beta"], "one,two, three", "each line of a header goes upstream");
    assert_eq!(sent["accept-encoding"], "identity", "an answer is read here");
    for name in ["authorization", "cookie", "x-levee-proxy-secret", "x-forwarded-for"] {
        assert!(!sent.contains_key(name), "{name} went upstream");
    }

    // The client got neither the provider's key nor its cookies.
    for (name, value) in &headers {
        assert!(!value.to_str().unwrap().contains(&Stack::provider_key("primary")), "{name} leaks the provider's key");
    }
    assert!(!headers.contains_key("set-cookie") && !headers.contains_key("x-api-key"));
}

#[tokio::test]
async fn answers_say_which_provider_served_them_and_where_the_limits_stand() {
    let stack = Stack::builder().start().await;
    let answer = stack.call("/v1/messages", &messages("Hello")).await;

    assert_eq!(answer.header("x-levee-provider"), "primary");
    assert_eq!(answer.header("x-levee-attempts"), "1");
    assert!(answer.header("x-levee-overhead-ms").parse::<f64>().is_ok_and(|overhead| overhead >= 0.0));
    assert!(!answer.header("x-levee-request-id").is_empty());

    assert_eq!(
        answer.header("ratelimit-policy"),
        r#""integration";q=300;w=60, "account";q=600;w=60, "in-flight";q=20;qu="concurrent-requests""#
    );
    // The fields parse as structured fields. Calls in flight have no reset.
    let limits = answer.list("ratelimit");
    let [(integration, of_integration), (account, of_account), in_flight] = &limits[..] else { panic!("{limits:?}") };
    assert_eq!((integration.as_str(), account.as_str()), ("integration", "account"));
    assert_eq!(*in_flight, ("in-flight".to_owned(), vec![("r", 19)]));
    for (parameters, left) in [(of_integration, 299), (of_account, 599)] {
        let [("r", remaining), ("t", seconds)] = parameters[..] else { panic!("{limits:?}") };
        assert!(remaining == left && (0..=60).contains(&seconds), "{limits:?}");
    }
    assert_eq!((answer.header("x-ratelimit-limit"), answer.header("x-ratelimit-remaining")), ("300", "299"));
}

#[tokio::test]
async fn a_bearer_token_is_a_key_too() {
    let stack = Stack::builder().start().await;
    let answer = reqwest::Client::new()
        .post(stack.url("/v1/messages"))
        .bearer_auth(stack.api_key())
        .header("anthropic-version", "2023-06-01")
        .json(&messages("Hello"))
        .send()
        .await
        .unwrap();
    assert_eq!(answer.status(), 200);
}
