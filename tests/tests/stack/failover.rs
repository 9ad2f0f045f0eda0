//! Providers that fail, and what a call makes of it: until there is something for the client another provider takes over, and
//! nothing of two providers is ever mixed.

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

use levee::breaker::{Second, State as Decision};
use levee::metering::{Record, State};
use redis::AsyncCommands;
use redis::aio::MultiplexedConnection;
use serde_json::{Value, json};
use tests::{Answer, Builder, Stack, messages, wait_for};

/// A stack without limits that a handful of calls would meet. Providers' patience is short, and none is asked twice.
fn builder() -> Builder {
    Stack::builder()
        .env("LIMIT_ACCOUNT_PER_MINUTE", "0")
        .env("LIMIT_INTEGRATION_PER_MINUTE", "0")
        .env("AI_RETRY_BUDGET_PERCENT", "0")
        .env("AI_FAILOVER_AFTER_MS", "700")
        .env("AI_CALL_TIMEOUT_MS", "6000")
        .env("AI_STREAM_GAP_TIMEOUT_MS", "700")
}

/// As [`builder`], where every call goes to the primary first, however often that has failed.
fn undecided() -> Builder {
    builder().env("BREAKER_MODE", "dry-run")
}

/// A call, streamed or not.
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

/// Provider, attempts and the reason for a fallback, as the headers of `answer` have them.
fn course(answer: &Answer) -> (&str, &str, &str) {
    (answer.header("x-levee-provider"), answer.header("x-levee-attempts"), answer.header("x-levee-fallback-reason"))
}

/// The kind of error and its message.
fn error(answer: &Answer) -> (String, String) {
    let error = &answer.json()["error"];
    (error["type"].as_str().unwrap().to_owned(), error["message"].as_str().unwrap().to_owned())
}

/// The records of the request that `answer` is of, by attempt: at which provider it was, how far it came, and whether that
/// is an estimate.
async fn records(stack: &Stack, answer: &Answer) -> Vec<(String, State, bool)> {
    let mut records: Vec<Record> = stack.records().await;
    records.retain(|record| record.call.request_id == id(answer));
    records.sort_by_key(|record| record.call.attempt);
    assert!(records.iter().zip(1..).all(|(record, number)| record.call.attempt == number), "{records:?}");
    records.into_iter().map(|record| (record.call.provider, record.state, record.estimated)).collect()
}

/// The codes of what was logged about the request that `answer` is of.
fn codes(stack: &Stack, answer: &Answer) -> Vec<String> {
    let lines = stack.log_lines("ai-proxy").into_iter().filter(|line| line["request.id"] == id(answer));
    lines.filter_map(|line| line["code"].as_str().map(str::to_owned)).collect()
}

/// What all environments have reported of the provider `name` since the last decision about it.
async fn seen(stack: &Stack, name: &str) -> Second {
    let key = format!("{{levee}}:breaker:{name}");
    let read = async |mut connection: MultiplexedConnection| connection.hgetall(&key).await;
    let fields: BTreeMap<String, String> = stack.redis().run(read).await.unwrap();
    let seconds = fields.iter().filter(|(field, _)| field.starts_with("s:"));
    seconds.fold(Second::default(), |sum, (_, counts)| {
        let counts: Vec<u32> = counts.split(' ').map(|count| count.parse().unwrap()).collect();
        let [good, bad, throttled, late, on_time] = counts[..] else { panic!("{counts:?}") };
        Second {
            at: 0,
            good: sum.good + good,
            bad: sum.bad + bad,
            throttled: sum.throttled + throttled,
            late: sum.late + late,
            on_time: sum.on_time + on_time,
        }
    })
}

/// What is decided about the provider `name`.
async fn decision(stack: &Stack, name: &str) -> Decision {
    stack.breakers().read(name).await.unwrap()
}

/// Calls until `is_so`.
async fn call_until(stack: &Stack, mut is_so: impl AsyncFnMut(&Answer) -> bool) -> Answer {
    wait_for(async || {
        let answer = call(stack, false).await;
        is_so(&answer).await.then_some(answer)
    })
    .await
}

/// The script of a provider that answers `status`.
fn status(status: u16) -> Value {
    json!({ "status": status })
}
