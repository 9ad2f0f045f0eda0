//! Outages of the stores: all kinds of failures of Redis and DynamoDB, and connections lost while an environment was
//! frozen.

#![expect(clippy::unwrap_used, clippy::expect_used, reason = "these are tests")]

use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};

use rstest::rstest;
use serde_json::{Value, json};
use tests::{Answer, Chaos, Stack, messages, wait_for};

/// A Redis of the test's own, behind a relay.
struct Redis {
    child: Child,
    address: SocketAddr,
}

impl Redis {
    async fn start() -> Self {
        let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let child = Command::new("redis-server")
            .args(["--port", &port.to_string(), "--save", "", "--appendonly", "no", "--bind", "127.0.0.1"])
            .stdout(Stdio::null())
            .spawn()
            .expect("redis-server runs");
        let address = SocketAddr::from(([127, 0, 0, 1], port));
        wait_for(async || tokio::net::TcpStream::connect(address).await.ok()).await;
        Self { child, address }
    }
}

impl Drop for Redis {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

async fn call(stack: &Stack) -> Answer {
    stack.call("/v1/messages", &messages("Hello")).await
}

fn is_degraded(answer: &Answer) -> bool {
    assert_eq!(answer.status, 200, "a call was refused because a store is gone: {answer:?}");
    let degraded = answer.header("x-ratelimit-degraded") == "redis";
    assert_eq!(degraded, answer.header("ratelimit").is_empty(), "{answer:?}");
    degraded
}

/// Makes calls until limits are checked again, and asserts that the account's limit of 3 a minute is enforced.
async fn assert_limits_hold_again(stack: &Stack) {
    // As there are fewer environments than that, each has reconnected to Redis after this many checked answers in a
    // row.
    let mut in_a_row = 0;
    wait_for(async || {
        let is_checked = call(stack).await.header("x-ratelimit-degraded").is_empty();
        in_a_row = if is_checked { in_a_row + 1 } else { 0 };
        (in_a_row == 8).then_some(())
    })
    .await;
    stack.skip_to_fresh_window().await;
    let mut statuses = Vec::new();
    for _ in 0..4 {
        statuses.push(call(stack).await.status);
    }
    assert_eq!(statuses, [200, 200, 200, 429]);
}

/// Returns true if each environment of a function is still its first process.
async fn never_restarted(stack: &Stack, function: &str) -> bool {
    stack.environments(function).await.iter().all(|environment| environment["starts"] == 1)
}

#[derive(Debug, Clone, Copy)]
enum Outage {
    Refused,
    Paused,
    WrongPassword,
}

impl Outage {
    async fn begin(self, stack: &Stack) {
        match self {
            Self::Refused => stack.order("/redis/stop").await,
            Self::Paused => stack.order("/redis/pause").await,
            Self::WrongPassword => set_password(stack, "", "another").await,
        }
    }

    async fn end(self, stack: &Stack) {
        match self {
            Self::Refused => stack.order("/redis/start").await,
            Self::Paused => stack.order("/redis/resume").await,
            Self::WrongPassword => set_password(stack, "another", "").await,
        }
    }
}

async fn set_password(stack: &Stack, old: &str, new: &str) {
    let url = stack.local("redis_url").replace("redis://", &format!("redis://:{old}@"));
    let url = if old.is_empty() { stack.local("redis_url").to_owned() } else { url };
    let client = redis::Client::open(url).unwrap();
    let mut connection = client.get_multiplexed_async_connection().await.unwrap();
    redis::cmd("CONFIG").arg(&["SET", "requirepass", new]).query_async::<()>(&mut connection).await.unwrap();
    // Open connections stay authenticated, so close those of the functions.
    redis::cmd("CLIENT")
        .arg(&["KILL", "TYPE", "normal", "SKIPME", "yes"])
        .query_async::<()>(&mut connection)
        .await
        .unwrap();
}

#[rstest]
#[case::refused(Outage::Refused)]
#[case::paused(Outage::Paused)]
#[case::wrong_password(Outage::WrongPassword)]
#[tokio::test]
async fn without_redis_every_call_passes_and_says_so_and_when_it_is_back_limits_hold(#[case] outage: Outage) {
    let stack = Stack::builder().env("LIMIT_ACCOUNT_PER_MINUTE", "3").environments("authorizer=2").start().await;
    assert!(!is_degraded(&call(&stack).await));

    outage.begin(&stack).await;
    for _ in 0..20 {
        assert!(is_degraded(&call(&stack).await));
    }

    outage.end(&stack).await;
    assert_limits_hold_again(&stack).await;
    assert!(never_restarted(&stack, "authorizer").await);
}

#[tokio::test]
async fn into_a_black_hole_each_environment_sends_one_call_and_spares_the_others() {
    let redis = Redis::start().await;
    let relay = Chaos::start(redis.address).await;
    let stack = Stack::builder()
        .env("REDIS_URL", &format!("redis://{}", relay.address()))
        .env("LIMIT_ACCOUNT_PER_MINUTE", "3")
        .environments("authorizer=2")
        .start()
        .await;
    assert!(!is_degraded(&call(&stack).await));

    relay.black_hole(true);
    let before = relay.accepted();
    for _ in 0..20 {
        assert!(is_degraded(&call(&stack).await));
    }
    // In each environment the first call used a recent connection, spent its budget on it, and logged this once.
    // Probes that were due meanwhile opened one connection each; the other calls opened none.
    let output = stack.output();
    let said = |function: &str| {
        output.lines().filter(|line| line.starts_with(function) && line.contains("redis.gone")).count()
    };
    let (authorizers, proxies) = (said("[authorizer/"), said("[ai-proxy/"));
    assert!((1..=2).contains(&authorizers), "said {authorizers} times by 2 authorizers");
    assert!(proxies <= 1, "said {proxies} times by 1 proxy");
    let opened = relay.accepted() - before;
    assert!(opened <= 6, "{opened} connections for 20 calls");

    relay.black_hole(false);
    assert_limits_hold_again(&stack).await;
}

#[tokio::test]
async fn a_redis_that_was_restarted_empty_is_used_at_once() {
    let stack = Stack::builder().env("LIMIT_ACCOUNT_PER_MINUTE", "3").start().await;
    stack.skip_to_fresh_window().await;
    for _ in 0..3 {
        assert!(!is_degraded(&call(&stack).await));
    }
    assert_eq!(call(&stack).await.status, 429);

    stack.order("/redis/stop").await;
    stack.order("/redis/start").await;

    // The counters are lost, but the limit still holds. By then refusals from memory have expired.
    stack.advance(1).await;
    for _ in 0..3 {
        assert!(!is_degraded(&call(&stack).await));
    }
    assert_eq!(call(&stack).await.status, 429);
}

#[tokio::test]
async fn a_function_that_starts_without_redis_serves_and_finds_it_later() {
    let stack = Stack::builder().env("LIMIT_ACCOUNT_PER_MINUTE", "3").start().await;
    stack.order("/redis/stop").await;
    stack.order("/functions/authorizer/0/kill").await;
    for _ in 0..3 {
        assert!(is_degraded(&call(&stack).await));
    }
    stack.order("/redis/start").await;
    assert_limits_hold_again(&stack).await;
}

const UNKNOWN_KEY: &str = "lv_local_nobodysKey01_thisKeyOpensNothingButLocalhost31mUIlS";

#[rstest]
#[case::refused(json!({}))]
#[case::hanging(json!({ "mode": "hang" }))]
#[case::throttling(json!({ "mode": "throttle" }))]
#[tokio::test]
async fn without_dynamodb_known_keys_work_for_15_minutes_and_unknown_ones_get_503(#[case] how: Value) {
    let stack = Stack::builder().env("DYNAMODB_TIMEOUT_MS", "500").start().await;
    let key = stack.api_key().to_owned();
    assert_eq!(call(&stack).await.status, 200);
    let stop = stack.control("POST", "/dynamodb/stop", how).await;
    assert_eq!(stop.status, 200, "{stop:?}");

    // Within a minute, after it, and up to a quarter of an hour.
    for seconds in [0, 61, 13 * 60] {
        stack.advance(seconds).await;
        let answer = stack.get("/v1/models").await;
        assert_eq!(answer.status, 200, "after {seconds} s more: {answer:?}");
    }

    // An unknown key cannot be judged; a malformed one can.
    let unknown = stack.call_with_key(UNKNOWN_KEY, "/v1/messages", &messages("Hello")).await;
    assert_eq!((unknown.status, unknown.header("retry-after")), (503, "5"), "{unknown:?}");
    assert_eq!(unknown.json()["code"], "authorization_unavailable");
    let mistyped = format!("{}x", &key[..key.len() - 1]);
    assert_eq!(stack.call_with_key(&mistyped, "/v1/messages", &messages("Hello")).await.status, 401);

    // After 15 minutes even a known key cannot be judged.
    stack.advance(3 * 60).await;
    assert_eq!(stack.get("/v1/models").await.status, 503);

    // After the outage, known and unknown keys are told apart at once.
    stack.order("/dynamodb/start").await;
    wait_for(async || (stack.get("/v1/models").await.status == 200).then_some(())).await;
    assert_eq!(stack.call_with_key(UNKNOWN_KEY, "/v1/messages", &messages("Hello")).await.status, 401);
}

#[rstest]
#[case::refused(json!({}), false)]
#[case::hanging(json!({ "mode": "hang" }), false)]
#[case::hanging_with_a_stream(json!({ "mode": "hang" }), true)]
#[case::throttling_with_a_stream(json!({ "mode": "throttle" }), true)]
#[tokio::test]
async fn usage_that_cannot_be_written_is_in_the_log_with_everything_needed_to_write_it_later(
    #[case] how: Value,
    #[case] stream: bool,
) {
    let stack = Stack::builder().env("DYNAMODB_TIMEOUT_MS", "500").start().await;
    stack.script("primary", json!({ "usage": { "input_tokens": 7, "output_tokens": 9 } })).await;
    assert_eq!(call(&stack).await.status, 200);
    let stop = stack.control("POST", "/dynamodb/stop", how).await;
    assert_eq!(stop.status, 200, "{stop:?}");

    let mut body = messages("Hello");
    body["stream"] = stream.into();
    let answer = stack.call("/v1/messages", &body).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    assert!(!stream || answer.text().contains("message_stop"), "{answer:?}");

    let request_id = answer.header("x-levee-request-id").to_owned();
    let lines = wait_for(async || {
        let output = stack.output();
        let lines: Vec<_> = output.lines().filter(|line| line.contains("usage.unwritten")).map(str::to_owned).collect();
        (!lines.is_empty()).then_some(lines)
    })
    .await;
    let [line] = &lines[..] else { panic!("one line for one call: {lines:#?}") };
    let line: Value = serde_json::from_str(line.split_once("] ").unwrap().1).unwrap();
    let call: Value = serde_json::from_str(line["record"].as_str().unwrap()).unwrap();
    assert_eq!((&call["account"], &call["input"], &call["output"]), (&json!("acme"), &json!(7), &json!(9)));
    assert_eq!((&call["request_id"], &call["estimated"]), (&json!(request_id), &json!(false)));
}

#[tokio::test]
async fn a_place_that_redis_did_not_hear_of_is_free_with_a_later_call_of_its_environment() {
    let redis = Redis::start().await;
    let relay = Chaos::start(redis.address).await;
    let stack = Stack::builder()
        .env("REDIS_URL", &format!("redis://{}", relay.address()))
        .env("LIMIT_ACCOUNT_IN_FLIGHT", "1")
        .start()
        .await;
    // The stream is long enough for Redis to be gone at its end.
    stack.script("primary", json!({ "gap_ms": 100, "deltas": 40 })).await;
    let mut streamed = messages("Count to forty.");
    streamed["stream"] = true.into();
    let stream = stack.send("/v1/messages", &streamed).await;
    relay.black_hole(true);
    let answer = Answer::read(stream).await;
    assert_eq!(answer.events().last().unwrap().0, "message_stop");
    let report = stack.wide_event("ai-proxy", answer.header("x-levee-request-id")).await;
    assert_eq!(report["Unreleased"], 1, "{report}");

    // The environment is frozen meanwhile. Calls without a place in flight wake it up, and no lease expires.
    relay.black_hole(false);
    stack.reset("primary").await;
    wait_for(async || {
        assert_eq!(stack.get("/v1/models").await.status, 200);
        let answer = call(&stack).await;
        (answer.status == 200 && !is_degraded(&answer)).then_some(())
    })
    .await;
}

#[derive(Debug, Clone, Copy)]
enum Lost {
    /// The peer reset the connection.
    Reset,
    /// The connection is dead, and the environment was not notified.
    Forgotten,
}

#[rstest]
#[case::reset(Lost::Reset)]
#[case::forgotten(Lost::Forgotten)]
#[tokio::test]
async fn an_environment_that_was_frozen_for_a_minute_serves_its_next_call_with_its_limits_checked(#[case] lost: Lost) {
    let redis = Redis::start().await;
    let redis_relay = Chaos::start(redis.address).await;
    let stack = Stack::builder()
        .env("REDIS_URL", &format!("redis://{}", redis_relay.address()))
        .env("REDIS_BUDGET_MS", "75")
        .env("DYNAMODB_TIMEOUT_MS", "500")
        .start()
        .await;
    assert!(!is_degraded(&call(&stack).await));

    // The environment is stopped between calls, and a minute passes unnoticed by it.
    let pid = stack.environments("authorizer").await[0]["pid"].as_u64().unwrap();
    wait_for(async || std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap().contains(") T ").then_some(()))
        .await;
    tokio::time::sleep(std::time::Duration::from_secs(60)).await;
    let calls = stack.month(stack.account_id()).await.calls;
    match lost {
        Lost::Reset => redis_relay.reset_connections(),
        Lost::Forgotten => redis_relay.forget_connections(),
    }
    stack.order("/dynamodb/stop").await;
    stack.order("/dynamodb/start").await;

    let answer = call(&stack).await;
    assert!(!is_degraded(&answer), "{answer:?}");
    assert!(never_restarted(&stack, "authorizer").await && never_restarted(&stack, "ai-proxy").await);
    assert_eq!(stack.month(stack.account_id()).await.calls, calls + 1, "the call is metered");
    let output = stack.output();
    assert!(!output.contains("accounts.stale") && !output.contains("usage.unwritten"), "a store was not found again");
}
