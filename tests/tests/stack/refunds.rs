//! Refunds: a call that the platform failed costs its caller no quota, whichever function served it.

#![expect(clippy::unwrap_used, reason = "helpers of tests are tests")]

use rstest::rstest;
use serde_json::json;
use tests::{Answer, Stack, messages};

fn left(answer: &Answer) -> u64 {
    answer.header("x-ratelimit-remaining").parse().unwrap()
}

#[tokio::test]
async fn what_the_platform_failed_costs_the_caller_no_quota_up_to_a_limits_worth() {
    let stack = Stack::builder()
        .argument("--providers")
        .argument("primary")
        .one_attempt()
        .env("LIMIT_ACCOUNT_PER_MINUTE", "10")
        .start()
        .await;
    stack.skip_to_fresh_window().await;
    let call = messages("Hello");
    let ask = async || stack.call("/v1/messages", &call).await;
    assert_eq!(left(&ask().await), 9);

    stack.script("primary", json!({ "status": 500 })).await;
    for _ in 0..10 {
        let failed = ask().await;
        assert_eq!((failed.status, failed.header("x-levee-refunded"), left(&failed)), (500, "true", 8), "{failed:?}");
        assert!(!failed.header("retry-after").is_empty(), "{failed:?}");
    }
    let failed = ask().await;
    assert_eq!((failed.status, failed.header("x-levee-refunded"), left(&failed)), (500, "", 8), "a limit's worth");
    assert_eq!(left(&ask().await), 7);

    stack.script("primary", json!({ "status": 400 })).await;
    let mistaken = ask().await;
    assert_eq!((mistaken.status, mistaken.header("x-levee-refunded"), left(&mistaken)), (400, "", 6), "{mistaken:?}");
    // Refunded calls are not in the statistics either.
    let tallies: u64 =
        stack.tallies().await.iter().filter(|(field, _)| field.starts_with("0 acme/")).map(|it| it.1).sum();
    assert_eq!(tallies, 4);
}

#[rstest]
#[case::usage("/v1/usage", "/v1/usage")]
#[case::catalogs("/v1/catalogs/modules", "/v1/catalogs/starter-packs")]
#[tokio::test]
async fn what_the_stores_failed_costs_the_caller_of_the_customers_api_no_quota(
    #[case] served: &str,
    #[case] failing: &str,
) {
    let stack =
        Stack::builder().env("LIMIT_ACCOUNT_PER_MINUTE", "10").env("LIMIT_ACCOUNT_SELF_PER_MINUTE", "10").start().await;
    stack.skip_to_fresh_window().await;
    let first = stack.get(served).await;
    assert_eq!((first.status, first.header("x-levee-refunded"), left(&first)), (200, "", 9), "{first:?}");

    stack.order("/dynamodb/stop").await;
    for _ in 0..3 {
        let failed = stack.get(failing).await;
        assert_eq!((failed.status, failed.header("x-levee-refunded"), left(&failed)), (503, "true", 8), "{failed:?}");
        assert!(failed.header("retry-after").parse::<u64>().unwrap() > 0, "{failed:?}");
    }
    let mistaken = stack.get(&format!("{failing}?unknown=1")).await;
    assert_eq!((mistaken.status, mistaken.header("x-levee-refunded"), left(&mistaken)), (400, "", 8), "{mistaken:?}");
    stack.order("/dynamodb/start").await;

    let last = stack.get(served).await;
    assert_eq!((last.status, left(&last)), (200, 7), "only the calls that were served and the mistake count: {last:?}");
    let tallies = stack.tallies().await;
    let counted: u64 = tallies.iter().filter(|(field, _)| field.starts_with("0 acme/")).map(|it| it.1).sum();
    assert_eq!(counted, 3, "{tallies:?}");
}
