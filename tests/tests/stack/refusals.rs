//! What a caller is told who may not go on: 401, 403, 404, 413 and 429, with and without a stage in the path.

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

/// What every refusal by the gateway has in common.
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
    assert_eq!(body["request_increase_url"], stack.url("/v1/quota/requests"));
    assert_eq!(answer.header("cache-control"), "no-store");
    assert_eq!(
        answer.header("ratelimit-policy"),
        r#""integration";q=300;w=60, "account";q=2;w=60, "in-flight";q=20;qu="concurrent-requests""#
    );

    // Waiting as told is waiting long enough.
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

    // The minute after, calls pass again.
    stack.advance(retry_after).await;
    assert_eq!(stack.call("/v1/messages", &call).await.status, 200);
}

#[rstest]
#[case::at_the_root(None)]
#[case::under_a_stage(Some("prod"))]
#[tokio::test]
async fn a_route_that_does_not_exist_gets_404(#[case] stage: Option<&str>) {
    let stack = stack(stage).await;
    let answer = stack.get("/v1/nothing").await;
    assert_refused(&answer, 404, "not_found", "not_found_error");
    let answer = stack.get("/v1/messages").await;
    assert_refused(&answer, 404, "not_found", "not_found_error");
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

    // Without the secret all come from one address.
    assert_eq!(from("198.51.100.3", "guess").await, 200);
    assert_eq!(from("198.51.100.4", "guess").await, 429);

    // The stack's own key is exempt.
    for _ in 0..2 {
        assert_eq!(stack.call("/v1/messages", &call).await.status, 200);
    }
}
