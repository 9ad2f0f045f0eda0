//! Limits of the whole stack: exact across environments at every scope, all or nothing, in each mode.

#![expect(clippy::unwrap_used, reason = "helpers of tests are tests")]

use std::collections::BTreeMap;

use futures_util::StreamExt;
use futures_util::stream::iter;
use levee::accounts::AccountsTable;
use levee::clock::{Clock, Timestamp};
use levee::limits::{Override, Window};
use rstest::rstest;
use serde_json::{Value, json};
use tests::{Answer, Builder, Stack, messages};

/// Number of concurrent connections.
const CONNECTIONS: usize = 64;
/// Turns off limits on calls in flight, which have tests of their own.
const NOTHING_IN_FLIGHT: [(&str, &str); 2] = [("LIMIT_ACCOUNT_IN_FLIGHT", "0"), ("LIMIT_GLOBAL_IN_FLIGHT", "0")];

fn builder(variables: &[(&str, &str)]) -> Builder {
    let all = variables.iter().chain(&NOTHING_IN_FLIGHT);
    all.fold(Stack::builder().with_demo(), |builder, (name, value)| builder.env(name, value))
}

/// Returns the keys of these integrations, given as `account/integration`; `plain` is a second key of acme/crm.
fn keys(stack: &Stack, integrations: &[&str]) -> Vec<String> {
    let demo = stack.demo_keys();
    let key = |name: &&str| if *name == "plain" { stack.plain_api_key().to_owned() } else { demo[*name].clone() };
    integrations.iter().map(key).collect()
}

/// Makes `calls` calls from this number of client addresses, with the keys in turn, and returns their number by
/// status.
async fn storm(stack: &Stack, keys: &[String], addresses: usize, calls: usize) -> BTreeMap<u16, usize> {
    let call = &messages("Hello");
    let answers = (0..calls).map(|n| async move {
        let address = n / keys.len() % addresses;
        let request = stack
            .request_with_key(&keys[n % keys.len()], "/v1/messages")
            .header("x-levee-proxy-secret", stack.proxy_secret())
            .header("x-forwarded-for", format!("198.51.{}.{}", address / 250, 1 + address % 250));
        request.json(call).send().await.unwrap().status().as_u16()
    });
    let statuses = iter(answers).buffer_unordered(CONNECTIONS).collect::<Vec<_>>().await;
    statuses.into_iter().fold(BTreeMap::new(), |mut counts, status| {
        *counts.entry(status).or_default() += 1;
        counts
    })
}

#[tokio::test]
async fn of_2000_calls_exactly_as_many_pass_as_the_tightest_of_five_scopes_allows_through_three_authorizers() {
    const CALLS: usize = 400;
    let variables = [
        ("LIMIT_AI_PER_ADDRESS", "30"),
        ("LIMIT_KEY_PER_MINUTE", "40"),
        ("LIMIT_INTEGRATION_PER_MINUTE", "60"),
        ("LIMIT_ACCOUNT_PER_MINUTE", "90"),
        ("LIMIT_GLOBAL_PER_MINUTE", "120"),
        ("LIMIT_ACCOUNT_SHARE_PERCENT", "100"),
    ];
    let stack = builder(&variables).environments("authorizer=3,ai-proxy=2").start().await;
    let acme = ["acme/crm", "plain", "acme/operator"];
    let everyone = [&acme[..], &["globex/shop", "globex/warehouse", "initech/helpdesk", "initech/billing"]].concat();

    // In each minute another scope is the tightest one for its callers.
    let mut passed = 0;
    for (scope, callers, addresses, limit) in [
        ("one address", &["globex/shop"][..], 1, 30),
        ("one key", &["globex/shop"], 100, 40),
        ("one integration", &acme[..2], 100, 60),
        ("one account", &acme, 100, 90),
        ("everyone", &everyone, 100, 120),
    ] {
        stack.skip_to_fresh_window().await;
        let statuses = storm(&stack, &keys(&stack, callers), addresses, CALLS).await;
        assert_eq!(statuses, BTreeMap::from([(200, limit), (429, CALLS - limit)]), "{scope}");
        // Refused calls have not increased any counter.
        passed += limit as u64;
        let policies = ["ai-address", "key", "integration", "account", "global-share", "global"];
        let expected = policies.map(|policy| (policy.to_owned(), passed));
        assert_eq!(stack.redis_counters().await, BTreeMap::from(expected), "{scope}");
    }

    // All three environments took part.
    let invocations = stack.invocations("authorizer").await;
    assert_eq!((invocations.len(), invocations.iter().sum::<u64>()), (3, 5 * CALLS as u64));
    assert!(invocations.iter().all(|&count| count > 0), "{invocations:?}");
}

async fn calls(stack: &Stack, calls: usize) -> Vec<Answer> {
    let mut answers = Vec::with_capacity(calls);
    for _ in 0..calls {
        answers.push(stack.call("/v1/messages", &messages("Hello")).await);
    }
    answers
}

fn statuses(answers: &[Answer]) -> Vec<u16> {
    answers.iter().map(|answer| answer.status).collect()
}

/// Returns the authorizer's wide event about the request of `answer`.
async fn report(stack: &Stack, answer: &Answer) -> Value {
    stack.wide_event("authorizer", answer.header("x-levee-request-id")).await
}

#[tokio::test]
async fn in_a_shadow_stack_nothing_is_refused_or_told_and_the_log_says_what_would_have_been() {
    let stack = builder(&[("LIMITS_MODE", "shadow"), ("LIMIT_ACCOUNT_PER_MINUTE", "2")]).start().await;
    stack.skip_to_fresh_window().await;
    let answers = calls(&stack, 4).await;
    assert_eq!(statuses(&answers), [200; 4]);
    for answer in &answers {
        for suffix in ["policy", "limit", "remaining", "reset", "warning", "degraded"] {
            assert_eq!(answer.header(&format!("x-ratelimit-{suffix}")), "", "{answer:?}");
        }
        assert_eq!((answer.header("ratelimit"), answer.header("ratelimit-policy")), ("", ""));
    }
    for (answer, expected, shadowed) in [(&answers[1], "account 2/2", 0), (&answers[2], "account 3/2 over (shadow)", 1)]
    {
        let report = report(&stack, answer).await;
        assert_eq!((&report["verdict"], &report["Shadowed"]), (&json!("allowed"), &json!(shadowed)), "{report}");
        assert!(report["policies"].as_array().unwrap().contains(&json!(expected)), "{report}");
    }
}

#[tokio::test]
async fn a_policy_that_warns_refuses_nobody_and_says_so_beyond_its_limit() {
    let entries = r#"[{"name":"integration","limit":2,"mode":"warn"}]"#;
    let stack = builder(&[("LIMIT_POLICIES", entries)]).start().await;
    stack.skip_to_fresh_window().await;
    let answers = calls(&stack, 4).await;
    assert_eq!(statuses(&answers), [200; 4]);
    let told: Vec<_> = answers.iter().map(|answer| answer.header("x-ratelimit-warning")).collect();
    assert_eq!(told, ["", "integration", "integration", "integration"]);
    let left: Vec<_> = answers.iter().map(|answer| answer.header("x-ratelimit-remaining")).collect();
    assert_eq!(left, ["1", "0", "0", "0"]);
    assert_eq!(report(&stack, &answers[1]).await["Warned"], 0);
    assert_eq!(report(&stack, &answers[3]).await["Warned"], 1);
}

#[tokio::test]
async fn a_call_is_near_a_limit_from_four_fifths_of_it_on() {
    let stack = builder(&[("LIMIT_ACCOUNT_PER_MINUTE", "10")]).start().await;
    stack.skip_to_fresh_window().await;
    let mut near = Vec::new();
    for answer in calls(&stack, 11).await {
        near.push((answer.status, report(&stack, &answer).await["NearLimit"].as_u64().unwrap()));
    }
    assert_eq!(near, [vec![(200, 0); 7], vec![(200, 1); 3], vec![(429, 1)]].concat());
}

#[tokio::test]
async fn of_accounts_behind_one_address_one_with_a_limit_of_its_own_has_a_count_of_its_own_and_an_exempt_one_none() {
    let stack = builder(&[("LIMIT_AI_PER_ADDRESS", "2")]).start().await;
    let table = AccountsTable::new(stack.dynamodb(), "Accounts");
    let own = Override { limit: Some(3), ..Override::default() };
    let exempt = Override { exempt: true, ..Override::default() };
    for (account, change) in [("acme", own), ("globex", exempt)] {
        assert!(table.set_account_limit(account, "ai-address", Some(&change), Clock::system().now()).await.unwrap());
    }
    stack.skip_to_fresh_window().await;
    for (integration, passing, refused) in
        [("initech/helpdesk", 2, Some(3)), ("acme/crm", 3, Some(2)), ("globex/shop", 5, None)]
    {
        let statuses = storm(&stack, &keys(&stack, &[integration]), 1, 5).await;
        assert_eq!((statuses[&200], statuses.get(&429)), (passing, refused.as_ref()), "{integration}");
    }
    let counters = stack.redis_counters().await;
    assert_eq!((counters["ai-address"], counters["account"]), (2 + 3, 2 + 3 + 5));
}

#[tokio::test]
async fn without_redis_an_environment_counts_by_itself_where_the_stack_is_configured_so() {
    let variables = [("DEGRADED_LIMITS", "local"), ("LIMIT_ACCOUNT_PER_MINUTE", "3")];
    let stack = builder(&variables).environments("authorizer=1").start().await;
    let control = async |path: &str| assert_eq!(stack.control("POST", path, Value::Null).await.status, 200);
    control("/redis/stop").await;
    stack.skip_to_fresh_window().await;

    let answers = calls(&stack, 5).await;
    assert_eq!(statuses(&answers), [200, 200, 200, 429, 429]);
    assert!(answers[..3].iter().all(|answer| answer.header("x-ratelimit-degraded") == "redis"), "{answers:?}");
    assert_eq!(answers[4].json()["policy"], "account");
    // Calls pass again in the next minute.
    stack.skip_to_fresh_window().await;
    assert_eq!(statuses(&calls(&stack, 1).await), [200]);
}

#[tokio::test]
async fn whoever_guesses_keys_is_refused_after_20_a_minute_and_a_valid_key_from_there_is_not() {
    let stack = builder(&[]).environments("authorizer=2").start().await;
    stack.skip_to_fresh_window().await;
    let call = messages("Hello");
    for n in 0..20 {
        let answer = stack.call_with_key(&format!("guess {n}"), "/v1/messages", &call).await;
        assert_eq!(answer.status, 401, "{n}: {answer:?}");
    }
    for path in ["/v1/messages", "/v1/messages/count_tokens"] {
        let answer = stack.call_with_key("another guess", path, &call).await;
        assert_eq!((answer.status, &answer.json()["policy"]), (429, &json!("failed-auth-address")), "{answer:?}");
        assert_eq!(answer.header("x-ratelimit-limit"), "20");
        assert_eq!(report(&stack, &answer).await["verdict"], "limited");
    }
    for key in [stack.plain_api_key(), stack.api_key()] {
        assert_eq!(stack.call_with_key(key, "/v1/messages", &call).await.status, 200);
    }
    // In the next minute a wrong key gets a 401 again.
    stack.skip_to_fresh_window().await;
    assert_eq!(stack.call_with_key("another guess", "/v1/messages", &call).await.status, 401);
}

#[rstest]
#[case::day("account-day", Window::DAY, &[("LIMIT_ACCOUNT_PER_DAY", "2")])]
#[case::month(
    "account-month",
    Window::Month,
    &[("LIMIT_POLICIES", r#"[{"name":"account-month","scope":"account","limit":2,"window":"month"}]"#)]
)]
#[tokio::test]
async fn a_window_of_a_day_or_a_month_is_told_in_seconds_until_it_ends(
    #[case] policy: &str,
    #[case] window: Window,
    #[case] variables: &[(&str, &str)],
) {
    let stack = builder(variables).start().await;
    // Place the clock one hour into a day, so that neither day nor month ends during the test.
    stack.place_clock(24 * 3600, 3600).await;
    let now = stack.now();
    let (length, end) = (window.secs(now), window.end(now).as_secs());
    let answers = calls(&stack, 3).await;
    assert_eq!(statuses(&answers), [200, 200, 429]);

    for (answer, left) in answers.iter().zip([1, 0, 0]) {
        let policies = answer.header("ratelimit-policy");
        assert!(policies.contains(&format!(r#""{policy}";q=2;w={length}"#)), "{policies}");
        assert_eq!(answer.header("x-ratelimit-reset"), end.to_string());
        let limits = answer.header("ratelimit");
        let (_, rest) = limits.split_once(&format!(r#""{policy}";r={left};t="#)).unwrap();
        let reset: u64 = rest.split(',').next().unwrap().parse().unwrap();
        assert!((end - stack.received_at(answer)..=end - now.as_secs()).contains(&reset), "{limits}");
    }
    let refusal = answers[2].json();
    assert_eq!((&refusal["policy"], &refusal["window_seconds"]), (&json!(policy), &json!(length)));
    assert_eq!(refusal["resets_at"], Timestamp::from_secs(end).to_rfc3339());
    assert_eq!(answers[2].header("x-should-retry"), "false");

    // The window is the calendar's day or month, not a number of seconds from the first call.
    let now = stack.now();
    stack.advance(end - now.as_secs()).await;
    assert_eq!(statuses(&calls(&stack, 1).await), [200]);
}
