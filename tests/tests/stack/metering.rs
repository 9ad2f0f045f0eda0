//! Metering: the ledger contains exactly the usage that the provider served.

#![expect(clippy::unwrap_used, reason = "helpers of tests are tests")]

mod estimates;
mod served;

use serde_json::json;
use tests::{Stack, messages};

#[tokio::test]
async fn the_accounts_month_grows_by_exactly_what_the_provider_served() {
    let stack = Stack::builder().start().await;
    let before = stack.month(stack.account_id()).await;
    let mut call = messages("Hello");
    call["system"] =
        json!([{ "type": "text", "text": "Be brief.", "cache_control": { "type": "ephemeral", "ttl": "1h" } }]);
    let mut streamed = messages("This prefix is cached.");
    streamed["stream"] = true.into();

    for _ in 0..3 {
        assert_eq!(stack.call("/v1/messages", &call).await.status, 200);
        assert_eq!(stack.call("/v1/messages", &streamed).await.status, 200);
    }

    let after = stack.month(stack.account_id()).await;
    let served = stack.provider("primary").await["usage"].clone();
    assert_eq!(after.since(&before), (6, served));
    assert!(after.cache_write_1h > before.cache_write_1h && after.cache_read > before.cache_read);
}

#[tokio::test]
async fn refused_and_failed_calls_and_token_counts_use_nothing() {
    let stack = Stack::builder().only_primary().start().await;
    let before = stack.month(stack.account_id()).await;
    assert_eq!(stack.call_with_key("nonsense", "/v1/messages", &messages("Hello")).await.status, 401);
    assert_eq!(stack.call("/v1/messages/count_tokens", &messages("Hello")).await.status, 200);
    stack.script("primary", json!({ "status": 500 })).await;
    assert_eq!(stack.call("/v1/messages", &messages("Hello")).await.status, 500);
    assert_eq!(stack.month(stack.account_id()).await, before);
}

#[tokio::test]
async fn a_client_that_chooses_the_gateways_request_id_is_metered_like_any_other() {
    let stack = Stack::builder().start().await;
    let before = stack.month(stack.account_id()).await;
    let mut names = Vec::new();
    for _ in 0..2 {
        let request = stack.request("/v1/messages").header("x-amzn-RequestId", "mine").json(&messages("Hello"));
        let answer = tests::Answer::read(request.send().await.unwrap()).await;
        assert_eq!((answer.status, answer.header("x-amzn-requestid")), (200, "mine"));
        names.push(answer.header("x-levee-request-id").to_owned());
    }
    assert_eq!(stack.month(stack.account_id()).await.calls - before.calls, 2);
    assert!(names[0] != names[1] && names[0] != "mine", "{names:?}");
}

#[tokio::test]
async fn calls_of_one_account_at_the_same_time_are_all_counted() {
    let stack = Stack::builder().environments("ai-proxy=4,authorizer=2").env("LIMIT_ACCOUNT_IN_FLIGHT", "0");
    let stack = stack.start().await;
    let before = stack.month(stack.account_id()).await;
    let call = messages("Hello");
    let answers = futures_util::future::join_all((0..40).map(|_| stack.call("/v1/messages", &call))).await;
    assert!(answers.iter().all(|answer| answer.status == 200));
    assert_eq!(stack.month(stack.account_id()).await.calls - before.calls, 40);
}
