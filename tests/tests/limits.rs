//! Limits across environments: exact, and all or nothing.

use std::collections::BTreeMap;

use futures_util::future::join_all;
use tests::{Stack, messages};

#[tokio::test]
async fn of_200_calls_at_once_against_a_limit_of_100_exactly_100_pass_through_three_authorizers() {
    let stack =
        Stack::builder().env("LIMIT_ACCOUNT_PER_MINUTE", "100").environments("authorizer=3,ai-proxy=2").start().await;
    stack.skip_to_fresh_window().await;
    let call = messages("Hello");

    let answers = join_all((0..200).map(|_| stack.call("/v1/messages", &call))).await;
    let statuses = answers.iter().fold(BTreeMap::<u16, usize>::new(), |mut counts, answer| {
        *counts.entry(answer.status).or_default() += 1;
        counts
    });
    assert_eq!(statuses, BTreeMap::from([(200, 100), (429, 100)]));

    // The refused moved no counter, of no policy.
    let counters = stack.redis_counters().await;
    let expected = ["account", "global", "integration"].map(|policy| (policy.to_owned(), 100));
    assert_eq!(counters, BTreeMap::from(expected));

    // All three environments took part.
    let invocations = stack.invocations("authorizer").await;
    assert_eq!(invocations.len(), 3);
    assert!(invocations.iter().all(|&count| count > 0), "{invocations:?}");
}
