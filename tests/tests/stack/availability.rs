//! The breaker refuses no call that a provider would have served, whatever its state.
//!
//! Tests that need time to pass move the clock by one second at a time, with three calls in each.

#![expect(clippy::unwrap_used, reason = "helpers of tests are tests")]

use std::time::Duration;

use levee::breaker::{BreakerState, Grounds, Mode, Share, force};
use serde_json::{Value, json};
use tests::{Answer, Builder, STREAM_HEAD, Scripted, Stack, decide, event, messages};

/// Calls per second.
const RATE: usize = 3;

/// Returns a stack with demo accounts, without limits and without retries.
fn builder() -> Builder {
    Stack::builder().with_demo().without_limits().env("AI_RETRY_BUDGET_PERCENT", "0")
}

/// Returns the keys of two accounts, between which the calls alternate.
fn callers(stack: &Stack) -> [String; 2] {
    ["acme/crm", "globex/shop"].map(|of| stack.demo_keys()[of].clone())
}

async fn call(stack: &Stack, key: &str) -> Answer {
    stack.call_with_key(key, "/v1/messages", &messages("Hello")).await
}

/// Advances the clock by `seconds`, with calls in each second, and returns the statuses by second.
async fn live(stack: &Stack, seconds: usize) -> Vec<Vec<u16>> {
    let callers = callers(stack);
    let mut all = Vec::new();
    for _ in 0..seconds {
        let mut statuses = Vec::new();
        for number in 0..RATE {
            statuses.push(call(stack, &callers[number % 2]).await.status);
        }
        all.push(statuses);
        stack.advance(1).await;
    }
    all
}

/// Asserts that at most five calls were refused after a provider had recovered, all within three seconds.
fn assert_back_soon(seconds: &[Vec<u16>]) {
    let refused = |seconds: &[Vec<u16>]| seconds.iter().flatten().filter(|status| **status != 200).count();
    assert!(refused(&seconds[..3]) <= 5, "{seconds:?}");
    assert_eq!(refused(&seconds[3..]), 0, "{seconds:?}");
}

async fn fail(stack: &Stack, providers: &[&str], script: Value) {
    for provider in providers {
        stack.script(provider, script.clone()).await;
    }
}

/// Sets the provider to a ramp with this share, as during recovery.
async fn ramp(stack: &Stack, provider: &str, share: u16) {
    put(stack, provider, Mode::Ramp, share).await;
}

/// Writes a decision about a provider. If it is to be open, it stays so for at least a minute.
async fn put(stack: &Stack, provider: &str, mode: Mode, share: u16) {
    let from = stack.breakers().read(provider).await.unwrap();
    let (generation, since) = (from.generation + 1, stack.now());
    let not_before = if mode == Mode::Open { since.plus(Duration::from_secs(60)) } else { since };
    let to = BreakerState {
        generation,
        mode,
        share: Share::from_basis_points(share),
        since,
        not_before,
        ..BreakerState::new()
    };
    decide(&stack.breakers(), provider, to, Grounds::default(), "test").await;
}

#[tokio::test]
async fn a_single_provider_that_was_down_serves_everything_seconds_after_it_is_well() {
    let stack = builder().argument("--providers").argument("primary").start().await;
    live(&stack, 2).await;
    fail(&stack, &["primary"], json!({ "status": 500 })).await;
    live(&stack, 20).await;
    assert_eq!(stack.breakers().read("primary").await.unwrap().share, Share::NONE);
    let before = stack.requests("primary").await;
    live(&stack, 20).await;
    let asked = stack.requests("primary").await - before;
    assert!((19..=23).contains(&asked), "{asked} calls went there in 20 s of an outage");

    fail(&stack, &["primary"], json!({ "status": null })).await;
    assert_back_soon(&live(&stack, 30).await);
}

#[tokio::test]
async fn two_providers_that_were_down_serve_everything_seconds_after_they_are_well() {
    let stack = builder().start().await;
    live(&stack, 2).await;
    fail(&stack, &["primary", "backup"], json!({ "status": 500 })).await;
    live(&stack, 25).await;
    fail(&stack, &["primary", "backup"], json!({ "status": null })).await;
    assert_back_soon(&live(&stack, 30).await);
}

#[tokio::test]
async fn a_backup_on_its_way_back_takes_every_call_when_the_primary_begins_to_fail() {
    for share in [2_500, 5_000] {
        let stack = builder().start().await;
        ramp(&stack, "backup", share).await;
        live(&stack, 2).await;
        fail(&stack, &["primary"], json!({ "status": 500 })).await;
        let statuses = live(&stack, 15).await;
        assert!(statuses.iter().flatten().all(|status| *status == 200), "at {share}: {statuses:?}");
    }
}

#[tokio::test]
async fn on_a_quiet_stack_whose_providers_are_on_their_way_back_nothing_is_refused_and_they_come_back() {
    let stack = builder().start().await;
    for provider in ["primary", "backup"] {
        ramp(&stack, provider, 1_000).await;
    }
    for _ in 0..6 {
        assert_eq!(call(&stack, stack.api_key()).await.status, 200);
        assert_eq!(stack.get("/v1/models").await.status, 200);
        stack.advance(40).await;
    }
    let primary = stack.breakers().read("primary").await.unwrap();
    assert_eq!(primary.mode, Mode::Closed, "{primary:?}");
}

#[tokio::test]
async fn a_call_that_every_provider_fails_at_costs_other_accounts_nothing() {
    let stack = builder().start().await;
    let [poison, other] = callers(&stack);
    for _ in 0..4 {
        assert_eq!(call(&stack, &other).await.status, 200);
        fail(&stack, &["primary", "backup"], json!({ "status": 500 })).await;
        assert_eq!(call(&stack, &poison).await.status, 500);
        fail(&stack, &["primary", "backup"], json!({ "status": null })).await;
    }
    for _ in 0..8 {
        let answer = call(&stack, &other).await;
        let served = ["x-levee-provider", "x-levee-attempts"].map(|name| answer.header(name));
        assert_eq!((answer.status, served), (200, ["primary", "1"]), "{answer:?}");
    }
    for provider in ["primary", "backup"] {
        assert_eq!(stack.breakers().read(provider).await.unwrap(), BreakerState::new(), "{provider}");
    }
}

#[tokio::test]
async fn an_account_whose_calls_fail_while_nobody_else_calls_keeps_nobody_else_away() {
    let stack = builder().start().await;
    let [poison, other] = callers(&stack);
    fail(&stack, &["primary", "backup"], json!({ "status": 500 })).await;
    let mut statuses = Vec::new();
    while statuses.last() != Some(&529) {
        statuses.push(call(&stack, &poison).await.status);
        assert!(statuses.len() < 30, "it is never kept away itself: {statuses:?}");
    }
    fail(&stack, &["primary", "backup"], json!({ "status": null })).await;
    assert_eq!(call(&stack, &other).await.status, 200, "it does not wait for a second to pass");
}

/// The tour's section "A provider that fails", with different earlier states of the backup.
#[tokio::test]
async fn a_primary_that_fails_looks_the_same_whatever_happened_to_the_backup_before() {
    for before in
        [None, Some((Mode::Open, 0)), Some((Mode::Probe, 0)), Some((Mode::Ramp, 1_000)), Some((Mode::Shed, 500))]
    {
        let stack = builder().env("AI_WARM_PERCENT", "0").start().await;
        if let Some((mode, share)) = before {
            put(&stack, "backup", mode, share).await;
        }
        fail(&stack, &["primary"], json!({ "status": 500 })).await;
        let mut lines = Vec::new();
        for _ in 0..12 {
            let answer = call(&stack, stack.api_key()).await;
            let names = ["x-levee-provider", "x-levee-attempts"];
            lines.push((answer.status, names.map(|name| answer.header(name).to_owned())));
        }
        let (served, [provider, attempts]) = (200, ["backup", "2"]);
        assert_eq!(lines[0], (served, [provider, attempts].map(str::to_owned)), "{before:?}");
        assert_eq!(lines[11], (served, [provider, "1"].map(str::to_owned)), "{before:?}");
        assert!(lines.iter().all(|(status, [by, _])| (*status, by.as_str()) == (served, provider)), "{lines:?}");
    }
}

#[tokio::test]
async fn limits_that_are_about_one_accounts_calls_take_no_share_from_others() {
    let stack = builder().start().await;
    let [greedy, other] = callers(&stack);
    let body = json!({ "type": "error", "error": {
        "type": "rate_limit_error", "message": "Extra usage is required for long context requests." } });
    for _ in 0..20 {
        stack.script("primary", json!({ "answer": { "status": 429, "body": body } })).await;
        call(&stack, &greedy).await;
        stack.script("primary", json!({ "answer": null })).await;
        let answer = call(&stack, &other).await;
        assert_eq!((answer.status, answer.header("x-levee-provider")), (200, "primary"), "{answer:?}");
    }
    assert_eq!(stack.breakers().read("primary").await.unwrap().share, Share::ALL);
}

#[tokio::test]
async fn a_provider_that_asks_to_be_left_alone_for_hours_is() {
    let stack = builder().start().await;
    stack.script("primary", json!({ "status": 429, "retry_after": 7_200 })).await;
    let callers = callers(&stack);
    for number in 0..120 {
        assert_eq!(call(&stack, &callers[number % 2]).await.status, 200);
        stack.advance(15).await;
    }
    let asked = stack.requests("primary").await;
    assert!((2..=10).contains(&asked), "it was asked {asked} times in half an hour");

    stack.script("primary", json!({ "status": null, "retry_after": null })).await;
    for _ in 0..60 {
        stack.advance(15).await;
        assert_eq!(call(&stack, &callers[0]).await.status, 200);
    }
    let answer = call(&stack, &callers[0]).await;
    assert_eq!(answer.header("x-levee-provider"), "primary", "it serves calls again: {answer:?}");
}

#[tokio::test]
async fn where_nobody_else_is_left_the_pause_that_one_account_was_told_is_tried_by_another() {
    let stack = builder().argument("--providers").argument("primary").start().await;
    let [told, other] = callers(&stack);
    stack.script("primary", json!({ "status": 429, "retry_after": 7_200 })).await;
    assert_eq!(call(&stack, &told).await.status, 429);
    stack.script("primary", json!({ "status": null, "retry_after": null })).await;
    let refused = call(&stack, &told).await;
    assert_eq!(refused.status, 529, "{refused:?}");
    assert!(refused.header("retry-after").parse::<u64>().unwrap() > 7_000, "{refused:?}");
    stack.advance(5).await;
    assert_eq!(call(&stack, &other).await.status, 200);
    assert_eq!(call(&stack, &told).await.status, 200, "it serves calls");
}

#[tokio::test]
async fn what_an_admin_says_holds_while_redis_is_away_however_often_it_is_looked_at() {
    let stack = builder().start().await;
    assert_eq!(call(&stack, stack.api_key()).await.header("x-levee-provider"), "primary");
    let from = stack.breakers().read("primary").await.unwrap();
    let until = stack.now().plus(Duration::from_secs(3_600));
    let to = force(&from, Share::NONE, until, "cli:test", stack.now());
    decide(&stack.breakers(), "primary", to, Grounds::default(), "cli:test").await;
    stack.order("/redis/stop").await;
    let before = stack.requests("primary").await;
    // The first call may still follow the state before the outage.
    call(&stack, stack.api_key()).await;
    stack.advance(2).await;
    let begun = stack.requests("primary").await;
    for _ in 0..80 {
        assert_eq!(call(&stack, stack.api_key()).await.status, 200);
        stack.advance(1).await;
    }
    let asked = stack.requests("primary").await;
    assert!(asked == begun && begun - before <= 1, "{before}, {begun}, {asked}");
}

/// Returns a stream with `pings` pings before its content, each after `gap`.
fn pinging(pings: usize, gap: Duration) -> Vec<(Duration, String)> {
    let start = json!({ "type": "message_start", "message": { "id": "msg_1", "type": "message", "role": "assistant",
        "model": "m", "content": [], "usage": { "input_tokens": 3, "output_tokens": 1 } } });
    let ping = event("ping", &json!({ "type": "ping" }));
    let mut pieces = vec![(Duration::ZERO, STREAM_HEAD.to_owned() + &event("message_start", &start) + &ping)];
    pieces.extend(vec![(gap, ping); pings]);
    let block = json!({ "type": "content_block_start", "index": 0, "content_block": { "type": "text", "text": "" } });
    let text = json!({ "type": "content_block_delta", "index": 0, "delta": { "type": "text_delta", "text": "late" } });
    let delta =
        json!({ "type": "message_delta", "delta": { "stop_reason": "end_turn" }, "usage": { "output_tokens": 5 } });
    let end = event("content_block_start", &block)
        + &event("content_block_delta", &text)
        + &event("message_delta", &delta)
        + &event("message_stop", &json!({ "type": "message_stop" }));
    pieces.push((gap, end));
    pieces
}

fn both(primary: &Scripted, backup: &Scripted) -> String {
    let provider = |(name, it): (&str, &Scripted)| json!({ "name": name, "kind": "anthropic", "base_url": it.url, "api_key": "sk-x" });
    json!([provider(("primary", primary)), provider(("backup", backup))]).to_string()
}

fn streamed() -> Value {
    let mut call = messages("Hello");
    call["stream"] = true.into();
    call
}

#[tokio::test]
async fn a_stream_that_pings_for_long_before_its_first_content_is_served_and_no_other_provider_is_asked() {
    let gap = Duration::from_millis(300);
    let (primary, backup) = (Scripted::start(pinging(8, gap)).await, Scripted::start(pinging(0, gap)).await);
    let stack = Stack::builder()
        .env("AI_PROVIDERS", &both(&primary, &backup))
        .env("AI_FAILOVER_AFTER_MS", "1000")
        .env("AI_FIRST_TOKEN_TIMEOUT_MS", "1500")
        .start()
        .await;
    let answer = stack.call("/v1/messages", &streamed()).await;
    assert_eq!((answer.status, answer.header("x-levee-provider")), (200, "primary"), "{answer:?}");
    let text = answer.text();
    assert!(text.contains("late") && text.contains("message_stop"), "{text}");
    assert_eq!(text.matches("event: ping").count(), 9, "{text}");
    assert!(backup.bodies().is_empty(), "nobody is billed twice");
}

#[tokio::test]
async fn a_stream_that_pings_once_and_falls_silent_is_another_providers_turn() {
    let silent = vec![pinging(0, Duration::ZERO).remove(0), (Duration::from_secs(60), String::new())];
    let (primary, backup) = (Scripted::start(silent).await, Scripted::start(pinging(0, Duration::ZERO)).await);
    let stack = Stack::builder()
        .env("AI_PROVIDERS", &both(&primary, &backup))
        .env("AI_FAILOVER_AFTER_MS", "1000")
        .start()
        .await;
    let answer = stack.call("/v1/messages", &streamed()).await;
    assert_eq!((answer.status, answer.header("x-levee-provider")), (200, "backup"), "{answer:?}");
    assert!(answer.text().contains("late"), "{answer:?}");
}

#[tokio::test]
async fn a_stream_that_only_pings_is_ended_at_last() {
    let pings = Scripted::start(pinging(60, Duration::from_millis(200))).await;
    let stack = Stack::builder()
        .env("AI_PROVIDERS", &pings.as_only_provider(""))
        .env("AI_FAILOVER_AFTER_MS", "600")
        .env("AI_PING_TIMEOUT_MS", "2000")
        .start()
        .await;
    let answer = stack.call("/v1/messages", &streamed()).await;
    let (name, data) = answer.events().pop().unwrap();
    assert_eq!((answer.status, name.as_str()), (200, "error"), "{answer:?}");
    assert!(data.to_string().contains("nothing but signs of life"), "{data}");
}
