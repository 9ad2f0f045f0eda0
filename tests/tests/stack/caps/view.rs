//! The cached figure, with a real Redis and the ledger's real sums.

use std::sync::Arc;
use std::time::Duration;

use levee::accounts::IntegrationKind;
use levee::metering::view::KEPT;
use levee::metering::{Call, Counts, Figures, Ledger, Month, Months, Record, Usage, UsageCache};
use levee::stores::redis::Redis;
use tests::Stack;

use super::month;

const PATIENCE: Duration = Duration::from_secs(10);

fn view(stack: &Stack) -> UsageCache {
    UsageCache::new(Arc::new(stack.redis()), Months::new(stack.dynamodb(), "Usage"), Counts::default(), PATIENCE)
}

/// Writes a call to the ledger.
async fn close(stack: &Stack, id: u64, tokens: u64) {
    let started_at = stack.now().as_secs();
    let call = Call {
        id: id.to_string(),
        attempt: 1,
        request_id: id.to_string(),
        account: "acme".to_owned(),
        integration: "crm".to_owned(),
        kind: IntegrationKind::Customer,
        provider: "primary".to_owned(),
        model: "m".to_owned(),
        started_at,
        deadline: started_at + 60,
        further: false,
    };
    let usage = Usage { input: tokens, cache_read: 7, ..Usage::default() };
    let record = Record::closed(call, Figures { usage, ..Figures::default() }, false);
    Ledger::new(stack.dynamodb(), "Usage", PATIENCE).write(&record).await.unwrap();
}

/// Returns the figure in Redis and its remaining lifetime in milliseconds.
async fn stored(redis: &Redis, month: Month) -> (Option<u64>, i64) {
    let key = format!("{{levee}}:tokens:acme:{month}");
    let read = async |mut connection| redis::pipe().get(&key).pttl(&key).query_async(&mut connection).await;
    redis.run(read).await.unwrap()
}

#[tokio::test]
async fn a_figure_is_read_once_added_to_and_lives_no_longer_for_it() {
    let stack = super::builder().start().await;
    let (view, other, redis, month) = (view(&stack), view(&stack), stack.redis(), month(&stack));
    close(&stack, 1, 100).await;
    assert_eq!(view.used("acme", month, stack.now()).await, Some(100));
    let (used, lives) = stored(&redis, month).await;
    let longest = i64::try_from(KEPT.as_millis()).unwrap();
    assert!(used == Some(100) && (1..=longest).contains(&lives), "{used:?} {lives}");

    let shorten = async |mut connection| {
        let key = format!("{{levee}}:tokens:acme:{month}");
        redis::cmd("PEXPIRE").arg(key).arg(60_000).query_async::<()>(&mut connection).await
    };
    redis.run(shorten).await.unwrap();
    assert_eq!(other.add("acme", month, 50, stack.now()).await, Some(150));
    assert_eq!(view.used("acme", month, stack.now()).await, Some(150), "everybody sees it");
    assert!((1..=60_000).contains(&stored(&redis, month).await.1), "adding does not make it live longer");
}

#[tokio::test]
async fn what_is_not_there_is_read_from_the_ledger_with_what_was_just_added_to_it() {
    let stack = super::builder().start().await;
    let (view, redis, month) = (view(&stack), stack.redis(), month(&stack));
    close(&stack, 1, 100).await;
    close(&stack, 2, 50).await;
    assert_eq!(view.add("acme", month, 50, stack.now()).await, Some(150), "counted once");
    assert_eq!(stored(&redis, month).await.0, Some(150));

    let flush = async |mut connection| redis::cmd("FLUSHALL").query_async::<()>(&mut connection).await;
    redis.run(flush).await.unwrap();
    assert_eq!(view.used("acme", month, stack.now()).await, Some(150));
    assert_eq!(stored(&redis, month).await.0, Some(150));
}

#[tokio::test]
async fn a_figure_that_somebody_else_has_put_there_meanwhile_stays() {
    let stack = super::builder().start().await;
    let (redis, month) = (stack.redis(), month(&stack));
    close(&stack, 1, 100).await;
    let views: Vec<UsageCache> = (0..8).map(|_| view(&stack)).collect();
    let used = futures_util::future::join_all(views.iter().map(|view| view.used("acme", month, stack.now()))).await;
    assert_eq!(used, [Some(100); 8]);
    let added = views.iter().map(|view| view.add("acme", month, 10, stack.now()));
    futures_util::future::join_all(added).await;
    assert_eq!(stored(&redis, month).await.0, Some(180));
}
