//! Clients, providers, clock and stores of a running stack, as used by tests.

use std::collections::{BTreeMap, HashMap};
use std::time::{Duration, SystemTime};

use aws_sdk_dynamodb::config::Credentials;
use aws_sdk_dynamodb::types::AttributeValue;
use levee::clock::{Clock, Timestamp};
use levee::stores::aws::AwsConfig;
use levee::stores::dynamodb::{self, DynamoDbConfig};
use levee::stores::redis::{Redis, RedisConfig};
use redis::AsyncCommands;
use reqwest::RequestBuilder;
use serde_json::{Value, json};

use crate::{Answer, Stack, wait_for};

/// Length of the window in which limits are counted, in seconds.
const WINDOW_SECS: u64 = 60;

/// Returns a Messages API call with one user message.
pub fn messages(text: &str) -> Value {
    json!({ "model": "claude-sonnet-5-5", "max_tokens": 256, "messages": [{ "role": "user", "content": text }] })
}

/// Sums of an account for a month.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[expect(missing_docs, reason = "named as in the table")]
pub struct Month {
    pub calls: u64,
    pub further_attempts: u64,
    pub estimated_calls: u64,
    pub input: u64,
    pub output: u64,
    pub cache_read: u64,
    pub cache_write_5m: u64,
    pub cache_write_1h: u64,
}

impl Month {
    /// Returns the number of calls and the usage added since `before`, under the names of the provider's usage
    /// figures.
    pub fn since(&self, before: &Month) -> (u64, Value) {
        let cache_write_5m = self.cache_write_5m - before.cache_write_5m;
        let cache_write_1h = self.cache_write_1h - before.cache_write_1h;
        let added = json!({
            "input_tokens": self.input - before.input,
            "output_tokens": self.output - before.output,
            "cache_read_input_tokens": self.cache_read - before.cache_read,
            "cache_creation_input_tokens": cache_write_5m + cache_write_1h,
            "ephemeral_5m_input_tokens": cache_write_5m,
            "ephemeral_1h_input_tokens": cache_write_1h,
        });
        (self.calls - before.calls, added)
    }
}

/// Requests of clients.
impl Stack {
    /// Returns a key with default settings: not exempt from the limit per client address.
    pub fn plain_api_key(&self) -> &str {
        self.local("plain_api_key")
    }

    /// Returns the secret of the platform's own proxy.
    pub fn proxy_secret(&self) -> &str {
        self.local("proxy_secret")
    }

    /// Returns a POST request with the fixed key and no body.
    pub fn request(&self, path: &str) -> RequestBuilder {
        self.request_with_key(self.api_key(), path)
    }

    /// Returns a POST request with the given key and no body.
    pub fn request_with_key(&self, key: &str, path: &str) -> RequestBuilder {
        anthropic(self.client().post(self.url(path)), key)
    }

    /// POSTs `call` and returns the answer before its body has been read.
    pub async fn send(&self, path: &str, call: &Value) -> reqwest::Response {
        self.request(path).json(call).send().await.expect("an answer")
    }

    /// POSTs `call` and reads the whole answer.
    pub async fn call(&self, path: &str, call: &Value) -> Answer {
        Answer::read(self.send(path, call).await).await
    }

    /// POSTs `call` with another key and reads the whole answer.
    pub async fn call_with_key(&self, key: &str, path: &str, call: &Value) -> Answer {
        Answer::read(self.request_with_key(key, path).json(call).send().await.expect("an answer")).await
    }

    /// GETs `path` with the fixed key.
    pub async fn get(&self, path: &str) -> Answer {
        let request = anthropic(self.client().get(self.url(path)), self.api_key());
        Answer::read(request.send().await.expect("an answer")).await
    }
}

/// Control of the stand-in providers.
impl Stack {
    /// POSTs `call` directly to the stand-in `name`, with its own key.
    pub async fn direct(&self, name: &str, path: &str, call: &Value) -> Answer {
        let provider = self.provider(name).await;
        let url = format!("{}{path}", provider["base_url"].as_str().expect("an address"));
        let request = anthropic(self.client().post(url), &Self::provider_key(name));
        Answer::read(request.json(call).send().await.expect("an answer")).await
    }

    /// Returns the key that the stand-in `name` accepts.
    pub fn provider_key(name: &str) -> String {
        format!("sk-standin-{name}-0f1e2d3c4b5a69788796a5b4c3d2e1f0")
    }

    /// Returns the state that the stand-in `name` reports.
    pub async fn provider(&self, name: &str) -> Value {
        self.control("GET", &format!("/providers/{name}"), Value::Null).await.json()
    }

    /// Returns the number of calls for a message that the stand-in `name` has received.
    pub async fn requests(&self, name: &str) -> u64 {
        self.provider(name).await["requests"].as_u64().expect("a number")
    }

    /// Changes the script of the stand-in `name`.
    pub async fn script(&self, name: &str, script: Value) {
        let answer = self.control("PUT", &format!("/providers/{name}"), script).await;
        assert_eq!(answer.status, 200, "{answer:?}");
    }

    /// Resets the script and the counters of the stand-in `name`.
    pub async fn reset(&self, name: &str) {
        let answer = self.control("DELETE", &format!("/providers/{name}"), Value::Null).await;
        assert_eq!(answer.status, 200, "{answer:?}");
    }

    /// Waits until the stand-in `name` reports `count` in `field`.
    pub async fn wait_for_provider(&self, name: &str, field: &str, count: u64) {
        wait_for(async || (self.provider(name).await[field] == count).then_some(())).await;
    }
}

/// Control of the clock.
impl Stack {
    /// Returns the offset of the functions' clock.
    pub fn clock_offset(&self) -> Duration {
        let text = std::fs::read_to_string(self.state().join("clock-offset")).unwrap_or_default();
        Duration::from_secs(text.trim().parse().unwrap_or(0))
    }

    /// Returns the current time by the functions' clock.
    pub fn now(&self) -> Timestamp {
        Clock::system().now().plus(self.clock_offset())
    }

    /// Moves the clock to the beginning of the next minute, so that a test starts with a new window.
    pub async fn skip_to_fresh_window(&self) {
        let now = self.now().as_secs();
        self.advance(WINDOW_SECS - now % WINDOW_SECS).await;
    }

    /// Moves the clock forward until it is `second` seconds into a period of `period` seconds, such as a UTC day.
    pub async fn place_clock(&self, period: u64, second: u64) {
        let now = self.now().as_secs();
        self.advance((second + period - now % period) % period).await;
    }

    /// Returns the Unix time in seconds, by the functions' clock, at which `answer` had been read.
    pub fn received_at(&self, answer: &Answer) -> u64 {
        let since_epoch = answer.received_at.duration_since(SystemTime::UNIX_EPOCH).expect("after 1970");
        (since_epoch + self.clock_offset()).as_secs()
    }
}

/// Access to the stores.
impl Stack {
    /// Returns the tallies of all minutes that are not folded into the statistics yet, by field.
    pub async fn tallies(&self) -> BTreeMap<String, u64> {
        let client = redis::Client::open(self.local("redis_url")).expect("a Redis URL");
        let mut connection = client.get_multiplexed_async_connection().await.expect("Redis");
        let mut tallies = BTreeMap::new();
        for key in connection.keys::<_, Vec<String>>("{levee}:tally:[0-9]*").await.expect("keys") {
            for (field, calls) in connection.hgetall::<_, BTreeMap<String, u64>>(&key).await.expect("a hash") {
                *tallies.entry(field).or_default() += calls;
            }
        }
        tallies
    }

    /// Returns the sums of all limit counters in Redis, by policy.
    pub async fn redis_counters(&self) -> BTreeMap<String, u64> {
        let client = redis::Client::open(self.local("redis_url")).expect("a Redis URL");
        let mut connection = client.get_multiplexed_async_connection().await.expect("Redis");
        let keys: Vec<String> = connection.keys("{levee}:limit:*").await.expect("keys");
        let mut counters = BTreeMap::new();
        for key in keys {
            let policy = key.split(':').nth(2).expect("a policy").to_owned();
            *counters.entry(policy).or_default() += connection.get::<_, u64>(&key).await.expect("a count");
        }
        counters
    }

    /// Returns a handle to the stack's Redis, with a budget that is long enough for a busy machine.
    pub fn redis(&self) -> Redis {
        let client = redis::Client::open(self.local("redis_url")).expect("a Redis URL");
        Redis::new(RedisConfig { client: Some(client), budget: Duration::from_secs(30) })
    }

    /// Returns a client for the stack's DynamoDB.
    pub fn dynamodb(&self) -> aws_sdk_dynamodb::Client {
        dynamodb::client(&DynamoDbConfig {
            aws: AwsConfig {
                region: "us-east-1".to_owned(),
                credentials: Credentials::new("test", "test", None, None, "test"),
            },
            endpoint_url: Some(self.local("dynamodb_url").to_owned()),
            // A busy machine must not look like an outage.
            timeout: Duration::from_secs(60),
        })
    }

    /// Returns the account's sums of the current month by the functions' clock.
    pub async fn month(&self, account: &str) -> Month {
        self.month_of(account, &self.now().month()).await
    }

    /// Returns the account's sums of `month`, such as `2026-11`.
    pub async fn month_of(&self, account: &str, month: &str) -> Month {
        let pages = self
            .dynamodb()
            .query()
            .table_name("Usage")
            .key_condition_expression("pk = :pk AND begins_with(sk, :total)")
            .expression_attribute_values(":total", AttributeValue::S("TOTAL#".to_owned()))
            .expression_attribute_values(":pk", AttributeValue::S(format!("MONTH#{account}#{month}")))
            .consistent_read(true)
            .into_paginator()
            .items()
            .send();
        let items = pages.collect::<Result<Vec<_>, _>>().await.expect("DynamoDB");
        // Add up the shards of the sums.
        let sum = |name: &str| {
            let number = |item: &HashMap<String, AttributeValue>| item[name].as_n().expect("a number").parse::<i64>();
            let sum = items.iter().map(|item| number(item).expect("a whole number")).sum::<i64>();
            u64::try_from(sum).expect("no sum is negative")
        };
        Month {
            calls: sum("calls"),
            further_attempts: sum("further_attempts"),
            estimated_calls: sum("estimated_calls"),
            input: sum("input"),
            output: sum("output"),
            cache_read: sum("cache_read"),
            cache_write_5m: sum("cache_write_5m"),
            cache_write_1h: sum("cache_write_1h"),
        }
    }

    /// Waits until the account's month has `calls` calls, and returns the sums.
    pub async fn wait_for_month(&self, account: &str, calls: u64) -> Month {
        wait_for(async || Some(self.month(account).await).filter(|month| month.calls == calls)).await
    }
}

fn anthropic(request: RequestBuilder, key: &str) -> RequestBuilder {
    request
        .header("x-api-key", key)
        .header("anthropic-version", "2023-06-01")
        .header("content-type", "application/json")
}
