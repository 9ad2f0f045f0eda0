//! Markers: a call that was prepared from a stale record is not decided, and nothing is charged for it.

use std::time::Duration;

use levee::accounts::directory::KEPT_WHEN_DOWN;
use levee::limits::versions::{RecordId, Version, publish};
use levee::limits::{Algorithm, Ask, Decision, Mode, Window};

use super::{ask, charge, policy};
use crate::redis_server::Server;

fn platform(version: u64, is_stopped: bool) -> Version {
    Version { of: RecordId::Platform, version, is_stopped }
}

fn account(version: u64, is_stopped: bool) -> Version {
    Version { of: RecordId::Account("acme".to_owned()), version, is_stopped }
}

fn key(version: u64) -> Version {
    Version { of: RecordId::Key("4f8KpQ2mZx7R".to_owned()), version, is_stopped: false }
}

fn asked(known: Vec<Version>) -> Ask {
    let counted = policy("account", Algorithm::Sliding, Mode::Enforce, Window::MINUTE, 9);
    let in_flight = policy("in-flight", Algorithm::Concurrency, Mode::Enforce, Window::MINUTE, 9);
    Ask { known, ..ask([charge(&counted, "acme", 1), charge(&in_flight, "acme", 1)], "a/i/k/ai", "c") }
}

#[tokio::test]
async fn an_old_version_is_told_with_all_that_redis_has_and_nothing_is_charged() {
    let server = Server::start().await;
    let (limiter, redis) = (server.limiter(), server.redis());
    publish(&redis, &[platform(4, false), account(1_795_310_118_042, true)]).await.unwrap();
    let before = server.snapshot().await;

    for known in [account(1_795_310_118_041, false), account(0, false), account(0, true)] {
        let known = vec![platform(4, false), key(7), known];
        let decision = limiter.check(asked(known), limiter.now()).await;
        let markers = vec![Some((4, false)), None, Some((1_795_310_118_042, true))];
        assert_eq!(decision, Decision::Stale(markers));
    }
    let after = server.snapshot().await;
    assert_eq!(before.keys().collect::<Vec<_>>(), after.keys().collect::<Vec<_>>());
}

#[tokio::test]
async fn the_same_version_and_a_newer_one_and_one_without_a_marker_are_decided() {
    let server = Server::start().await;
    let (limiter, redis) = (server.limiter(), server.redis());
    publish(&redis, &[platform(4, false), account(4, true)]).await.unwrap();
    // The script compares only versions; the reader of a record decides if it is stopped.
    let known = [
        vec![platform(4, false), account(4, true)],
        vec![platform(5, false), account(4, false)],
        vec![platform(4, true), account(u64::MAX / 4, false), key(0)],
        vec![key(0)],
        vec![],
    ];
    for (n, known) in known.into_iter().enumerate() {
        let decision = limiter.check(asked(known), limiter.now()).await;
        let Decision::Allowed(readings) = decision else { panic!("not decided: {decision:?}") };
        assert_eq!(readings[0].used, n as u64 + 1);
    }
}

#[tokio::test]
async fn a_marker_is_kept_for_longer_than_any_environment_goes_by_a_record_that_it_cannot_read_anew() {
    let server = Server::start().await;
    publish(&server.redis(), &[platform(4, false), account(7, true), key(9)]).await.unwrap();
    let kept: Vec<_> = server.snapshot().await.into_values().map(|stored| stored.ttl.unsigned_abs()).collect();
    assert_eq!(kept.len(), 3);
    assert!(kept.iter().all(|millis| Duration::from_millis(*millis) > KEPT_WHEN_DOWN), "{kept:?}");
}

#[tokio::test]
async fn an_older_version_never_replaces_a_newer_one() {
    let server = Server::start().await;
    let (limiter, redis) = (server.limiter(), server.redis());
    let held = async |known: u64| match limiter.check(asked(vec![account(known, false)]), limiter.now()).await {
        Decision::Stale(markers) => markers[0],
        _ => None,
    };
    let publications = [
        (account(3, false), (3, false)),
        (account(2, true), (3, false)),
        (account(3, true), (3, true)),
        (account(3, false), (3, true)),
        (account(5, false), (5, false)),
        (account(4, true), (5, false)),
    ];
    for (published, expected) in publications {
        publish(&redis, &[published.clone(), platform(1, false)]).await.unwrap();
        assert_eq!(held(0).await, Some(expected), "after {published:?}");
    }
    assert_eq!(held(5).await, None);
}
