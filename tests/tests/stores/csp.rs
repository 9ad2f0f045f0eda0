//! Counts of CSP reports, with a real Redis and the emulator: a flood stays bounded, and a minute is folded once.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use levee::clock::Timestamp;
use levee::csp::counter::{Batch, CspBounds};
use levee::csp::report::RawReport;
use levee::csp::violation::Project;
use levee::csp::{Counter, CspTable, Folder, Group, GroupState, ProjectName, Violation};
use tokio::time::Instant;

use crate::emulator::Emulator;
use crate::redis_server::Server;

/// 2026-11-30 12:30 UTC.
const NOW: Timestamp = Timestamp::from_secs(1_796_041_800);
const BOUNDS: CspBounds = CspBounds {
    reports_per_minute: 120,
    groups_per_project: 1_000,
    new_groups_per_hour: 50,
    new_groups_per_network: 10,
    memory_percent: 70,
};
const CHROME: &str = "Mozilla/5.0 (X11; Linux x86_64) Chrome/156.0.0.0 Safari/537.36";

fn shop() -> ProjectName {
    "shop".parse().unwrap()
}

fn violation(directive: &str, document: &str, blocked: &str) -> Violation {
    let project = Project { document_hosts: vec!["shop.example".to_owned()], ..Project::default() };
    let raw = RawReport {
        document: document.to_owned(),
        blocked: blocked.to_owned(),
        directive: directive.to_owned(),
        ..RawReport::default()
    };
    Violation::new(&raw, &project, None, CHROME, NOW).unwrap()
}

fn script(document: &str, blocked: &str) -> Violation {
    violation("script-src-elem", document, blocked)
}

/// Counts `violations` from a network.
async fn count(counter: &Counter, network: &str, violations: Vec<Violation>, now: Timestamp) -> levee::csp::BatchTally {
    counter.count(&shop(), &Batch { violations, counts: BTreeMap::new(), network }, now).await.unwrap()
}

/// Returns all keys, and checks that each has the hash tag and expires.
async fn keys(server: &Server) -> Vec<String> {
    let keys: Vec<String> = server.command(&["KEYS", "*"]).await;
    for key in &keys {
        let ttl: i64 = server.command(&["TTL", key]).await;
        assert!(key.starts_with("{levee}:") && ttl > 0, "{key}: {ttl}");
    }
    keys
}

fn later(secs: u64) -> Timestamp {
    NOW.plus(Duration::from_secs(secs))
}

fn soon() -> Instant {
    Instant::now() + Duration::from_secs(60)
}

#[tokio::test]
async fn a_flood_of_100_000_invented_reports_leaves_few_keys_and_rows_and_a_known_group_goes_on() {
    let (server, emulator) = (Server::start().await, Emulator::start().await);
    let counter = Counter::new(Arc::new(server.redis()), CspBounds { reports_per_minute: 1_000_000, ..BOUNDS });
    let table = CspTable::new(emulator.client(), "Csp");
    let known = || script("https://shop.example/checkout", "https://skimmer.example/x.js");
    count(&counter, "first", vec![known()], NOW).await;

    // 100,000 addresses, hosts and pages, from 200 networks.
    let mut overflowed = 0;
    for batch in 0..1_000_u64 {
        let invented = |index: u64| {
            let unique = batch * 100 + index;
            script(&format!("https://shop.example/{unique:x}-page"), &format!("https://h{unique}.example/{unique}.js"))
        };
        let network = format!("network-{}", batch % 200);
        overflowed += count(&counter, &network, (0..100).map(invented).collect(), NOW).await.overflowed;
    }
    count(&counter, "last", vec![known()], NOW).await;
    assert_eq!(overflowed, 100_000 - 49, "new groups have a bound in each hour");
    let keys = keys(&server).await;
    assert!(keys.len() < 600, "{} keys", keys.len());

    // The fold writes one row and one day for each group.
    let folded = Folder::new(Arc::new(server.redis()), table.clone()).fold(later(120), soon()).await;
    assert!(folded.failure.is_none(), "{:?}", folded.failure);
    assert_eq!(folded.plain[&shop()]["beyond_groups"], overflowed);
    let rows = table.groups(&shop(), usize::MAX).await.unwrap();
    assert_eq!(rows.len(), 51, "50 groups and the overflow");
    assert_eq!(rows.iter().map(|row| row.total).sum::<u64>(), 100_002);
    let id = Group::new("shop", &known()).id();
    let known = rows.iter().find(|row| row.id == id).unwrap();
    assert_eq!((known.total, known.reach), (2, 2));
}

#[tokio::test]
async fn one_network_has_a_bound_of_reports_and_of_new_groups() {
    let server = Server::start().await;
    let counter = Counter::new(Arc::new(server.redis()), BOUNDS);
    let unique = |index: usize| script("https://shop.example/", &format!("https://h{index}.example/"));
    let tally = count(&counter, "a", (0..100).map(unique).collect(), NOW).await;
    assert_eq!((tally.counted, tally.overflowed), (100, 90));
    let tally = count(&counter, "a", (0..30).map(unique).collect(), NOW).await;
    assert_eq!((tally.counted, tally.beyond_network, tally.overflowed), (20, 10, 10));
    // Another network has bounds of its own, and the next minute begins anew.
    let tally = count(&counter, "b", (50..60).map(unique).collect(), NOW).await;
    assert_eq!((tally.counted, tally.overflowed), (10, 0));
    assert_eq!(count(&counter, "a", vec![unique(0)], later(60)).await.counted, 1);
}

#[tokio::test]
async fn nothing_new_is_stored_while_redis_is_nearly_full() {
    let server = Server::start().await;
    let counter = Counter::new(Arc::new(server.redis()), BOUNDS);
    let known = || script("https://shop.example/", "https://known.example/");
    count(&counter, "a", vec![known()], NOW).await;
    let _: () = server.command(&["SET", "{levee}:memory", "70", "EX", "60"]).await;
    let before = keys(&server).await.len();
    let new = script("https://shop.example/", "https://new.example/");
    let tally = count(&counter, "a", vec![known(), new], NOW).await;
    assert_eq!((tally.counted, tally.overflowed), (2, 1));
    assert_eq!(keys(&server).await.len(), before);
}

#[tokio::test]
async fn eight_monitors_at_once_and_a_second_time_count_a_minute_once() {
    let (server, emulator) = (Server::start().await, Emulator::start().await);
    let counter = Counter::new(Arc::new(server.redis()), BOUNDS);
    let table = CspTable::new(emulator.client(), "Csp");
    let reports = || {
        vec![
            script("https://shop.example/a", "https://a.example/"),
            violation("img-src", "https://shop.example/", "https://b.example/"),
        ]
    };
    for network in ["a", "b", "c"] {
        let batch = Batch { violations: reports(), counts: BTreeMap::from([("invalid", 2)]), network };
        counter.count(&shop(), &batch, NOW).await.unwrap();
    }
    // The present minute is not folded.
    let fold = async || Folder::new(Arc::new(server.redis()), table.clone()).fold(later(120), soon()).await;
    let early = Folder::new(Arc::new(server.redis()), table.clone()).fold(later(30), soon()).await;
    assert_eq!(early.minutes, 0);

    futures_util::future::join_all((0..8).map(|_| fold())).await;
    // A run that wrote the rows and could not delete the minute is repeated.
    count(&counter, "a", reports(), NOW).await;
    fold().await;

    let rows = table.groups(&shop(), usize::MAX).await.unwrap();
    assert_eq!(rows.iter().map(|row| (row.total, row.reach)).collect::<Vec<_>>(), [(3, 3), (3, 3)]);
    assert_eq!(rows[0].browsers, BTreeMap::from([("chrome".to_owned(), 3)]));
    assert_eq!(rows[0].versions, BTreeMap::from([("other".to_owned(), 3)]));
    let days = table.group_days(&shop(), &rows[0].id, "").await.unwrap();
    assert_eq!(days["2026-11-30"].iter().sum::<u64>(), 3);
    let counts = table.counts(&shop(), "").await.unwrap();
    assert_eq!((counts.len(), counts[0].plain["invalid"], counts[0].reports()), (1, 6, 6));
}

#[tokio::test]
async fn a_state_stays_while_reports_go_on() {
    let (server, emulator) = (Server::start().await, Emulator::start().await);
    let counter = Counter::new(Arc::new(server.redis()), BOUNDS);
    let table = CspTable::new(emulator.client(), "Csp");
    let folder = Folder::new(Arc::new(server.redis()), table.clone());
    let report = || script("https://shop.example/a", "https://a.example/");
    let id = Group::new("shop", &report()).id();
    assert!(!table.set_state(&shop(), &id, GroupState::Muted, NOW).await.unwrap(), "there is no such group yet");

    count(&counter, "a", vec![report()], NOW).await;
    folder.fold(later(120), soon()).await;
    assert!(table.set_state(&shop(), &id, GroupState::Muted, NOW).await.unwrap());
    count(&counter, "a", vec![report()], later(120)).await;
    folder.fold(later(240), soon()).await;
    let row = table.group(&shop(), &id).await.unwrap().unwrap();
    assert_eq!((row.state, row.total, row.state_since), (GroupState::Muted, 2, NOW.as_secs()));
    assert_eq!((row.first_seen, row.last_seen), (NOW.as_secs(), NOW.as_secs() + 120));
}

#[tokio::test]
async fn a_minute_whose_rows_cannot_be_written_waits_for_the_next_run() {
    let (server, emulator) = (Server::start().await, Emulator::start().await);
    let counter = Counter::new(Arc::new(server.redis()), BOUNDS);
    let table = CspTable::new(emulator.client(), "Csp");
    count(&counter, "a", vec![script("https://shop.example/a", "https://a.example/")], NOW).await;
    let missing = CspTable::new(emulator.client(), "Nowhere");
    let failed = Folder::new(Arc::new(server.redis()), missing).fold(later(120), soon()).await;
    assert!(failed.failure.is_some() && failed.minutes == 0);
    let folded = Folder::new(Arc::new(server.redis()), table.clone()).fold(later(120), soon()).await;
    assert_eq!((folded.minutes, table.groups(&shop(), 10).await.unwrap().len()), (1, 1));
}
