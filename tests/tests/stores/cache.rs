//! The read-through cache on a real Redis: one reader of the source, versions, and every kind of outage.

mod outages;
mod storing;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use futures_util::future::join_all;
use levee::cache::{Cache, CacheAnswer, CacheConfig, CacheSpace, CacheStatus, SourceAnswer, SourceGone, SourceValue};
use tokio::sync::Barrier;

use crate::redis_server::Server;

const SPACE: CacheSpace = CacheSpace { name: "test", schema: 1 };
const KEY: &str = "{levee}:cache:test.1:a";
const LOCK: &str = "{levee}:cache-lock:test.1:a";
const TTL: Duration = Duration::from_secs(300);
/// Longer than any wait on a busy machine.
const FOREVER: Duration = Duration::from_secs(60);
const SHORT: Duration = Duration::from_millis(20);

/// Returns a new environment that waits for others for `wait`.
fn environment(server: &Server, wait: Duration) -> Cache<String> {
    let config = CacheConfig { wait, lock: FOREVER, ..CacheConfig::new(TTL) };
    Cache::new(SPACE, Arc::new(server.redis()), server.clock(), config)
}

fn found(value: &str, version: u64) -> Result<SourceAnswer<String>, String> {
    Ok(SourceAnswer::Value(SourceValue { value: Some(value.to_owned()), version }))
}

fn gone() -> Result<SourceAnswer<String>, String> {
    Err("the source is gone".to_owned())
}

type Outcome = Result<CacheAnswer<String>, SourceGone>;

/// Reads the key `a` from a source that must not be read.
async fn cached(cache: &Cache<String>, required: Option<u64>) -> Outcome {
    cache.get("a", required, async |_| panic!("the source is read")).await
}

fn told(outcome: &Outcome) -> (Option<&str>, CacheStatus) {
    let answer = outcome.as_ref().unwrap();
    (answer.entry.value.as_deref(), answer.status)
}

#[tokio::test]
async fn a_thousand_cold_reads_over_four_environments_read_the_source_once_if_it_answers_in_time() {
    let server = Server::start().await;
    let reads = AtomicU64::new(0);
    let read = async |_: Option<u64>| {
        reads.fetch_add(1, Ordering::SeqCst);
        tokio::time::sleep(Duration::from_millis(100)).await;
        found("one", 1)
    };
    let environments: Vec<_> = (0..4).map(|_| environment(&server, FOREVER)).collect();
    let all = environments.iter().flat_map(|cache| (0..250).map(move |_| cache.get("a", Some(1), read)));
    for outcome in join_all(all).await {
        assert_eq!(told(&outcome), (Some("one"), CacheStatus::Miss));
    }
    assert_eq!(reads.load(Ordering::SeqCst), 1);
    // Every environment has it now, and a new one takes it from Redis.
    for cache in &environments {
        assert!(cached(cache, Some(1)).await.unwrap().is_front);
    }
    let late = cached(&environment(&server, SHORT), Some(1)).await;
    assert_eq!(told(&late), (Some("one"), CacheStatus::Hit));
    assert!(!late.unwrap().is_front);
}

#[tokio::test]
async fn a_thousand_cold_reads_over_four_environments_read_a_slow_source_once_in_each() {
    let server = Server::start().await;
    let (reads, all_read) = (AtomicU64::new(0), Barrier::new(4));
    // The source answers no one until all four environments have asked.
    let read = async |_: Option<u64>| {
        reads.fetch_add(1, Ordering::SeqCst);
        all_read.wait().await;
        found("one", 1)
    };
    let environments: Vec<_> = (0..4).map(|_| environment(&server, SHORT)).collect();
    let all = environments.iter().flat_map(|cache| (0..250).map(move |_| cache.get("a", Some(1), read)));
    for outcome in join_all(all).await {
        assert_eq!(told(&outcome), (Some("one"), CacheStatus::Miss));
    }
    assert_eq!(reads.load(Ordering::SeqCst), 4);
}

#[tokio::test]
async fn a_newer_version_is_read_at_once_although_redis_and_the_front_have_the_old_one() {
    let server = Server::start().await;
    let (one, other) = (environment(&server, SHORT), environment(&server, SHORT));
    one.get("a", Some(1), async |_| found("old", 1)).await.unwrap();
    cached(&other, Some(1)).await.unwrap();
    assert!(cached(&other, Some(1)).await.unwrap().is_front);

    let newer = other.get("a", Some(2), async |_| found("new", 2)).await;
    assert_eq!(told(&newer), (Some("new"), CacheStatus::Miss));
    // The first environment's copy is too old; Redis has the new one.
    assert_eq!(told(&cached(&one, Some(2)).await), (Some("new"), CacheStatus::Hit));
    assert!(cached(&one, Some(2)).await.unwrap().is_front);
    // Where the version is not known, the copy is not used, and Redis is.
    assert!(!cached(&one, None).await.unwrap().is_front);
}

#[tokio::test]
async fn a_source_that_is_older_than_its_marker_is_read_once_and_not_for_ever() {
    let server = Server::start().await;
    let cache = environment(&server, SHORT);
    // A table that was restored from a backup has a lower version than the marker.
    cache.get("a", Some(9), async |_| found("restored", 4)).await.unwrap();
    assert_eq!(told(&cached(&environment(&server, SHORT), Some(9)).await), (Some("restored"), CacheStatus::Hit));
}

#[tokio::test]
async fn what_has_expired_is_read_again_by_one_and_served_as_stale_to_the_others_meanwhile() {
    let server = Server::start().await;
    let (one, other) = (environment(&server, FOREVER), environment(&server, FOREVER));
    one.get("a", Some(1), async |_| found("old", 1)).await.unwrap();
    server.set_clock(server.clock().now().plus(TTL * 2));
    let read = async |_: Option<u64>| {
        // While this environment reads the source, the other one is served.
        assert_eq!(told(&cached(&other, Some(1)).await), (Some("old"), CacheStatus::Stale));
        found("new", 1)
    };
    let outcome = one.get("a", Some(1), read).await;
    assert_eq!(told(&outcome), (Some("new"), CacheStatus::Miss));
    assert_eq!(told(&cached(&other, Some(1)).await), (Some("new"), CacheStatus::Hit));
}

#[tokio::test]
async fn that_the_source_has_no_value_is_remembered_for_half_a_minute() {
    let server = Server::start().await;
    let none = async |_| Ok(SourceAnswer::Value(SourceValue { value: None, version: 1 }));
    environment(&server, SHORT).get("a", None, none).await.unwrap();
    assert_eq!(told(&cached(&environment(&server, SHORT), None).await), (None, CacheStatus::Hit));
    server.set_clock(server.clock().now().plus(Duration::from_secs(40)));
    let outcome = environment(&server, SHORT).get("a", None, async |_| found("one", 1)).await;
    assert_eq!(told(&outcome), (Some("one"), CacheStatus::Miss));
}

#[tokio::test]
async fn what_has_expired_and_is_confirmed_by_the_source_is_fresh_again() {
    let server = Server::start().await;
    let cache = environment(&server, SHORT);
    cache.get("a", Some(7), async |_| found("one", 7)).await.unwrap();
    server.set_clock(server.clock().now().plus(TTL * 2));
    let confirm = async |held: Option<u64>| {
        assert_eq!(held, Some(7));
        Ok(SourceAnswer::Unchanged)
    };
    assert_eq!(told(&cache.get("a", Some(7), confirm).await), (Some("one"), CacheStatus::Miss));
    assert_eq!(told(&cached(&environment(&server, SHORT), Some(7)).await), (Some("one"), CacheStatus::Hit));
    // What is too old for the marker is not offered for confirmation, and a confirmation of nothing is a failure.
    let outcome = cache.get("a", Some(8), async |held| if held.is_none() { found("two", 8) } else { gone() }).await;
    assert_eq!(told(&outcome), (Some("two"), CacheStatus::Miss));
    assert!(cache.get("b", None, async |_| Ok(SourceAnswer::Unchanged)).await.is_err());
}
