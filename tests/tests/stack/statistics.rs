//! Statistics: the authorizers' counts are written to rows once, in spite of failures, and Redis is restored from
//! them.

#![expect(clippy::panic, clippy::unwrap_used, reason = "helpers of tests are tests")]

use std::collections::BTreeMap;

use aws_sdk_dynamodb::types::AttributeValue;
use levee::limits::tally::{minute_of, tally_key};
use levee::statistics::{Day, DayRow, StatisticsTable};
use serde_json::{Value, json};
use tests::{Answer, Stack, messages, wait_for};

/// Time after which a minute's tallies are complete.
const SETTLED_SECS: u64 = 66;
const DAY_SECS: u64 = 24 * 3600;
const NOON: u64 = DAY_SECS / 2;

/// Returns the account's rows of today, by subject.
async fn rows(stack: &Stack, account: &str) -> BTreeMap<String, DayRow> {
    let today = Day::from_timestamp(stack.now());
    let table = StatisticsTable::new(stack.dynamodb(), "Usage");
    let history = table.history(account, today.back(1), today).await.unwrap();
    history.rows.into_iter().map(|row| (row.key.counted.to_string(), row)).collect()
}

/// Returns used and refused calls by policy.
fn told(row: &DayRow) -> Vec<(&str, u64, u64)> {
    row.policies.iter().map(|(name, policy)| (name.as_str(), policy.used, policy.refused)).collect()
}

/// Returns the expiry time in DynamoDB of each of an account's rows of today, in Unix seconds.
async fn ends_of_rows(stack: &Stack, account: &str) -> Vec<u64> {
    let query =
        stack.dynamodb().query().table_name("Usage").key_condition_expression("pk = :pk AND begins_with(sk, :day)");
    let query = query.expression_attribute_values(":pk", AttributeValue::S(format!("STATS#{account}")));
    let query =
        query.expression_attribute_values(":day", AttributeValue::S(Day::from_timestamp(stack.now()).to_string()));
    let items = query.send().await.unwrap().items.unwrap();
    items.iter().map(|item| item["expires_at"].as_n().unwrap().parse().unwrap()).collect()
}

/// Writes an item with text attributes.
async fn put(stack: &Stack, table: &str, attributes: &[(&str, &str)]) {
    let text = |(name, value): &(&str, &str)| ((*name).to_owned(), AttributeValue::S((*value).to_owned()));
    let item = attributes.iter().map(text).collect();
    stack.dynamodb().put_item().table_name(table).set_item(Some(item)).send().await.unwrap();
}

async fn run_monitor(stack: &Stack) -> Answer {
    stack.control("POST", "/monitor/run", Value::Null).await
}

/// Runs the monitor, which has to succeed, and returns its summary.
async fn fold(stack: &Stack) -> Value {
    let answer = run_monitor(stack).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    serde_json::from_str(answer.json()["answer"].as_str().unwrap()).unwrap()
}

/// Makes calls with the fixed key, and returns the numbers that passed and were refused.
async fn call(stack: &Stack, times: usize) -> (usize, usize) {
    let mut counts = (0, 0);
    for _ in 0..times {
        match stack.call("/v1/messages", &messages("Hello")).await.status {
            200 => counts.0 += 1,
            429 => counts.1 += 1,
            status => panic!("{status}"),
        }
    }
    counts
}

async fn connection(stack: &Stack) -> redis::aio::MultiplexedConnection {
    let client = redis::Client::open(stack.local("redis_url")).unwrap();
    client.get_multiplexed_async_connection().await.unwrap()
}

/// Returns the keys in Redis that match, with their time to live in milliseconds.
async fn lifetimes(stack: &Stack, pattern: &str) -> BTreeMap<String, i64> {
    let mut connection = connection(stack).await;
    let keys: Vec<String> = redis::cmd("KEYS").arg(pattern).query_async(&mut connection).await.unwrap();
    let mut lifetimes = BTreeMap::new();
    for key in keys {
        let millis = redis::cmd("PTTL").arg(&key).query_async(&mut connection).await.unwrap();
        lifetimes.insert(key, millis);
    }
    lifetimes
}

#[tokio::test]
async fn what_passed_and_what_was_refused_is_in_the_rows_of_those_it_counts() {
    let limits = [
        ("LIMIT_KEY_PER_MINUTE", "50"),
        ("LIMIT_INTEGRATION_PER_MINUTE", "4"),
        ("LIMIT_ACCOUNT_AI_PER_MINUTE", "40"),
        ("LIMIT_ACCOUNT_PER_DAY", "100"),
    ];
    let builder = limits.iter().fold(Stack::builder(), |builder, (name, value)| builder.env(name, value));
    let stack = builder.start().await;
    stack.place_clock(DAY_SECS, NOON + 1).await;
    assert_eq!(call(&stack, 5).await, (4, 1));
    stack.advance(SETTLED_SECS).await;
    assert_eq!(call(&stack, 3).await, (3, 0));
    assert_eq!(fold(&stack).await["minutes"], 1, "the minute that goes on waits");
    stack.advance(SETTLED_SECS).await;
    let summary = fold(&stack).await;
    assert_eq!((&summary["minutes"], &summary["rows"], &summary["restored"]), (&json!(1), &json!(4), &json!(0)));

    let rows = rows(&stack, "acme").await;
    assert_eq!(rows.keys().collect::<Vec<_>>(), ["account", "class/ai", "integration/crm", "key/localDemoKey"]);
    assert_eq!(told(&rows["account"]), [("account", 7, 0), ("account-day", 7, 0), ("in-flight", 7, 0)]);
    assert_eq!(told(&rows["class/ai"]), [("account-ai", 7, 0)]);
    assert_eq!(told(&rows["integration/crm"]), [("integration", 7, 1)]);
    assert_eq!(told(&rows["key/localDemoKey"]), [("key", 7, 0)]);
    let integration = &rows["integration/crm"].policies["integration"];
    assert_eq!(integration.histogram_so_far().0, [0, 0, 0, 0, 0, 0, 0, 1, 0, 1, 0]);
    let day = &rows["account"].policies["account-day"];
    assert_eq!((day.hours[12], day.hours.iter().sum::<u64>()), (7, 7));

    // Each row expires 90 days after its day.
    let ends = ends_of_rows(&stack, "acme").await;
    assert_eq!(ends, vec![Day::from_timestamp(stack.now()).end().as_secs() + 90 * DAY_SECS; 4]);

    // Nothing is left in Redis, and another run has nothing to do.
    assert_eq!(lifetimes(&stack, "{levee}:tally:*").await, BTreeMap::new());
    assert_eq!(fold(&stack).await["rows"], 0);
    assert_eq!(self::rows(&stack, "acme").await, rows);
    assert!(lifetimes(&stack, "{levee}*").await.values().all(|millis| *millis > 0));
}

#[tokio::test]
async fn two_runs_at_once_count_each_minute_once() {
    let stack = Stack::builder().environments("monitor=2").start().await;
    fold(&stack).await;
    stack.place_clock(DAY_SECS, NOON + 1).await;
    for _ in 0..3 {
        assert_eq!(call(&stack, 2).await, (2, 0));
        stack.advance(60).await;
    }
    stack.advance(SETTLED_SECS).await;
    let (first, second) = tokio::join!(fold(&stack), fold(&stack));
    let written = |summary: &Value| summary["rows"].as_u64().unwrap();
    assert_eq!(written(&first) + written(&second), 6, "{first} {second}");
    let rows = rows(&stack, "acme").await;
    assert_eq!(told(&rows["account"]), [("account", 6, 0), ("in-flight", 6, 0)]);
    assert_eq!(told(&rows["integration/crm"]), [("integration", 6, 0)]);
    assert_eq!(rows["account"].policies["account"].histogram_so_far().0.iter().sum::<u64>(), 3);
}

#[tokio::test]
async fn while_dynamodb_is_gone_minutes_wait_and_none_is_lost() {
    let stack = Stack::builder().start().await;
    fold(&stack).await;
    stack.place_clock(DAY_SECS, NOON + 1).await;
    assert_eq!(call(&stack, 2).await, (2, 0));
    stack.advance(SETTLED_SECS).await;
    stack.order("/dynamodb/stop").await;
    assert_eq!(run_monitor(&stack).await.status, 502);
    stack.order("/dynamodb/start").await;
    assert_eq!(call(&stack, 1).await, (1, 0));
    stack.advance(SETTLED_SECS).await;
    assert_eq!(fold(&stack).await["minutes"], 2);
    assert_eq!(told(&rows(&stack, "acme").await["account"]), [("account", 3, 0), ("in-flight", 3, 0)]);
}

#[tokio::test]
async fn a_redis_that_comes_back_empty_gets_the_counters_of_long_windows_back_once() {
    let more = r#"[{"name":"account-month","scope":"account","limit":50,"window":"month"},
        {"name":"crm-day","scope":"integration","limit":60,"window":"day","algorithm":"sliding"}]"#;
    let builder = Stack::builder().env("LIMIT_ACCOUNT_PER_DAY", "20").env("LIMIT_POLICIES", more);
    let stack = builder.environments("monitor=2").start().await;
    stack.place_clock(DAY_SECS, NOON + 1).await;
    fold(&stack).await;
    assert_eq!(call(&stack, 3).await, (3, 0));
    stack.advance(SETTLED_SECS).await;
    fold(&stack).await;

    stack.order("/redis/stop").await;
    assert_eq!(run_monitor(&stack).await.status, 200, "it is told under its own code");
    stack.order("/redis/start").await;
    // Counted before the monitor restores the counters. The guards close only after a while.
    let counted = wait_for(async || {
        let answer = stack.call("/v1/messages", &messages("Hello")).await;
        assert_eq!(answer.status, 200);
        answer.header("x-ratelimit-degraded").is_empty().then_some(answer)
    })
    .await;
    assert_eq!(remaining(&counted, "account-day"), 19);
    // Two concurrent runs, of which only one can send the alert about Redis.
    wait_for(async || {
        tokio::join!(run_monitor(&stack), run_monitor(&stack));
        lifetimes(&stack, "{levee}:restored").await.pop_first()
    })
    .await;

    let answer = stack.call("/v1/messages", &messages("Hello")).await;
    let left = ["account-day", "account-month", "crm-day"].map(|policy| remaining(&answer, policy));
    assert_eq!(left, [15, 45, 55]);
    stack.advance(SETTLED_SECS).await;
    wait_for(async || {
        let summary = fold(&stack).await;
        assert_eq!(summary["restored"], 0);
        (summary["minutes"] == 1).then_some(())
    })
    .await;
    let answer = stack.call("/v1/messages", &messages("Hello")).await;
    assert_eq!(remaining(&answer, "account-day"), 14);
    assert_eq!(told(&rows(&stack, "acme").await["account"])[1], ("account-day", 5, 0));
    assert!(lifetimes(&stack, "{levee}*").await.values().all(|millis| *millis > 0));
}

/// Returns the remaining calls of a policy from the header `RateLimit`.
fn remaining(answer: &Answer, policy: &str) -> u64 {
    let limits = answer.header("ratelimit");
    let item = limits.split(", ").find(|item| item.starts_with(&format!("\"{policy}\";")));
    let left = item.and_then(|item| item.split(';').find_map(|part| part.strip_prefix("r=")));
    left.unwrap_or_else(|| panic!("no {policy} in {limits}")).parse().unwrap()
}

#[tokio::test]
async fn the_operators_command_has_changes_published_and_is_told_of_those_that_are_none() {
    let stack = Stack::builder().start().await;
    let invoke = async |event: Value| stack.control("POST", "/functions/monitor/invoke", event).await.json();
    let answer = invoke(json!({ "publish": ["platform", "account/acme", "key/localDemoKey"] })).await;
    assert_eq!(answer, json!({ "published": 3 }));
    let answer = invoke(json!({ "publish": ["account/acme", "everything"] })).await;
    assert_eq!(answer["errorMessage"], "'everything' names no platform, account, integration, key or grants");
    let answer = invoke(json!({ "publish": vec!["platform"; 101] })).await;
    assert!(answer["errorMessage"].as_str().unwrap().contains("more than the 100"), "{answer}");
}

#[tokio::test]
async fn a_tally_of_another_form_is_left_out_and_keeps_the_others_from_nothing() {
    let stack = Stack::builder().start().await;
    fold(&stack).await;
    stack.place_clock(DAY_SECS, NOON + 1).await;
    assert_eq!(call(&stack, 2).await, (2, 0));
    let tally = tally_key(minute_of(stack.now()));
    let odd = redis::cmd("HSET").arg(tally).arg("0 acme").arg(9).query_async(&mut connection(&stack).await).await;
    assert_eq!(odd, Ok(1));
    stack.advance(SETTLED_SECS).await;
    assert_eq!(fold(&stack).await["minutes"], 1);
    assert_eq!(told(&rows(&stack, "acme").await["account"]), [("account", 2, 0), ("in-flight", 2, 0)]);
    wait_for(async || stack.output().contains("statistics.odd_tally").then_some(())).await;
    fold(&stack).await;
    assert_eq!(stack.output().matches("statistics.odd_tally").count(), 1);
}

#[tokio::test]
async fn a_row_or_an_account_that_cannot_be_read_keeps_the_others_from_nothing() {
    let stack = Stack::builder().env("LIMIT_ACCOUNT_PER_DAY", "20").start().await;
    fold(&stack).await;
    stack.place_clock(DAY_SECS, NOON + 1).await;
    let odd = format!("{}#integration/crm", Day::from_timestamp(stack.now()));
    put(&stack, "Usage", &[("pk", "STATS#acme"), ("sk", &odd), ("folded", "secret")]).await;
    put(&stack, "Usage", &[("pk", "STATS#acme"), ("sk", &format!("{}#nobody", Day::from_timestamp(stack.now())))])
        .await;
    put(&stack, "Accounts", &[("pk", "ACCOUNT#aaa"), ("sk", "ACCOUNT"), ("list", "ACCOUNTS"), ("list_sort", "aaa")])
        .await;

    // Folding: the account's other row is written, and the minute is complete.
    assert_eq!(call(&stack, 2).await, (2, 0));
    stack.advance(SETTLED_SECS).await;
    let summary = fold(&stack).await;
    assert_eq!((&summary["minutes"], &summary["rows"]), (&json!(1), &json!(1)));
    let told = async |times: usize| {
        wait_for(async || {
            let output = stack.output();
            let lines: Vec<&str> = output.lines().filter(|line| line.contains("statistics.odd_row")).collect();
            assert!(lines.len() <= times && lines.iter().all(|line| !line.contains("secret")), "{lines:?}");
            (lines.len() == times).then(|| lines.concat())
        })
        .await
    };
    let lines = told(1).await;
    assert!(lines.contains(&format!("STATS#acme {odd}")), "{lines}");
    assert_eq!(fold(&stack).await["minutes"], 0);
    assert_eq!(self::told(&rows(&stack, "acme").await["account"])[1], ("account-day", 2, 0));

    // Restoring: the account's other rows are restored.
    let flushed: Result<(), _> = redis::cmd("FLUSHALL").query_async(&mut connection(&stack).await).await;
    assert_eq!(flushed, Ok(()));
    assert_eq!(fold(&stack).await["restored"], 1);
    told(2).await;
    let answer = stack.call("/v1/messages", &messages("Hello")).await;
    assert_eq!(remaining(&answer, "account-day"), 17);
}
