//! Fairness: an account that far exceeds its limits does not cost any other account a call.

#![expect(clippy::unwrap_used, reason = "helpers of tests are tests")]

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};

use futures_util::future::join_all;
use levee::accounts::AccountsTable;
use levee::clock::Clock;
use levee::limits::Override;
use reqwest::Response;
use rstest::rstest;
use serde_json::{Value, json};
use tests::{Answer, Stack, messages};

const NOISY: &str = "acme";
/// Limits per minute, in calls of weight 1: the pool, an account's share of the pool, and the account's own limit.
const POOL: usize = 5_000;
const SHARE: usize = 1_000;
const OWN: usize = 800;
/// Weight of each call of the noisy account.
const WEIGHT: usize = 40;
/// Number of those calls that amount to twenty times the share.
const FLOOD: usize = 20 * SHARE / WEIGHT;
const IN_FLIGHT: usize = 6;
const NOISY_CALL: &str = "/v1/messages/count_tokens";

struct Accounts {
    stack: Stack,
    noisy: String,
    quiet: String,
}

/// Number of answers by status and name of the refusing policy.
type Answers = BTreeMap<(u16, String), usize>;

impl Accounts {
    /// Starts a stack in which one account may use `share` percent. `own` is the noisy account's own limit, if an
    /// admin raised it.
    async fn start(share: u64, own: Option<u64>) -> Self {
        let policies = ["account", "global"].map(|name| json!({ "name": name, "weights": { NOISY_CALL: WEIGHT } }));
        let stack = Stack::builder()
            .with_demo()
            .env("LIMIT_POLICIES", &json!(policies).to_string())
            .env("LIMIT_AI_PER_ADDRESS", "0")
            .env("LIMIT_INTEGRATION_PER_MINUTE", "0")
            .env("LIMIT_COUNT_TOKENS_PER_MINUTE", "0")
            .env("LIMIT_ACCOUNT_PER_MINUTE", &OWN.to_string())
            .env("LIMIT_ACCOUNT_IN_FLIGHT", &IN_FLIGHT.to_string())
            .env("LIMIT_GLOBAL_PER_MINUTE", &POOL.to_string())
            .env("LIMIT_ACCOUNT_SHARE_PERCENT", &share.to_string())
            .env("AI_STREAM_GAP_TIMEOUT_MS", "285000")
            .environments("authorizer=2,ai-proxy=8")
            .start()
            .await;
        if let Some(limit) = own {
            let change = Override { limit: Some(limit), ..Override::default() };
            let table = AccountsTable::new(stack.dynamodb(), "Accounts");
            assert!(table.set_account_limit(NOISY, "account", Some(&change), Clock::system().now()).await.unwrap());
        }
        let mut keys = stack.demo_keys();
        let mut key = |of: &str| keys.remove(of).unwrap();
        let (noisy, quiet) = (key("acme/crm"), key("globex/shop"));
        stack.skip_to_fresh_window().await;
        Self { stack, noisy, quiet }
    }

    /// Returns the number of the minute in which limits are counted.
    fn minute(&self) -> u64 {
        self.stack.now().as_secs() / 60
    }

    /// Makes `count` calls with `key`, `at_once` at a time.
    async fn call(&self, key: &str, path: &str, count: usize, at_once: usize) -> Answers {
        let (call, begun) = (messages("Hello"), AtomicUsize::new(0));
        let caller = async || {
            let mut answers = Answers::new();
            while begun.fetch_add(1, Ordering::Relaxed) < count {
                *answers.entry(told(&self.stack.call_with_key(key, path, &call).await)).or_default() += 1;
            }
            answers
        };
        let mut answers = Answers::new();
        for (answer, times) in join_all((0..at_once).map(|_| caller())).await.into_iter().flatten() {
            *answers.entry(answer).or_default() += times;
        }
        answers
    }

    /// Begins `count` streams of the noisy account that do not end.
    async fn hold(&self, count: usize) -> Vec<Response> {
        self.stack.script("primary", json!({ "hang": "stream" })).await;
        let mut call = messages("Hello");
        call["stream"] = true.into();
        let mut held = Vec::new();
        for _ in 0..count {
            let request = self.stack.request_with_key(&self.noisy, "/v1/messages").json(&call);
            held.push(request.send().await.unwrap());
        }
        self.stack.script("primary", json!({ "hang": null })).await;
        assert!(held.iter().all(|answer| answer.status() == 200));
        held
    }
}

/// Returns the status and the policy that refused.
fn told(answer: &Answer) -> (u16, String) {
    if answer.status != 429 {
        return (answer.status, String::new());
    }
    let body = answer.json();
    if body["scope"] == "platform" {
        assert_eq!((&body["limit"], &body["window_seconds"]), (&Value::Null, &Value::Null), "{body}");
    }
    (429, body["policy"].as_str().unwrap().to_owned())
}

fn all_passed(count: usize) -> Answers {
    Answers::from([((200, String::new()), count)])
}

#[rstest]
#[case::its_own_limit(None, "account")]
#[case::its_share_of_the_pool(Some(1_000_000), "platform")]
#[tokio::test]
async fn an_account_at_twenty_times_what_it_may_is_held_back_and_another_ones_thousand_calls_all_pass(
    #[case] own: Option<u64>,
    #[case] by: &str,
) {
    let accounts = Accounts::start(20, own).await;
    let Accounts { stack, noisy, quiet } = &accounts;

    // Flood while it holds streams open. The flood uses the other half of its places in flight.
    let began = accounts.minute();
    let mut held = accounts.hold(IN_FLIGHT / 2).await;
    let (flood, calls) = tokio::join!(
        accounts.call(noisy, NOISY_CALL, FLOOD, IN_FLIGHT / 2),
        accounts.call(quiet, "/v1/messages", 500, 4),
    );
    assert_eq!(calls, all_passed(500));
    // Each new minute allows its share once more.
    let minutes = usize::try_from(accounts.minute() - began).unwrap() + 1;
    let passed = flood.get(&(200, String::new())).copied().unwrap_or_default();
    assert!((1..=minutes * SHARE / WEIGHT).contains(&passed), "{flood:?}");
    assert_eq!(flood.get(&(429, by.to_owned())), Some(&(FLOOD - passed)), "{flood:?}");

    // Flood while all its places in flight are taken by streams: every call is refused, and the other account's calls
    // are not delayed.
    stack.skip_to_fresh_window().await;
    held.extend(accounts.hold(IN_FLIGHT - held.len()).await);
    let (flood, calls) = tokio::join!(
        accounts.call(noisy, "/v1/messages", 20 * IN_FLIGHT, IN_FLIGHT),
        accounts.call(quiet, "/v1/messages", 500, 4),
    );
    assert_eq!(calls, all_passed(500));
    assert_eq!(flood, Answers::from([((429, "in-flight".to_owned()), 20 * IN_FLIGHT)]));
}

#[tokio::test]
async fn without_shares_the_same_account_takes_the_whole_pool_and_the_others_find_nothing_left() {
    let accounts = Accounts::start(100, Some(1_000_000)).await;
    let (flood, calls) = tokio::join!(
        accounts.call(&accounts.noisy, NOISY_CALL, FLOOD, IN_FLIGHT),
        accounts.call(&accounts.quiet, "/v1/messages", 500, 2),
    );
    assert!(flood[&(200, String::new())] > SHARE / WEIGHT, "{flood:?}");
    let refused: Vec<_> = calls.keys().filter(|(status, _)| *status != 200).collect();
    assert_eq!(refused, [&(429, "platform".to_owned())], "{calls:?}");
}
