//! The soft cap and the cost guards: the state is reported to callers, alerted once, and enforced if configured, also
//! while Redis is down.

#![expect(clippy::unwrap_used, reason = "helpers of tests are tests")]

mod confirmed;
mod guards;
mod months;
mod outages;
mod told;
mod view;

use levee::accounts::{Account, AccountsTable, CapMode, CapOverride, publish};
use levee::limits::versions::RecordId;
use levee::metering::Month;
use serde_json::json;
use tests::{Answer, Builder, Stack, messages};

/// Tokens per call of [`uses`]. With a cap of 1,000, the fourth call begins beyond 80 %, and the fifth beyond the
/// cap.
const TOKENS: u64 = 270;
const LIMIT: u64 = 1_000;

/// Returns a stack with one account, without usage, and one provider, the only one that [`uses`] scripts.
fn builder() -> Builder {
    Stack::builder().only_primary()
}

/// Starts a stack whose account has a cap, and whose calls are counted by several environments.
async fn capped(mode: CapMode) -> Stack {
    let stack = builder().environments("authorizer=2,ai-proxy=3").start().await;
    uses(&stack, TOKENS).await;
    set_cap(&stack, LIMIT, mode).await;
    stack
}

/// Makes each call use this number of tokens that count, and others that do not.
async fn uses(stack: &Stack, tokens: u64) {
    let usage = json!({ "input_tokens": tokens - 10, "output_tokens": 10, "cache_read_input_tokens": 5_000 });
    stack.script("primary", json!({ "usage": usage })).await;
}

async fn account(stack: &Stack) -> Account {
    let table = AccountsTable::new(stack.dynamodb(), "Accounts");
    table.account(stack.account_id()).await.unwrap().unwrap().account
}

/// Changes the account or its keys, with immediate effect everywhere.
async fn change(stack: &Stack, change: impl AsyncFnOnce(&AccountsTable, Account) -> bool, marked: RecordId) {
    let table = AccountsTable::new(stack.dynamodb(), "Accounts");
    assert!(change(&table, account(stack).await).await);
    publish(&table, &stack.redis(), &[marked], stack.now()).await.unwrap();
}

async fn set_cap(stack: &Stack, limit: u64, mode: CapMode) {
    let cap = CapOverride { limit: Some(limit), mode };
    let set = async |table: &AccountsTable, account: Account| {
        table.set_account_terms(&account, &cap, &account.guards).await.unwrap()
    };
    change(stack, set, RecordId::Account(stack.account_id().to_owned())).await;
}

fn month(stack: &Stack) -> Month {
    Month::from_timestamp(stack.now()).0
}

/// Sends a call, streamed or not.
async fn call(stack: &Stack, is_streamed: bool) -> Answer {
    let mut call = messages("Hello");
    call["stream"] = is_streamed.into();
    stack.call("/v1/messages", &call).await
}

/// Sends `number` calls one after another, all of which have to pass, and returns the states reported to the caller.
async fn states(stack: &Stack, number: usize) -> Vec<String> {
    let mut states = Vec::new();
    for place in 0..number {
        let answer = call(stack, place % 2 == 1).await;
        assert_eq!(answer.status, 200, "{answer:?}");
        states.push(answer.header("x-levee-token-state").to_owned());
    }
    states
}

fn assert_is_refused(stack: &Stack, answer: &Answer) {
    assert_eq!(answer.status, 429, "{answer:?}");
    let (month, end) = (month(stack), month(stack).ends_at());
    let message =
        format!("This account has reached its cap of 1,000 tokens for {month}. It resets at {}.", end.to_rfc3339());
    let error = &answer.json()["error"];
    assert_eq!((&error["type"], &error["message"]), (&"rate_limit_error".into(), &message.into()));
    assert_eq!((answer.header("x-should-retry"), answer.header("x-levee-token-state")), ("false", "over"));
    let retry_after: u64 = answer.header("retry-after").parse().unwrap();
    let exact = end.as_secs() - stack.received_at(answer);
    assert!((exact..=exact + 60).contains(&retry_after), "{retry_after} instead of {exact}");
}

#[tokio::test]
async fn where_the_cap_warns_an_account_comes_from_ok_to_over_and_all_its_calls_pass() {
    let stack = capped(CapMode::Warn).await;
    assert_eq!(states(&stack, 6).await, ["ok", "ok", "ok", "warn", "over", "over"]);
    let answer = call(&stack, true).await;
    let report = stack.wide_event("ai-proxy", answer.header("x-levee-request-id")).await;
    assert_eq!((&report["token.state"], &report["TokenCapExceeded"]), (&"over".into(), &1.into()), "{report}");
    assert_eq!(stack.month(stack.account_id()).await.input, 7 * (TOKENS - 10));
}

#[tokio::test]
async fn where_the_cap_blocks_the_call_that_crosses_it_completes_and_the_next_one_is_not_sent() {
    let stack = capped(CapMode::Block).await;
    assert_eq!(states(&stack, 4).await, ["ok", "ok", "ok", "warn"]);
    for is_streamed in [false, true] {
        let answer = call(&stack, is_streamed).await;
        assert_is_refused(&stack, &answer);
        let report = stack.wide_event("ai-proxy", answer.header("x-levee-request-id")).await;
        assert_eq!((&report["TokenCapRefused"], &report["outcome"]), (&1.into(), &"over_cap".into()), "{report}");
        assert_eq!((&report["token.state"], &report["attempts"]), (&"over".into(), &0.into()), "{report}");
    }
    assert_eq!(stack.provider("primary").await["requests"], 4);
    let calls = stack.rows().await.into_iter().filter(|row| row.contains("CALL#")).count();
    assert_eq!((calls, stack.month(stack.account_id()).await.calls), (4, 4), "what is refused leaves no record");
    // Calls that cost no tokens still pass.
    assert_eq!(stack.call("/v1/messages/count_tokens", &messages("Hello")).await.status, 200);
    assert_eq!(stack.get("/v1/models").await.status, 200);

    set_cap(&stack, 10 * LIMIT, CapMode::Block).await;
    assert_eq!(states(&stack, 1).await, ["ok"], "a cap that is raised is so at once");
    set_cap(&stack, 1, CapMode::Warn).await;
    assert_eq!(states(&stack, 1).await, ["over"]);
    set_cap(&stack, 0, CapMode::Block).await;
    assert_eq!(states(&stack, 1).await, ["ok"], "a cap of nothing is none");
}

#[tokio::test]
async fn an_account_without_a_cap_of_its_own_has_the_default_one_and_without_that_nobody_counts() {
    let stack = builder().env("AI_TOKEN_CAP_DEFAULT", "1000").start().await;
    uses(&stack, TOKENS).await;
    assert_eq!(states(&stack, 5).await, ["ok", "ok", "ok", "warn", "over"]);
    set_cap(&stack, 0, CapMode::Warn).await;
    assert_eq!(states(&stack, 1).await, ["ok"]);

    let stack = builder().start().await;
    assert_eq!(states(&stack, 2).await, ["ok", "ok"]);
    let keys = async |mut connection| redis::cmd("KEYS").arg("*:tokens:*").query_async(&mut connection).await;
    let keys: Vec<String> = stack.redis().run(keys).await.unwrap();
    assert_eq!(keys, [""; 0], "nobody asks about an account that has no cap");
}

#[tokio::test]
async fn only_those_tokens_count_that_are_said_to() {
    for (counts, cap, expected) in [
        ("cache_read", "6000", ["ok", "warn", "over"]),
        ("input,cache_write,output", "6000", ["ok"; 3]),
        ("output", "20", ["ok", "ok", "over"]),
    ] {
        let stack = builder().env("AI_TOKEN_CAP_COUNTS", counts).env("AI_TOKEN_CAP_DEFAULT", cap).start().await;
        uses(&stack, TOKENS).await;
        assert_eq!(states(&stack, 3).await, expected, "{counts}");
    }
}

#[tokio::test]
async fn what_was_estimated_of_a_stream_that_broke_off_counts_too() {
    let stack = capped(CapMode::Warn).await;
    stack.script("primary", json!({ "cut_after": 1, "usage": { "input_tokens": 900 } })).await;
    assert_eq!(call(&stack, true).await.status, 200);
    assert_eq!(stack.wait_for_month(stack.account_id(), 1).await.estimated_calls, 1);
    stack.reset("primary").await;
    uses(&stack, TOKENS).await;
    assert_eq!(states(&stack, 2).await, ["warn", "over"]);
}
