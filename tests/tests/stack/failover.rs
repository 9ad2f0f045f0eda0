//! Failing providers and their effect on a call: until the client has received content, another provider takes over,
//! and two providers' outputs are never mixed.

#![expect(clippy::unwrap_used, clippy::panic, reason = "helpers of tests are tests")]

mod account;
mod after;
mod before;
mod bounds;
mod breaker;
mod caller;
mod compressed;
mod edge;
mod exhausted;
mod guards;
mod nonsense;
mod probes;
mod provider;
mod retries;
mod slow;
mod stores;
mod warm;

use std::collections::BTreeMap;

use levee::breaker::{BreakerState as Decision, SecondBucket};
use levee::metering::{Record, RecordState};
use redis::AsyncCommands;
use redis::aio::MultiplexedConnection;
use serde_json::{Value, json};
use tests::{Answer, Builder, Stack, messages, wait_for};

/// Returns a stack whose limits a handful of calls does not reach, with short time-outs of providers and without
/// retries.
fn builder() -> Builder {
    Stack::builder()
        .env("LIMIT_ACCOUNT_PER_MINUTE", "0")
        .env("LIMIT_INTEGRATION_PER_MINUTE", "0")
        .env("AI_RETRY_BUDGET_PERCENT", "0")
        .env("AI_FAILOVER_AFTER_MS", "700")
        .env("AI_CALL_TIMEOUT_MS", "6000")
        .env("AI_STREAM_GAP_TIMEOUT_MS", "700")
}

/// Works as [`builder`], but every call goes to the primary first, regardless of its failures.
fn undecided() -> Builder {
    builder().env("BREAKER_MODE", "dry-run")
}

/// Returns a call, streamed or not.
fn hello(is_streamed: bool) -> Value {
    let mut call = messages("Hello");
    call["stream"] = is_streamed.into();
    call
}

async fn call(stack: &Stack, is_streamed: bool) -> Answer {
    stack.call("/v1/messages", &hello(is_streamed)).await
}

fn id(answer: &Answer) -> &str {
    answer.header("x-levee-request-id")
}

/// Returns provider, attempts and fallback reason from the headers of `answer`.
fn course(answer: &Answer) -> (&str, &str, &str) {
    (answer.header("x-levee-provider"), answer.header("x-levee-attempts"), answer.header("x-levee-fallback-reason"))
}

/// Returns type and message of the error.
fn error(answer: &Answer) -> (String, String) {
    let error = &answer.json()["error"];
    (error["type"].as_str().unwrap().to_owned(), error["message"].as_str().unwrap().to_owned())
}

/// Returns the records of the request of `answer`, by attempt: the provider, the state, and true for an estimate.
async fn records(stack: &Stack, answer: &Answer) -> Vec<(String, RecordState, bool)> {
    let mut records: Vec<Record> = stack.records().await;
    records.retain(|record| record.call.request_id == id(answer));
    records.sort_by_key(|record| record.call.attempt);
    assert!(records.iter().zip(1..).all(|(record, number)| record.call.attempt == number), "{records:?}");
    records.into_iter().map(|record| (record.call.provider, record.state, record.estimated)).collect()
}

/// Returns the codes that were logged about the request of `answer`.
fn codes(stack: &Stack, answer: &Answer) -> Vec<String> {
    let lines = stack.log_lines("ai-proxy").into_iter().filter(|line| line["request.id"] == id(answer));
    lines.filter_map(|line| line["code"].as_str().map(str::to_owned)).collect()
}

/// Returns the evidence that all environments have reported about the provider `name` since the last decision.
async fn seen(stack: &Stack, name: &str) -> SecondBucket {
    let key = format!("{{levee}}:breaker:{name}");
    let read = async |mut connection: MultiplexedConnection| connection.hgetall(&key).await;
    let fields: BTreeMap<String, String> = stack.redis().run(read).await.unwrap();
    let seconds = fields.iter().filter(|(field, _)| field.starts_with("s:"));
    seconds.fold(SecondBucket::default(), |sum, (_, counts)| {
        let counts: Vec<u32> = counts.split(' ').map(|count| count.parse().unwrap()).collect();
        let [good, bad, throttled, late, on_time] = counts[..] else { panic!("{counts:?}") };
        SecondBucket {
            at: 0,
            good: sum.good + good,
            bad: sum.bad + bad,
            throttled: sum.throttled + throttled,
            late: sum.late + late,
            on_time: sum.on_time + on_time,
        }
    })
}

/// Returns the decision about the provider `name`.
async fn decision(stack: &Stack, name: &str) -> Decision {
    stack.breakers().read(name).await.unwrap()
}

/// Repeats a call until `is_so` holds for its answer.
async fn call_until(stack: &Stack, mut is_so: impl AsyncFnMut(&Answer) -> bool) -> Answer {
    wait_for(async || {
        let answer = call(stack, false).await;
        is_so(&answer).await.then_some(answer)
    })
    .await
}

/// Returns the script of a provider that answers `status`.
fn status(status: u16) -> Value {
    json!({ "status": status })
}
