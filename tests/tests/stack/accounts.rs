//! Authorization: keys, scopes, suspended accounts, and demo data.

#![expect(clippy::unwrap_used, reason = "helpers of tests are tests")]

use levee::accounts::{Account, AccountsTable, ApiKey, KeyRecord, KeyScope, Peppers, Status};
use levee::clock::Clock;
use serde_json::json;
use tests::{Answer, Stack, messages};

/// Gives the account `acme` a new key.
async fn key_with(stack: &Stack, scopes: &[KeyScope]) -> String {
    let peppers = Peppers::from_json(&local::bindings::key_peppers()).unwrap();
    let key = ApiKey::generate("local").unwrap();
    let record = KeyRecord {
        scopes: scopes.iter().copied().collect(),
        ..KeyRecord::new(&key, &peppers, "acme", "crm", "test", Clock::system().now())
    };
    AccountsTable::new(stack.dynamodb(), "Accounts").put_key(&record).await.unwrap();
    key.reveal().to_owned()
}

fn assert_forbidden(answer: &Answer, sentence: &str) {
    assert_eq!(answer.status, 403, "{answer:?}");
    assert_eq!(answer.json()["error"], json!({ "type": "permission_error", "message": sentence }));
    assert_eq!(answer.json()["request_id"], answer.header("x-levee-request-id"));
    assert_eq!(answer.header("x-should-retry"), "false");
}

#[tokio::test]
async fn a_key_without_the_scope_and_a_suspended_account_get_403_and_use_nothing() {
    let stack = Stack::builder().start().await;
    let call = messages("Hello");

    let reader = key_with(&stack, &[KeyScope::Read]).await;
    assert_forbidden(&stack.call_with_key(&reader, "/v1/messages", &call).await, "This key lacks the scope 'ai'.");

    let suspended = Account { status: Status::Suspended, ..Account::new("acme", "Acme", Clock::system().now()) };
    let caller = key_with(&stack, &KeyScope::DEFAULT).await;
    AccountsTable::new(stack.dynamodb(), "Accounts").put_account(&suspended).await.unwrap();
    // The environment has just cached the account for the previous call.
    stack.advance(61).await;
    assert_forbidden(&stack.call_with_key(&caller, "/v1/messages", &call).await, "This account is suspended.");

    assert_eq!(stack.provider("primary").await["requests"], 0);
    // Only the count of failed authentications of the address has changed.
    let counters = stack.redis_counters().await;
    assert!(counters.keys().eq(["failed-auth-address"]), "{counters:?}");
}

#[tokio::test]
async fn whoever_is_turned_away_too_often_reaches_no_function_any_more() {
    let stack = Stack::builder().env("LIMIT_FAILED_AUTH_PER_ADDRESS", "3").start().await;
    stack.skip_to_fresh_window().await;
    let call = messages("Hello");
    let reader = key_with(&stack, &[KeyScope::Read]).await;
    for status in [403, 403, 403, 429, 429] {
        let answer = stack.call_with_key(&reader, "/v1/messages", &call).await;
        assert_eq!(answer.status, status, "{answer:?}");
        assert!(answer.header("ratelimit").starts_with(r#""failed-auth-address";r="#), "{answer:?}");
        if status == 429 {
            assert_eq!(answer.json()["policy"], "failed-auth-address");
        }
    }
    assert_eq!(stack.invocations("ai-proxy").await.iter().sum::<u64>(), 3);
    // A valid key still passes from the same address.
    assert_eq!(stack.call("/v1/messages", &call).await.status, 200);
}

#[tokio::test]
async fn the_demo_has_three_accounts_with_keys_of_their_own_and_usage_and_can_be_left_out() {
    let demo = Stack::builder().with_demo().start().await;
    let keys = demo.demo_keys();
    let accounts: std::collections::BTreeSet<_> = keys.keys().map(|of| of.split('/').next().unwrap()).collect();
    assert_eq!((accounts.len(), keys.contains_key("acme/operator")), (3, true), "{keys:?}");
    for (of, key) in &keys {
        assert_eq!(demo.call_with_key(key, "/v1/messages", &messages("Hello")).await.status, 200, "{of}");
    }

    let empty = Stack::builder().start().await;
    assert!(empty.demo_keys().is_empty());
    assert_eq!(empty.month("acme").await.calls, 0);
    let stranger = &keys["globex/shop"];
    assert_eq!(empty.call_with_key(stranger, "/v1/messages", &messages("Hello")).await.status, 401);
    assert_eq!(empty.call("/v1/messages", &messages("Hello")).await.status, 200);
}
