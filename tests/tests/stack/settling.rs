//! Records of calls in the ledger, in all cases of a call's end, of killed environments, and of DynamoDB outages.

#![expect(clippy::unwrap_used, clippy::panic, reason = "helpers of tests are tests")]

mod abandoned;
mod attempts;
mod unwritten;

use levee::metering::{Record, RecordState};
use reqwest::Response;
use serde_json::{Value, json};
use tests::{Builder, Stack, messages, wait_for};

/// Input tokens that the stand-in reports for every call.
const INPUT: u64 = 1234;

/// Returns a stack whose limits a handful of calls does not reach, and in which each call has one attempt.
fn builder() -> Builder {
    let builder = Stack::builder().env("LIMIT_ACCOUNT_PER_MINUTE", "0").env("LIMIT_INTEGRATION_PER_MINUTE", "0");
    builder.only_primary()
}

fn streamed() -> Value {
    let mut call = messages("Count to forty.");
    call["stream"] = true.into();
    call
}

/// Makes the stand-in's streams longer than a test needs.
async fn long_streams(stack: &Stack) {
    let script = json!({ "gap_ms": 100, "deltas": 200, "usage": { "input_tokens": INPUT } });
    stack.script("primary", script).await;
}

/// Begins a stream, and waits for its head and the beginning of its body.
async fn begin(stack: &Stack) -> (Response, String) {
    let mut answer = stack.send("/v1/messages", &streamed()).await;
    assert_eq!(answer.status(), 200);
    assert!(answer.chunk().await.unwrap().is_some());
    let id = answer.headers()["x-levee-request-id"].to_str().unwrap().to_owned();
    (answer, id)
}

async fn control(stack: &Stack, path: &str, body: Value) {
    let answer = stack.control("POST", path, body).await;
    assert_eq!(answer.status, 200, "{path}: {answer:?}");
}

/// Runs the monitor, which has to succeed, and returns the number of calls that it settled.
async fn settled(stack: &Stack) -> u64 {
    let answer = stack.control("POST", "/monitor/run", Value::Null).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    let summary: Value = serde_json::from_str(answer.json()["answer"].as_str().unwrap()).unwrap();
    summary["settled"].as_u64().unwrap_or_else(|| panic!("{summary}"))
}

/// Returns the only record of the request `id`, if there is one.
async fn find(stack: &Stack, id: &str) -> Option<Record> {
    let mut records = stack.records().await;
    records.retain(|record| record.call.request_id == id);
    assert!(records.len() <= 1, "{records:?}");
    records.pop()
}

/// Waits for the record of the request `id` to be in `state`.
async fn record(stack: &Stack, id: &str, state: RecordState) -> Record {
    wait_for(async || find(stack, id).await.filter(|record| record.state == state)).await
}

/// Moves the functions' clock to `beside` seconds after the deadline of the call of `record`.
async fn advance_past_deadline(stack: &Stack, record: &Record, beside: u64) {
    let now = stack.now().as_secs();
    stack.advance((record.call.deadline + beside).saturating_sub(now)).await;
}

/// Returns the lines of `function` with `code`.
fn lines(stack: &Stack, function: &str, code: &str) -> Vec<Value> {
    let mut lines = stack.log_lines(function);
    lines.retain(|line| line["code"] == code);
    lines
}
