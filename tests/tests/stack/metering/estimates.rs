//! Calls that may have been billed but whose usage was never reported: their prompt is counted as an estimate.

use std::time::Duration;

use levee::accounts::{AccountsTable, CapMode, CapOverride, publish};
use levee::limits::versions::RecordId;
use levee::metering::{RecordState, estimate_prompt};
use serde_json::{Value, json};
use tests::{Builder, Scripted, Stack, event, messages};

fn builder() -> Builder {
    Stack::builder().only_primary().env("AI_CALL_TIMEOUT_MS", "1000").env("AI_FIRST_TOKEN_TIMEOUT_MS", "1000")
}

/// Returns a call of about 200 kB, which is about 50,000 tokens.
fn long(is_streamed: bool) -> Value {
    let mut call = messages(&"lorem ".repeat(200_000 / 6));
    call["stream"] = is_streamed.into();
    call
}

/// Makes the call and checks that its prompt is counted as an estimate, once.
async fn assert_estimated(stack: &Stack, is_streamed: bool, what: &str) {
    let (call, before) = (long(is_streamed), stack.month(stack.account_id()).await);
    let answer = stack.call("/v1/messages", &call).await;
    assert!(answer.status >= 500, "{what}: {answer:?}");
    let mut records = stack.records().await;
    records.retain(|record| record.call.request_id == answer.header("x-levee-request-id"));
    let (record, prompt) = (records.pop().unwrap(), estimate_prompt(call.to_string().as_bytes()));
    assert!(records.is_empty() && prompt > 50_000, "{what}: {prompt}");
    assert_eq!(
        (record.state, record.estimated, record.figures.usage.input),
        (RecordState::Closed, true, prompt),
        "{what}"
    );
    assert_eq!((record.parts.len(), record.parts[0].service.model.as_str()), (1, "claude-sonnet-5-5"), "{what}");
    let after = stack.month(stack.account_id()).await;
    let grown =
        (after.calls - before.calls, after.estimated_calls - before.estimated_calls, after.input - before.input);
    assert_eq!(grown, (1, 1, prompt), "{what}");
}

#[tokio::test]
async fn a_call_that_gets_no_answer_in_time_counts_its_prompt() {
    let stack = builder().start().await;
    for (hang, is_streamed) in [("headers", false), ("headers", true), ("first_token", false)] {
        stack.reset("primary").await;
        stack.script("primary", json!({ "hang": hang })).await;
        assert_estimated(&stack, is_streamed, &format!("{hang} {is_streamed}")).await;
    }
}

#[tokio::test]
async fn a_success_that_is_no_message_and_a_connection_that_is_lost_count_the_prompt() {
    let json = "content-type: application/json\r\nconnection: close";
    for said in [
        format!("HTTP/1.1 200 OK\r\n{json}\r\ncontent-length: 2\r\n\r\n[]"),
        format!("HTTP/1.1 200 OK\r\n{json}\r\ncontent-length: 500\r\n\r\n{{\"id\":"),
        format!("HTTP/1.1 200 OK\r\n{json}\r\ncontent-length: 0\r\n\r\n"),
        String::new(),
    ] {
        let provider = Scripted::start(vec![(Duration::ZERO, said.clone())]).await;
        let stack = builder().env("AI_PROVIDERS", &provider.as_only_provider("")).env("AI_RETRY_BUDGET_PERCENT", "0");
        assert_estimated(&stack.start().await, false, &said).await;
    }
}

#[tokio::test]
async fn a_message_that_reports_no_input_counts_the_prompt_as_an_estimate() {
    let provider = Scripted::start(Vec::new()).await;
    let stack = builder().env("AI_PROVIDERS", &provider.as_only_provider("")).start().await;
    for (is_streamed, usage) in [
        (false, json!({})),
        (false, json!({ "output_tokens": 9 })),
        (false, json!({ "input_tokens": -1, "output_tokens": 9 })),
        (true, json!({ "output_tokens": 9 })),
    ] {
        let message = json!({ "type": "message", "content": [], "usage": usage });
        let said = if is_streamed {
            let start = json!({ "type": "message_start", "message": { "id": "msg_1", "type": "message" } });
            let delta = json!({ "type": "message_delta", "usage": usage });
            let events = [start, delta, json!({ "type": "message_stop" })];
            answer("text/event-stream", &events.map(|it| event(it["type"].as_str().unwrap(), &it)).concat())
        } else {
            answer("application/json", &message.to_string())
        };
        provider.says(&[&said]);
        let (call, before) = (long(is_streamed), stack.month(stack.account_id()).await);
        let got = stack.call("/v1/messages", &call).await;
        assert_eq!(got.status, 200, "{usage}: {got:?}");
        let after = stack.wait_for_month(stack.account_id(), before.calls + 1).await;
        let prompt = estimate_prompt(call.to_string().as_bytes());
        let grown = (after.estimated_calls - before.estimated_calls, after.input - before.input);
        assert_eq!(grown, (1, prompt), "{usage} {is_streamed}");
    }
}

fn answer(kind: &str, body: &str) -> String {
    let length = body.len();
    format!("HTTP/1.1 200 OK\r\ncontent-type: {kind}\r\nconnection: close\r\ncontent-length: {length}\r\n\r\n{body}")
}

#[tokio::test]
async fn what_is_estimated_of_a_call_that_nobody_served_counts_against_a_cap_that_blocks() {
    let stack = builder().start().await;
    let table = AccountsTable::new(stack.dynamodb(), "Accounts");
    let account = table.account(stack.account_id()).await.unwrap().unwrap().account;
    let cap = CapOverride { limit: Some(10_000), mode: CapMode::Block };
    assert!(table.set_account_terms(&account, &cap, &account.guards).await.unwrap());
    publish(&table, &stack.redis(), &[RecordId::Account(account.id)], stack.now()).await.unwrap();

    stack.script("primary", json!({ "hang": "headers" })).await;
    let answer = stack.call("/v1/messages", &long(false)).await;
    assert_eq!(answer.status, 504, "{answer:?}");
    stack.reset("primary").await;
    let refused = stack.call("/v1/messages", &messages("Hello")).await;
    assert_eq!((refused.status, refused.header("x-levee-token-state")), (429, "over"), "{refused:?}");
}
