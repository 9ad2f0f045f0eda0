//! Refusals: 401, 403, 404, 413 and 429, with and without a stage in the path.

use rstest::rstest;
use serde_json::json;
use tests::{Answer, Stack, messages};

async fn stack(stage: Option<&str>) -> Stack {
    let mut builder = Stack::builder().env("LIMIT_ACCOUNT_PER_MINUTE", "2");
    if let Some(stage) = stage {
        builder = builder.stage(stage);
    }
    builder.start().await
}

/// Asserts the properties of every refusal by the gateway.
fn assert_refused(answer: &Answer, status: u16, code: &str, error: &str) {
    let body = answer.json();
    assert_eq!(answer.status, status, "{answer:?}");
    assert_eq!(answer.header("content-type"), "application/problem+json");
    assert_eq!((&body["status"], &body["code"], &body["error"]["type"]), (&json!(status), &json!(code), &json!(error)));
    assert_eq!(body["request_id"], answer.header("x-levee-request-id"));
    assert_eq!(body["request_id"], answer.header("request-id"), "where the SDKs look for it");
    assert_eq!(body["type"], "error", "the SDKs know an error by its type");
    if status != 429 {
        assert_eq!(answer.header("x-should-retry"), "false", "{answer:?}");
    }
    assert!(body["title"].is_string() && body["detail"] == body["error"]["message"], "{body}");
}

#[rstest]
#[case::at_the_root(None)]
#[case::under_a_stage(Some("prod"))]
#[tokio::test]
async fn a_caller_without_a_valid_key_gets_401(#[case] stage: Option<&str>) {
    let stack = stack(stage).await;
    let call = messages("Hello");
    let mistyped = format!("{}x", &stack.api_key()[..stack.api_key().len() - 1]);
    let unknown = "lv_local_nobodysKey01_thisKeyOpensNothingButLocalhost31mUIlS";
    let live = "lv_live_4f8KpQ2mZx7R_0123456789abcdefghijABCDEFGHIJ3N2i9z";
    let another_secret = "lv_local_localDemoKey_thisKeyOpensNothingButLocalhostX0TPC47";
    for key in ["", "nonsense", &mistyped, unknown, live, another_secret] {
        let answer = stack.call_with_key(key, "/v1/messages", &call).await;
        assert_refused(&answer, 401, "unauthorized", "authentication_error");
        assert_eq!(answer.header("www-authenticate"), "Bearer");
    }
}

#[rstest]
#[case::at_the_root(None)]
#[case::under_a_stage(Some("prod"))]
#[tokio::test]
async fn a_caller_over_a_limit_gets_429_with_everything_needed_to_come_back(#[case] stage: Option<&str>) {
    let stack = stack(stage).await;
    stack.skip_to_fresh_window().await;
    let call = messages("Hello");
    for _ in 0..2 {
        assert_eq!(stack.call("/v1/messages", &call).await.status, 200);
    }
    let answer = stack.call("/v1/messages", &call).await;

    assert_refused(&answer, 429, "quota_exceeded", "rate_limit_error");
    let body = answer.json();
    assert_eq!(
        (&body["policy"], &body["scope"], &body["limit"], &body["window_seconds"], &body["violated-policies"]),
        (&json!("account"), &json!("account"), &json!(2), &json!(60), &json!(["account"]))
    );
    assert_eq!(body["request_increase_url"], "", "there is no route for it");
    assert_eq!(answer.header("cache-control"), "no-store");
    assert_eq!(
        answer.header("ratelimit-policy"),
        r#""integration";q=300;w=60, "account";q=2;w=60, "in-flight";q=20;qu="concurrent-requests""#
    );

    // The wait in `Retry-After` is long enough.
    let reset: u64 = answer.header("x-ratelimit-reset").parse().unwrap();
    let retry_after: u64 = answer.header("retry-after").parse().unwrap();
    assert!(stack.received_at(&answer) + retry_after >= reset, "told to come back before the reset");
    assert_eq!(body["resets_at"], levee::clock::Timestamp::from_secs(reset).to_rfc3339());
    assert!(retry_after <= 60 && answer.header("x-should-retry") == "true");

    let limits = answer.list("ratelimit");
    let stands = |name: &str, left| (name.to_owned(), vec![("r", left), ("t", retry_after as i64)]);
    // The two calls that passed have ended, and no policy has counted this one.
    let in_flight = ("in-flight".to_owned(), vec![("r", 20)]);
    assert_eq!(limits, [stands("integration", 298), stands("account", 0), in_flight]);
    assert_eq!((answer.header("x-ratelimit-limit"), answer.header("x-ratelimit-remaining")), ("2", "0"));

    // In the next minute calls pass again.
    stack.advance(retry_after).await;
    assert_eq!(stack.call("/v1/messages", &call).await.status, 200);
}

#[rstest]
#[case::at_the_root(None)]
#[case::under_a_stage(Some("prod"))]
#[tokio::test]
async fn a_route_that_does_not_exist_gets_404(#[case] stage: Option<&str>) {
    let stack = stack(stage).await;
    for path in ["/v1/nothing", "/v1/messages", "/v1", "/", "/favicon.ico"] {
        let answer = stack.get(path).await;
        assert_refused(&answer, 404, "not_found", "not_found_error");
    }
}

#[rstest]
#[case::at_the_root(None)]
#[case::under_a_stage(Some("prod"))]
#[tokio::test]
async fn a_path_that_is_not_offered_gets_404_in_words_that_help_and_asks_no_authorizer(#[case] stage: Option<&str>) {
    let stack = stack(stage).await;
    let base = stack.local("url").to_owned();
    for (path, expected) in [
        ("/v1/v1/messages", format!("The base URL ends before /v1: {base}")),
        ("/messages", format!("Where a client does not add /v1, its base URL is {base}/v1")),
        ("//v1/messages", format!("the base URL has no slash at its end: {base}")),
        ("/v1/messages/batches", "Message batches are not offered.".to_owned()),
        ("/v1/files", "Files are not offered.".to_owned()),
        ("/v1/chat/completions", "OpenAI's API is not offered".to_owned()),
        ("/chat/completions", "OpenAI's API is not offered".to_owned()),
    ] {
        let answer = stack.call(path, &messages("Hello")).await;
        assert_refused(&answer, 404, "not_found", "not_found_error");
        assert!(answer.json()["detail"].as_str().unwrap().contains(&expected), "{path}: {answer:?}");
    }
    assert_eq!(stack.invocations("authorizer").await.iter().sum::<u64>(), 0);
}

#[tokio::test]
async fn no_path_of_another_route_is_reached_through_the_one_for_paths_that_are_not_offered() {
    let stack = Stack::builder().start().await;
    for path in ["/%6Cogin", "/%61dmin", "/health%2F", "//login", "//admin/accounts", "/login%2f"] {
        for method in [reqwest::Method::GET, reqwest::Method::POST] {
            let request = stack.client().request(method, stack.url(path));
            let answer = Answer::read(request.send().await.unwrap()).await;
            assert_refused(&answer, 404, "not_found", "not_found_error");
        }
    }
}

#[rstest]
#[case::of_no_route("/v1", "GET")]
#[case::with_another_method("/v1/messages", "GET")]
#[case::of_another_route("/v1/messages", "PUT")]
#[case::not_offered("/v1/nothing", "POST")]
#[tokio::test]
async fn a_key_in_a_request_that_no_route_takes_is_not_in_the_answer(#[case] path: &str, #[case] method: &str) {
    let stack = Stack::builder().start().await;
    let method = reqwest::Method::from_bytes(method.as_bytes()).unwrap();
    let request = stack.client().request(method, stack.url(path)).bearer_auth(stack.api_key());
    let answer = Answer::read(request.send().await.unwrap()).await;
    assert_refused(&answer, 404, "not_found", "not_found_error");
    assert!(!answer.text().contains("lv_"), "{answer:?}");
}

#[rstest]
#[case::empty(b"", "The request body is empty.")]
#[case::a_byte_order_mark(b"\xef\xbb\xbf{}", "byte order mark")]
#[case::no_json(b"{\n  'model': 'm'}", "The request body is not JSON (line 2, column 3).")]
#[case::an_array(b"[]", "must be a JSON object")]
#[case::a_field_twice(b"{\"model\":\"m\",\"model\":\"n\"}", "The field 'model' is there twice")]
#[tokio::test]
async fn a_body_that_is_no_call_gets_400_that_says_what_is_wrong(#[case] body: &'static [u8], #[case] expected: &str) {
    let stack = Stack::builder().start().await;
    for path in ["/v1/messages", "/v1/messages/count_tokens"] {
        let answer = Answer::read(stack.request(path).body(body).send().await.unwrap()).await;
        let error = &answer.json()["error"];
        assert_eq!((answer.status, &error["type"]), (400, &json!("invalid_request_error")), "{answer:?}");
        assert!(error["message"].as_str().unwrap().contains(expected), "{answer:?}");
        assert_eq!(answer.header("x-should-retry"), "false");
    }
}

#[tokio::test]
async fn a_compressed_body_gets_400_that_says_so() {
    let stack = Stack::builder().start().await;
    let request = stack.request("/v1/messages").header("content-encoding", "gzip").body(b"\x1f\x8b\x08\0".to_vec());
    let answer = Answer::read(request.send().await.unwrap()).await;
    let error = &answer.json()["error"];
    assert_eq!((answer.status, &error["type"]), (400, &json!("invalid_request_error")), "{answer:?}");
    assert!(error["message"].as_str().unwrap().contains("content-encoding"), "{answer:?}");
}

#[rstest]
#[case::over_the_gateways_limit(None, 10 * 1024 * 1024 + 1)]
#[case::over_the_functions_limit(None, 7 * 1024 * 1024)]
#[case::over_the_gateways_limit_under_a_stage(Some("prod"), 10 * 1024 * 1024 + 1)]
#[case::over_the_functions_limit_under_a_stage(Some("prod"), 7 * 1024 * 1024)]
#[tokio::test]
async fn a_request_that_is_too_large_gets_413(#[case] stage: Option<&str>, #[case] size: usize) {
    let stack = stack(stage).await;
    let answer = stack.call("/v1/messages", &messages(&"x".repeat(size))).await;
    assert_refused(&answer, 413, "request_too_large", "request_too_large");
    assert!(answer.json()["detail"].as_str().unwrap().contains("quotes, backslashes and line breaks count twice"));
}

#[tokio::test]
async fn a_refusal_by_the_global_pool_names_no_limit_and_no_usage() {
    let stack = Stack::builder().env("LIMIT_GLOBAL_PER_MINUTE", "1").start().await;
    stack.skip_to_fresh_window().await;
    let call = messages("Hello");
    assert_eq!(stack.call("/v1/messages", &call).await.status, 200);
    let answer = stack.call("/v1/messages", &call).await;

    assert_refused(&answer, 429, "platform_capacity", "rate_limit_error");
    let body = answer.json();
    assert_eq!(
        (&body["scope"], &body["limit"], &body["window_seconds"]),
        (&json!("platform"), &json!(null), &json!(null))
    );
    assert!(!answer.header("ratelimit").contains("global") && !answer.header("ratelimit-policy").contains("global"));
}

#[tokio::test]
async fn a_wait_of_more_than_a_minute_is_not_for_an_sdk_to_sit_out() {
    let stack = Stack::builder().env("LIMIT_ACCOUNT_PER_DAY", "1").start().await;
    stack.skip_to_fresh_window().await;
    let call = messages("Hello");
    assert_eq!(stack.call("/v1/messages", &call).await.status, 200);
    let answer = stack.call("/v1/messages", &call).await;

    assert_refused(&answer, 429, "quota_exceeded", "rate_limit_error");
    assert_eq!((&answer.json()["policy"], &answer.json()["window_seconds"]), (&json!("account-day"), &json!(86_400)));
    let too_long = answer.header("retry-after").parse::<u64>().unwrap() > 60;
    assert_eq!(answer.header("x-should-retry"), (!too_long).to_string());
}

#[tokio::test]
async fn a_client_address_has_a_window_of_its_own_that_a_trusted_proxy_may_name() {
    let stack = Stack::builder().env("LIMIT_AI_PER_ADDRESS", "1").start().await;
    stack.skip_to_fresh_window().await;
    let call = messages("Hello");
    let from = async |address: &str, secret: &str| {
        stack
            .request_with_key(stack.plain_api_key(), "/v1/messages")
            .header("x-forwarded-for", address)
            .header("x-levee-proxy-secret", secret)
            .json(&call)
            .send()
            .await
            .unwrap()
            .status()
            .as_u16()
    };
    let secret = stack.proxy_secret().to_owned();

    assert_eq!(from("198.51.100.1", &secret).await, 200);
    assert_eq!(from("198.51.100.1", &secret).await, 429);
    assert_eq!(from("198.51.100.2", &secret).await, 200);
    assert_eq!(from("198.51.100.1, 198.51.100.2", &secret).await, 429, "the leftmost address is the client's claim");

    // Without the secret all requests have the same address.
    assert_eq!(from("198.51.100.3", "guess").await, 200);
    assert_eq!(from("198.51.100.4", "guess").await, 429);

    // The stack's own key is exempt.
    for _ in 0..2 {
        assert_eq!(stack.call("/v1/messages", &call).await.status, 200);
    }
}
