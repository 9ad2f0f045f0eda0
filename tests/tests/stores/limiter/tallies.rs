//! Tallies: every call that passed, was refused or would have been refused is counted for its group, once.

use std::collections::BTreeMap;
use std::time::Duration;

use levee::clock::Timestamp;
use levee::limits::versions::{RecordId, Version, publish};
use levee::limits::{Algorithm, Ask, Charge, Decision, Limiter, Mode, REMEMBERED, Window};
use proptest::prelude::*;
use tests::{property, wait_for};
use tokio::runtime::Runtime;

use super::{ask, charge, is_allowed, policies, policy};
use crate::redis_server::Server;

const NOON: Timestamp = Timestamp::from_secs(1_801_310_430);

fn minute(limit: u64, mode: Mode) -> Charge {
    charge(&policy("minute", Algorithm::Fixed, mode, Window::MINUTE, limit), "s", 1)
}

/// Returns the tally fields that a decision adds for its group.
fn tallied(decision: &Decision, group: &str) -> Vec<String> {
    let readings = match decision {
        Decision::Allowed(readings) => readings,
        Decision::Refused(refusal) => &refusal.readings,
        Decision::Stale(_) | Decision::Unchecked => return Vec::new(),
    };
    let over = readings.iter().enumerate().filter(|(_, reading)| reading.is_over).map(|(n, _)| n + 1);
    let passed = is_allowed(decision).then_some(0);
    over.chain(passed).map(|place| format!("{place} {group}")).collect()
}

/// Converts pairs of field and number of calls.
fn counts<const N: usize>(counts: [(&str, u64); N]) -> BTreeMap<String, u64> {
    counts.map(|(field, calls)| (field.to_owned(), calls)).into()
}

/// Makes `calls` calls at `now` and returns the number that passed.
async fn make(limiter: &Limiter, calls: u32, charge: &Charge, group: &str, now: Timestamp) -> usize {
    let mut passed = 0;
    for _ in 0..calls {
        passed += usize::from(is_allowed(&limiter.check(ask([charge.clone()], group, "c"), now).await));
    }
    passed
}

#[tokio::test]
async fn refusals_from_memory_ride_along_with_the_next_call_that_redis_is_asked_about() {
    let server = Server::start().await;
    server.set_clock(NOON);
    let limiter = server.limiter();
    assert_eq!(make(&limiter, 10, &minute(3, Mode::Enforce), "g", NOON).await, 3);
    assert_eq!(server.tallies().await, counts([("0 g", 3), ("1 g", 1)]), "six are remembered");

    let later = NOON.plus(REMEMBERED);
    assert_eq!(make(&limiter, 1, &minute(3, Mode::Enforce), "g", later).await, 0);
    assert_eq!(server.tallies().await, counts([("0 g", 3), ("1 g", 8)]));
    // They are also sent with a call of another group, or of none.
    assert_eq!(make(&limiter, 5, &minute(3, Mode::Enforce), "g", later).await, 0);
    assert_eq!(make(&limiter, 1, &minute(9, Mode::Enforce), "", later).await, 1);
    assert_eq!(server.tallies().await, counts([("0 g", 3), ("1 g", 13)]));
}

#[tokio::test]
async fn what_would_have_been_refused_is_counted_beside_what_passed() {
    let server = Server::start().await;
    server.set_clock(NOON);
    let limiter = server.limiter();
    assert_eq!(make(&limiter, 5, &minute(3, Mode::Warn), "warns", NOON).await, 5);
    assert_eq!(server.tallies().await, counts([("0 warns", 5), ("1 warns", 2)]));
}

#[tokio::test]
async fn what_more_groups_kept_than_ride_along_at_once_rides_along_later() {
    let server = Server::start().await;
    server.set_clock(NOON);
    let limiter = server.limiter();
    make(&limiter, 1, &minute(1, Mode::Enforce), "", NOON).await;
    let groups: Vec<String> = (0..40).map(|n| format!("g{n}")).collect();
    for group in &groups {
        assert_eq!(make(&limiter, 3, &minute(1, Mode::Enforce), group, NOON).await, 0);
    }
    let later = NOON.plus(REMEMBERED);
    for _ in 0..3 {
        make(&limiter, 1, &minute(9, Mode::Enforce), "", later).await;
    }
    let expected: BTreeMap<String, u64> = groups.iter().map(|group| (format!("1 {group}"), 3)).collect();
    assert_eq!(server.tallies().await, expected);
}

#[tokio::test]
async fn what_is_kept_outlives_a_call_that_is_stale_and_an_outage() {
    let mut server = Server::start().await;
    server.set_clock(NOON);
    let limiter = server.limiter();
    assert_eq!(make(&limiter, 7, &minute(3, Mode::Enforce), "g", NOON).await, 3);

    publish(&server.redis(), &[Version { of: RecordId::Platform, version: 2, is_stopped: false }]).await.unwrap();
    let known = vec![Version { of: RecordId::Platform, version: 1, is_stopped: false }];
    let stale = Ask { known, ..ask([minute(9, Mode::Enforce)], "g", "c") };
    assert!(matches!(limiter.check(stale, NOON).await, Decision::Stale(_)));
    assert_eq!(server.tallies().await, counts([("0 g", 3), ("1 g", 1)]));

    server.stop();
    let other = ask([minute(9, Mode::Enforce)], "other", "c");
    for _ in 0..3 {
        assert_eq!(limiter.check(other.clone(), NOON).await, Decision::Unchecked);
    }
    // Empty, and without the cached script.
    server.start_again().await;
    wait_for(async || {
        server.set_clock(NOON);
        let decision = limiter.check(other.clone(), NOON).await;
        (decision != Decision::Unchecked).then_some(())
    })
    .await;
    assert_eq!(server.tallies().await, counts([("0 other", 1), ("1 g", 3)]));
}

#[test]
fn every_decision_is_in_the_tallies_once() {
    let runtime = Runtime::new().unwrap();
    let server = runtime.block_on(Server::start());
    let config = property(10);
    let calls = proptest::collection::vec((0u8..3, 0u64..150, 0usize..16), 1..120);
    proptest!(config, |(policies in policies(), calls in calls)| {
        runtime.block_on(async {
            server.command::<()>(&["FLUSHALL"]).await;
            let limiter = server.limiter();
            let (mut now, mut expected) = (NOON, BTreeMap::<String, u64>::new());
            for (n, (group, millis, policies_of_it)) in calls.into_iter().enumerate() {
                now = now.plus(Duration::from_millis(millis));
                server.set_clock(now);
                let group = format!("g{group}");
                let charges = policies.iter().skip(policies_of_it.min(policies.len() - 1));
                let ask = ask(charges.map(|policy| charge(policy, &group, 1)), &group, &n.to_string());
                let decision = limiter.check(ask, now).await;
                for field in tallied(&decision, &group) {
                    *expected.entry(field).or_default() += 1;
                }
            }
            // Each of these calls sends a part of the remembered refusals.
            for _ in 0..4 {
                limiter.check(ask([], "", "end"), now).await;
            }
            prop_assert_eq!(server.tallies().await, expected);
            Ok::<_, TestCaseError>(())
        })?;
    });
}
