//! A refused call changes nothing in Redis but the tallies.

use std::collections::BTreeMap;
use std::time::Duration;

use levee::clock::Timestamp;
use levee::limits::{Algorithm, Charge, Mode, Window};

use super::{ask, charge, is_allowed, policy};
use crate::redis_server::{Server, is_tally};

const NOON: Timestamp = Timestamp::from_secs(1_801_310_430);

/// Returns the value and the expiry time of each key.
async fn stored(server: &Server) -> BTreeMap<String, (Vec<String>, i64)> {
    let mut stored = BTreeMap::new();
    for (key, value) in server.snapshot().await.into_iter().filter(|(key, _)| !is_tally(key)) {
        let ends: i64 = server.command(&["PEXPIRETIME", &key]).await;
        stored.insert(key, (value.value, ends));
    }
    stored
}

#[tokio::test]
async fn no_counter_and_no_set_of_calls_in_flight_is_kept_for_longer_because_a_call_was_refused() {
    let server = Server::start().await;
    server.set_clock(NOON);
    let limiter = server.limiter();
    let of = |name, algorithm, window, limit| charge(&policy(name, algorithm, Mode::Enforce, window, limit), "s", 1);
    let charges: [Charge; 4] = [
        of("minute", Algorithm::Fixed, Window::MINUTE, 2),
        of("sliding", Algorithm::Sliding, Window::MINUTE, 9),
        of("month", Algorithm::Fixed, Window::Month, 9),
        of("in-flight", Algorithm::Concurrency, Window::MINUTE, 9),
    ];
    // Each call has a group of its own, so that none is refused from memory.
    let check = async |id: &str, now| is_allowed(&limiter.check(ask(charges.clone(), id, id), now).await);
    assert!(check("first", NOON).await && check("second", NOON).await);

    let before = stored(&server).await;
    assert_eq!(before.len(), charges.len());
    for (id, later) in [("third", 5), ("fourth", 500), ("fifth", 1_000)] {
        tokio::time::sleep(Duration::from_millis(5)).await;
        assert!(!check(id, NOON.plus(Duration::from_millis(later))).await);
        assert_eq!(stored(&server).await, before, "{id}");
    }
}
