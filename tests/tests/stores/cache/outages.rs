//! Outages of Redis, of the source, and of the environment that reads it.

use super::*;

const DAY: Duration = Duration::from_secs(24 * 3600);

#[tokio::test]
async fn without_redis_the_source_answers_and_is_read_once_at_a_time_in_each_environment() {
    let server = Server::start().await;
    server.stop();
    let environments = [environment(&server, FOREVER), environment(&server, FOREVER)];
    let reads = AtomicU64::new(0);
    let read = async |_: Option<u64>| {
        reads.fetch_add(1, Ordering::SeqCst);
        tokio::time::sleep(SHORT).await;
        found("one", 1)
    };
    for round in 1..=2 {
        let all = environments.iter().flat_map(|cache| (0..100).map(move |_| cache.get("a", None, read)));
        for outcome in join_all(all).await {
            assert_eq!(told(&outcome), (Some("one"), CacheStatus::Miss));
        }
        assert_eq!(reads.load(Ordering::SeqCst), 2 * round);
    }
}

#[tokio::test]
async fn a_redis_that_stops_in_the_middle_of_a_load_costs_nothing_but_the_entry() {
    let mut server = Server::start().await;
    let cache = environment(&server, FOREVER);
    let outcome = cache
        .get("a", Some(1), async |_| {
            server.stop();
            found("one", 1)
        })
        .await;
    assert_eq!(told(&outcome), (Some("one"), CacheStatus::Miss));
    assert!(!outcome.unwrap().is_stored);
    // Neither does one that stops while others wait for the load.
    server.start_again().await;
    let (loader, waiter) = (environment(&server, FOREVER), environment(&server, FOREVER));
    let outcome = loader
        .get("a", Some(1), async |_| {
            let waiting = waiter.get("a", Some(1), async |_| found("mine", 1));
            let stopping = async {
                tokio::time::sleep(SHORT).await;
                server.stop();
            };
            let (waited, ()) = tokio::join!(waiting, stopping);
            assert_eq!(told(&waited), (Some("mine"), CacheStatus::Miss));
            found("one", 1)
        })
        .await;
    assert_eq!(told(&outcome), (Some("one"), CacheStatus::Miss));
}

#[tokio::test]
async fn without_the_source_a_stale_value_is_served_and_marked_for_a_day_and_then_nothing() {
    let server = Server::start().await;
    environment(&server, SHORT).get("a", Some(1), async |_| found("old", 1)).await.unwrap();
    let cache = environment(&server, SHORT);
    // Neither an expired value nor one of an older version is lost.
    let outcome = cache.get("a", Some(2), async |_| gone()).await;
    assert_eq!(told(&outcome), (Some("old"), CacheStatus::Stale));
    assert!(outcome.unwrap().is_source_gone);
    // The source that failed a moment ago is spared.
    assert!(cached(&cache, Some(2)).await.unwrap().is_source_gone);
    server.set_clock(server.clock().now().plus(DAY));
    assert_eq!(told(&cache.get("a", Some(1), async |_| gone()).await), (Some("old"), CacheStatus::Stale));
    server.set_clock(server.clock().now().plus(TTL * 2));
    assert!(cache.get("a", Some(1), async |_| gone()).await.is_err());
    // A failed load leaves no lock behind.
    assert_eq!(server.command::<u64>(&["EXISTS", LOCK]).await, 0);
    assert_eq!(told(&cache.get("a", Some(1), async |_| found("new", 1)).await), (Some("new"), CacheStatus::Miss));
}

#[tokio::test]
async fn without_redis_and_the_source_an_environment_serves_its_last_copy() {
    let server = Server::start().await;
    let cache = environment(&server, SHORT);
    cache.get("a", Some(1), async |_| found("old", 1)).await.unwrap();
    server.stop();
    assert_eq!(told(&cache.get("a", None, async |_| gone()).await), (Some("old"), CacheStatus::Stale));
    assert!(environment(&server, SHORT).get("a", None, async |_| gone()).await.is_err());
}

#[tokio::test]
async fn if_the_environment_that_holds_the_lock_is_killed_the_others_read_the_source_themselves() {
    let server = Server::start().await;
    let killed = environment(&server, FOREVER);
    {
        let mut load = Box::pin(killed.get("a", Some(1), async |_| std::future::pending().await));
        while server.command::<u64>(&["EXISTS", LOCK]).await == 0 {
            let _under_way = tokio::time::timeout(SHORT, &mut load).await;
        }
    }
    let other = environment(&server, SHORT);
    let outcome = other.get("a", Some(1), async |_| found("one", 1)).await;
    assert_eq!(told(&outcome), (Some("one"), CacheStatus::Miss));
    assert!(outcome.unwrap().is_stored, "the value is cached, whoever holds the lock");
    // Once it has expired, it is stale for as long as the lock is held, and no longer.
    server.set_clock(server.clock().now().plus(TTL * 2));
    assert_eq!(told(&cached(&other, Some(1)).await), (Some("one"), CacheStatus::Stale));
    assert!(server.command::<i64>(&["PTTL", LOCK]).await > 0, "a lock expires");
    server.command::<()>(&["PEXPIRE", LOCK, "1"]).await;
    tests::wait_for(async || (server.command::<u64>(&["EXISTS", LOCK]).await == 0).then_some(())).await;
    assert_eq!(told(&other.get("a", Some(1), async |_| found("two", 1)).await), (Some("two"), CacheStatus::Miss));
}
