//! Accounts that are restricted to some providers: failover respects the restriction.

use std::time::Duration;

use levee::accounts::{AccountsTable, Guards, publish};
use levee::limits::versions::RecordId;
use levee::stores::redis::{Redis, RedisConfig};
use tests::Stack;

use super::{builder, call, course, error, id, status};

/// Restricts the fixed keys' account to `providers`, with immediate effect everywhere.
async fn restrict(stack: &Stack, providers: &[&str]) {
    let table = AccountsTable::new(stack.dynamodb(), "Accounts");
    let account = table.account(stack.account_id()).await.unwrap().unwrap().account;
    let guards = Guards { providers: providers.iter().map(ToString::to_string).collect(), ..Guards::default() };
    assert!(table.set_account_terms(&account, &account.cap, &guards).await.unwrap());
    let client = Some(redis::Client::open(stack.local("redis_url")).unwrap());
    let redis = Redis::new(RedisConfig { client, budget: Duration::from_secs(30) });
    let now = stack.now();
    publish(&table, &redis, &[RecordId::Account(stack.account_id().to_owned())], now).await.unwrap();
}

#[tokio::test]
async fn an_account_that_may_use_the_backup_alone_is_served_by_it() {
    let stack = builder().start().await;
    restrict(&stack, &["backup"]).await;
    for is_streamed in [true, false] {
        let answer = call(&stack, is_streamed).await;
        assert_eq!((answer.status, course(&answer)), (200, ("backup", "1", "restricted")), "{answer:?}");
        let event = stack.wide_event("ai-proxy", id(&answer)).await;
        assert_eq!(
            (&event["fallback.reason"], &event["Provider"]),
            (&"restricted".into(), &"backup".into()),
            "{event}"
        );
    }
    let counted = stack.call("/v1/messages/count_tokens", &super::hello(false)).await;
    assert_eq!(course(&counted), ("backup", "1", "restricted"));
    // The backup's error is final.
    stack.script("backup", status(500)).await;
    let answer = call(&stack, false).await;
    assert_eq!((answer.status, course(&answer)), (500, ("backup", "1", "restricted")), "{answer:?}");
    assert_eq!(stack.requests("primary").await, 0);
}

#[tokio::test]
async fn what_may_go_to_the_primary_alone_never_reaches_the_backup() {
    let stack = builder().start().await;
    restrict(&stack, &["primary"]).await;
    assert_eq!(course(&call(&stack, true).await), ("primary", "1", ""));
    // The same holds after the primary's breaker has opened.
    stack.script("primary", status(529)).await;
    for place in 0..12 {
        let answer = call(&stack, place % 2 == 0).await;
        assert_eq!((answer.status, error(&answer).0.as_str()), (529, "overloaded_error"), "{answer:?}");
    }
    let answer = stack.call("/v1/messages/count_tokens", &super::hello(false)).await;
    assert_eq!(answer.status, 529, "{answer:?}");
    assert_eq!(stack.requests("backup").await, 0);
}

#[tokio::test]
async fn who_may_use_no_provider_that_there_is_is_told_so() {
    let stack = builder().start().await;
    restrict(&stack, &["another"]).await;
    for is_streamed in [true, false] {
        let answer = call(&stack, is_streamed).await;
        assert_eq!((answer.status, error(&answer).0.as_str()), (403, "permission_error"), "{answer:?}");
        assert_eq!((answer.header("x-should-retry"), answer.header("x-levee-attempts")), ("false", "0"));
        assert_eq!(stack.wide_event("ai-proxy", id(&answer)).await["outcome"], "forbidden");
    }
    assert_eq!((stack.requests("primary").await, stack.requests("backup").await), (0, 0));
}
