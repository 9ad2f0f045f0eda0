//! Entries in Redis: damaged and foreign ones, older ones, large ones, and Redis's memory.

use levee::cache::LARGEST_VALUE;

use super::*;

/// Reads with a source that has `value`, in a new environment.
async fn read(server: &Server, value: &str, version: u64) -> CacheAnswer<String> {
    environment(server, SHORT).get("a", Some(version), async |_| found(value, version)).await.unwrap()
}

#[tokio::test]
async fn what_cannot_be_read_is_a_miss_and_is_replaced() {
    let server = Server::start().await;
    assert!(read(&server, "one", 7).await.is_stored);
    let whole: Vec<u8> = server.command(&["GET", KEY]).await;
    for damage in [
        vec!["SETRANGE", KEY, "9", "\u{7f}\u{7f}\u{7f}"],
        vec!["SETRANGE", KEY, "37", "x"],
        vec!["SET", KEY, "{\"items\":[]}"],
    ] {
        server.command::<()>(&damage).await;
        let outcome = read(&server, "two", 7).await;
        assert_eq!((outcome.status, outcome.is_stored), (CacheStatus::Miss, true), "{damage:?}");
        assert_eq!(told(&cached(&environment(&server, SHORT), Some(7)).await), (Some("two"), CacheStatus::Hit));
    }
    // So is a value of another schema, and one of another type.
    let foreign = CacheSpace { schema: 2, ..SPACE };
    let other = Cache::new(foreign, Arc::new(server.redis()), server.clock(), CacheConfig::new(TTL));
    other.get("a", Some(7), async |_| found("foreign", 7)).await.unwrap();
    server.command::<()>(&["COPY", "{levee}:cache:test.2:a", KEY, "REPLACE"]).await;
    assert_eq!(read(&server, "three", 7).await.entry.value.as_deref(), Some("three"));
    server.command::<()>(&["DEL", KEY]).await;
    server.command::<()>(&["LPUSH", KEY, "x"]).await;
    assert_eq!(read(&server, "four", 7).await.entry.value.as_deref(), Some("four"));
    assert!(whole.starts_with(b"LVC1"));
}

#[tokio::test]
async fn a_slow_reader_of_an_old_version_does_not_undo_a_newer_one() {
    let server = Server::start().await;
    let slow = environment(&server, SHORT)
        .get("a", Some(1), async |_| {
            read(&server, "new", 2).await;
            found("old", 1)
        })
        .await
        .unwrap();
    assert_eq!((slow.entry.value.as_deref(), slow.is_stored), (Some("old"), false));
    assert_eq!(told(&cached(&environment(&server, SHORT), Some(2)).await), (Some("new"), CacheStatus::Hit));
}

#[tokio::test]
async fn while_redis_is_short_of_memory_no_entry_is_written_and_counters_are() {
    let server = Server::start().await;
    // So much that connections and scripts hardly count.
    server.command::<()>(&["SETRANGE", "{levee}:large", "40000000", "x"]).await;
    let info: String = server.command(&["INFO", "memory"]).await;
    let used: u64 = info.lines().find_map(|line| line.strip_prefix("used_memory:")).unwrap().parse().unwrap();
    // 75 % are used.
    let most = (used * 4 / 3).to_string();
    server.command::<()>(&["CONFIG", "SET", "maxmemory", &most, "maxmemory-policy", "noeviction"]).await;
    assert!(!read(&server, "one", 1).await.is_stored);
    assert_eq!(server.command::<u64>(&["EXISTS", KEY, LOCK]).await, 0);
    server.command::<()>(&["INCR", "{levee}:limit:x"]).await;
    server.command::<()>(&["CONFIG", "SET", "maxmemory", &(used * 2).to_string()]).await;
    assert!(read(&server, "one", 1).await.is_stored);
}

#[tokio::test]
async fn a_value_that_is_too_large_is_served_and_not_stored() {
    let server = Server::start().await;
    let large = "x".repeat(LARGEST_VALUE);
    let outcome = read(&server, &large, 1).await;
    assert_eq!((outcome.entry.value.as_deref(), outcome.is_stored), (Some(large.as_str()), false));
    assert_eq!(server.command::<u64>(&["EXISTS", KEY, LOCK]).await, 0);
}

#[tokio::test]
async fn a_hit_is_one_get_and_an_entry_expires_a_day_after_it_is_stale() {
    let server = Server::start().await;
    read(&server, "one", 1).await;
    let millis: u64 = server.command(&["PTTL", KEY]).await;
    let day = 24 * 3600 * 1000;
    assert!((day + 260_000..=day + 330_000).contains(&millis), "{millis}");
    let cache = environment(&server, SHORT);
    cached(&cache, None).await.unwrap();
    server.forget_commands().await;
    for _ in 0..100 {
        cached(&cache, None).await.unwrap();
    }
    assert_eq!(server.commands().await.into_iter().collect::<Vec<_>>(), [("get".to_owned(), 100)]);
}
