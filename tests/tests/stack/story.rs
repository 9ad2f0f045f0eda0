//! A failed call is found by the id that its caller received: by the command, on the board, and in the snapshot.

#![expect(clippy::expect_used, reason = "helpers of tests are tests")]

use rstest::rstest;
use serde_json::{Value, json};
use tests::Language::{self, Python, TypeScript};
use tests::{Sdk, Stack, binaries, messages, wait_for};
use tokio::process::Command;

/// Runs `levee why` for a request. Returns true if it was found, and the output with single spaces.
async fn why(stack: &Stack, id: &str) -> (bool, String) {
    let mut command = Command::new(binaries().join("levee"));
    command.args(["why", id]).arg(format!("--local={}", stack.state().display()));
    let output = command.output().await.expect("the command runs");
    let told = String::from_utf8_lossy(&output.stdout);
    let lines = told.lines().map(|line| line.split_whitespace().collect::<Vec<_>>().join(" ") + "\n");
    (output.status.success(), lines.collect())
}

/// Escapes a value for a URL's query.
fn escaped(id: &str) -> String {
    id.replace('/', "%2F").replace('+', "%2B").replace('=', "%3D")
}

#[rstest]
#[tokio::test]
async fn a_call_that_fails_in_an_sdk_is_found_by_the_id_that_it_got(#[values(Python, TypeScript)] language: Language) {
    let stack = Stack::builder().only_primary().start().await;
    stack.script("primary", json!({ "status": 500 })).await;
    let outcome = Sdk::start(language).await.run("failing", &stack.target().retrying(0)).await;
    let id = outcome["levee_request_id"].as_str().unwrap_or_else(|| panic!("no id: {outcome}"));

    // The command.
    let (found, story) = why(&stack, id).await;
    assert!(found, "{story}");
    for part in [
        &format!("request {id} to /v1/messages at "),
        "caller key localDemoKey of integration crm of account acme\n",
        "limits integration 1/300, account 1/600, global-share 1/1200, global 1/6000, in-flight 1/20, ",
        "verdict allowed\n",
        "provider primary, 1 attempt\n",
        "answer 500 provider_error\n",
        "error provider.failed: a provider failed: 500 Internal Server Error\n",
    ] {
        assert!(story.contains(part), "{part:?} is not in:\n{story}");
    }
    assert!(story.lines().count() <= 10, "{story}");

    // The snapshot.
    let mut browser = stack.signed_in(stack.viewer()).await;
    let snapshot = browser.get("/admin/api/snapshot").await.json();
    let errors = snapshot["errors"].as_array().expect("errors");
    let error = errors.iter().find(|error| error["request_id"] == id).unwrap_or_else(|| panic!("{snapshot}"));
    assert_eq!((&error["code"], &error["connection"]), (&json!("provider.failed"), &json!("primary")));

    // The board, which links to the same story.
    let link = format!("/admin/requests?id={}", escaped(id));
    let board = browser.get("/admin").await;
    assert!(board.text().contains(&link), "{}", board.text());
    let page = browser.get(&link).await;
    assert_eq!(page.status, 200, "{page:?}");
    for part in [id, "key localDemoKey of integration crm of account acme", "provider.failed: a provider failed"] {
        assert!(page.text().contains(part), "{part:?} is not in:\n{}", page.text());
    }
}

#[tokio::test]
async fn of_the_attempts_of_an_sdk_the_one_that_it_raises_is_on_the_board_once_the_repeats_are_written() {
    let stack = Stack::builder().only_primary().start().await;
    stack.script("primary", json!({ "status": 500 })).await;
    let outcome = Sdk::start(Python).await.run("failing", &stack.target()).await;
    let id = outcome["levee_request_id"].as_str().unwrap_or_else(|| panic!("no id: {outcome}"));
    let attempts = stack.requests("primary").await;
    assert!(attempts > 1, "{outcome}");

    stack.advance(61).await;
    stack.reset("primary").await;
    assert_eq!(stack.call("/v1/messages", &messages("Hello")).await.status, 200);

    let mut browser = stack.signed_in(stack.viewer()).await;
    let link = format!("/admin/requests?id={}", escaped(id));
    // Rows may be written after the answer to the call.
    wait_for(async || {
        let snapshot = browser.get("/admin/api/snapshot").await.json();
        let errors = snapshot["errors"].as_array().expect("errors");
        let is_this = |request: &&Value| request["request_id"] == id && request["story"] == link;
        let has_it = |error: &&Value| {
            let more = error["more_requests"].as_array().expect("more requests");
            std::iter::once(*error).chain(more).any(|request| is_this(&request))
        };
        let counted: u64 = errors.iter().filter_map(|error| error["count"].as_u64()).sum();
        (errors.iter().any(|error| has_it(&error)) && counted == attempts).then_some(())
    })
    .await;
    let board = browser.get("/admin").await;
    assert!(board.text().contains(&link), "{}", board.text());
}

#[tokio::test]
async fn a_refused_call_and_a_broken_stream_are_told_and_an_unknown_id_is_not() {
    let stack = Stack::builder().env("LIMIT_ACCOUNT_PER_MINUTE", "1").start().await;
    stack.skip_to_fresh_window().await;
    let mut call = messages("Hello");
    call["stream"] = Value::Bool(true);
    stack.script("primary", json!({ "cut_after": 3 })).await;
    let cut = stack.call("/v1/messages", &call).await;
    let refused = stack.call("/v1/messages", &call).await;
    assert_eq!((cut.status, refused.status), (200, 429));

    stack.wide_event("ai-proxy", cut.header("x-levee-request-id")).await;
    let (_, story) = why(&stack, cut.header("x-levee-request-id")).await;
    assert!(story.contains("answer 200 provider_error: The connection to the AI provider was lost.\n"), "{story}");
    assert!(story.contains("(estimated: the call broke off)\n"), "{story}");

    let (_, story) = why(&stack, refused.header("x-levee-request-id")).await;
    assert!(story.contains("verdict limited by the policy account\n"), "{story}");
    assert!(story.contains("account 1/1"), "{story}");

    let (found, _) = why(&stack, "NoSuchRequest=").await;
    assert!(!found);
}
