//! Changes by operators take effect at the next request in every environment, although each environment has a cache.

#![expect(clippy::expect_used, clippy::unwrap_used, reason = "helpers of tests are tests")]

use std::collections::BTreeMap;

use futures_util::future::join_all;
use tests::{Answer, Stack, binaries, messages, wait_for};
use tokio::process::Command;

/// Starts a stack in which only the account's own limits apply.
async fn stack(account_per_minute: &str) -> Stack {
    Stack::builder()
        .env("LIMIT_ACCOUNT_PER_MINUTE", account_per_minute)
        .env("LIMIT_ACCOUNT_IN_FLIGHT", "0")
        // One account's share of the platform's places is less than the calls that this sends at once.
        .env("LIMIT_GLOBAL_IN_FLIGHT", "0")
        .environments("authorizer=2,ai-proxy=2")
        .start()
        .await
}

/// Runs the operators' command, which has to succeed, and returns its output.
async fn levee(stack: &Stack, command: &str) -> String {
    let mut process = Command::new(binaries().join("levee"));
    process.args(command.split(' ')).arg(format!("--local={}", stack.state().display()));
    let output = process.output().await.expect("levee runs");
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.success(), "levee {command}: {said}");
    assert!(said.contains("at once"), "levee {command}: {said}");
    String::from_utf8(output.stdout).unwrap()
}

async fn call(stack: &Stack, key: &str) -> Answer {
    stack.call_with_key(key, "/v1/messages", &messages("Hello")).await
}

/// Works as [`call`], from another address.
async fn call_from(stack: &Stack, address: &str) -> Answer {
    let request = stack.request_with_key(stack.api_key(), "/v1/messages").json(&messages("Hello"));
    let request = request.header("x-levee-proxy-secret", stack.proxy_secret()).header("x-forwarded-for", address);
    Answer::read(request.send().await.expect("an answer")).await
}

/// Asserts that each authorizer environment answers `ask` with `status`, from its first answer on.
async fn everywhere(stack: &Stack, status: u16, ask: impl AsyncFn() -> Answer) {
    let before = stack.invocations("authorizer").await;
    wait_for(async || {
        let answer = ask().await;
        assert_eq!(answer.status, status, "{answer:?}");
        let now = stack.invocations("authorizer").await;
        before.iter().zip(&now).all(|(before, now)| now > before).then_some(())
    })
    .await;
}

/// Sends `number` calls concurrently and returns their number by status.
async fn statuses(stack: &Stack, number: usize) -> BTreeMap<u16, usize> {
    let answers = join_all((0..number).map(|_| call(stack, stack.api_key()))).await;
    answers.iter().fold(BTreeMap::new(), |mut counts, answer| {
        *counts.entry(answer.status).or_default() += 1;
        counts
    })
}

#[tokio::test]
async fn a_revoked_key_is_refused_at_once() {
    let stack = stack("600").await;
    let key = levee(&stack, "key create acme/crm --name short-lived --address-exempt").await.trim_end().to_owned();
    everywhere(&stack, 200, async || call(&stack, &key).await).await;
    let id = key.split('_').nth(2).unwrap();
    levee(&stack, &format!("key set {id} --scopes read")).await;
    everywhere(&stack, 403, async || call(&stack, &key).await).await;
    levee(&stack, &format!("key set {id} --scopes ai")).await;
    everywhere(&stack, 200, async || call(&stack, &key).await).await;
    levee(&stack, &format!("key revoke {id} --yes")).await;
    everywhere(&stack, 401, async || call(&stack, &key).await).await;
    // Other keys still work.
    everywhere(&stack, 200, async || call(&stack, stack.api_key()).await).await;
}

#[tokio::test]
async fn a_suspended_account_or_integration_is_refused_at_once_and_served_at_once_when_it_is_resumed() {
    let stack = stack("600").await;
    everywhere(&stack, 200, async || call(&stack, stack.api_key()).await).await;
    for what in ["account acme", "integration acme/crm"] {
        let (what, id) = what.split_once(' ').unwrap();
        levee(&stack, &format!("{what} suspend {id}")).await;
        everywhere(&stack, 403, async || call(&stack, stack.api_key()).await).await;
        levee(&stack, &format!("{what} resume {id}")).await;
        everywhere(&stack, 200, async || call(&stack, stack.api_key()).await).await;
    }
}

#[tokio::test]
async fn a_change_has_the_next_decision_begun_anew_once_and_no_later_one() {
    let stack = Stack::builder().environments("authorizer=1").start().await;
    let stale = async || {
        let answer = call(&stack, stack.api_key()).await;
        assert_eq!(answer.status, 200, "{answer:?}");
        let report = stack.wide_event("authorizer", answer.header("x-levee-request-id")).await;
        report["StaleRecords"].as_u64().unwrap()
    };
    assert_eq!((stale().await, stale().await), (0, 0));
    for change in [
        "limit set acme account --limit 500",
        "limit set key:localDemoKey key --limit 400",
        "limit delete acme account",
    ] {
        levee(&stack, change).await;
        assert_eq!((stale().await, stale().await), (1, 0), "{change}");
    }
}

#[tokio::test]
async fn a_limit_that_is_raised_in_mid_window_leaves_exactly_what_was_added() {
    let stack = stack("100").await;
    stack.skip_to_fresh_window().await;
    assert_eq!(statuses(&stack, 110).await, BTreeMap::from([(200, 100), (429, 10)]));
    levee(&stack, "limit set acme account --limit 200").await;
    assert_eq!(statuses(&stack, 120).await, BTreeMap::from([(200, 100), (429, 20)]));
}

#[tokio::test]
async fn a_limit_that_is_lowered_taken_back_or_lifted_is_so_at_once() {
    let stack = stack("600").await;
    stack.skip_to_fresh_window().await;
    assert_eq!(statuses(&stack, 10).await, BTreeMap::from([(200, 10)]));
    let ask = async || call(&stack, stack.api_key()).await;
    levee(&stack, "limit set acme account --limit 10").await;
    everywhere(&stack, 429, &ask).await;
    levee(&stack, "limit set acme account --limit 10 --mode warn").await;
    everywhere(&stack, 200, &ask).await;
    levee(&stack, "limit set acme account --limit 10").await;
    everywhere(&stack, 429, &ask).await;
    levee(&stack, "limit delete acme account").await;
    everywhere(&stack, 200, &ask).await;

    // Set limits for the platform, and then for narrower holders.
    levee(&stack, "limit set platform account --limit 10").await;
    everywhere(&stack, 429, &ask).await;
    levee(&stack, "limit set acme account --exempt").await;
    everywhere(&stack, 200, &ask).await;
    levee(&stack, "limit set acme/crm integration --limit 10").await;
    everywhere(&stack, 429, &ask).await;
    levee(&stack, "limit set acme/crm integration --exempt").await;
    everywhere(&stack, 200, &ask).await;
    levee(&stack, "limit set key:localDemoKey key --limit 1").await;
    assert_eq!((ask().await.status, ask().await.status), (200, 429));
}

#[tokio::test]
async fn whoever_is_blocked_is_refused_at_once_and_served_at_once_afterwards() {
    let stack = stack("600").await;
    everywhere(&stack, 200, async || call_from(&stack, "203.0.113.9").await).await;
    levee(&stack, "block add acme --reason unpaid --yes").await;
    everywhere(&stack, 403, async || call(&stack, stack.api_key()).await).await;
    levee(&stack, "block delete acme").await;
    everywhere(&stack, 200, async || call(&stack, stack.api_key()).await).await;

    levee(&stack, "block add 203.0.113.0/24 --reason floods").await;
    everywhere(&stack, 403, async || call_from(&stack, "203.0.113.9").await).await;
    everywhere(&stack, 200, async || call_from(&stack, "203.0.114.9").await).await;
    levee(&stack, "block delete 203.0.113.0/24").await;
    everywhere(&stack, 200, async || call_from(&stack, "203.0.113.9").await).await;
}
