//! Error replies of Redis: they do not open the guard, so all calls that Redis can decide are still checked.

use levee::clock::Timestamp;
use levee::limits::{Algorithm, Charge, Decision, Limiter, Mode, Window};
use rstest::rstest;

use crate::limiter::{ask, charge, policy};
use crate::redis_server::{Server, is_tally};

const NOON: Timestamp = Timestamp::from_secs(1_801_310_430);

/// Returns a charge against a limit of 100 calls a minute for `subject`.
fn limit(subject: &str) -> Charge {
    charge(&policy("minute", Algorithm::Fixed, Mode::Enforce, Window::MINUTE, 100), subject, 1)
}

async fn check(limiter: &Limiter, subject: &str) -> Decision {
    limiter.check(ask([limit(subject)], subject, "call"), NOON).await
}

fn is_checked(decision: &Decision) -> bool {
    match decision {
        Decision::Allowed(_) => true,
        Decision::Unchecked => false,
        Decision::Refused(_) | Decision::Stale(_) => panic!("{decision:?}"),
    }
}

async fn order(server: &Server, orders: &[&[&str]]) {
    for words in orders {
        server.command::<()>(words).await;
    }
}

#[tokio::test]
async fn a_counter_of_another_type_leaves_its_own_calls_unchecked_and_no_others() {
    let server = Server::start().await;
    server.set_clock(NOON);
    let limiter = server.limiter();
    assert!(is_checked(&check(&limiter, "broken").await));
    let keys = server.snapshot().await.into_keys();
    let [counter] = &keys.filter(|key| !is_tally(key)).collect::<Vec<_>>()[..] else { panic!("one counter") };
    order(&server, &[&["DEL", counter], &["RPUSH", counter, "x"]]).await;
    for _ in 0..3 {
        assert!(!is_checked(&check(&limiter, "broken").await));
        assert!(is_checked(&check(&limiter, "sound").await));
    }
    order(&server, &[&["DEL", counter]]).await;
    assert!(is_checked(&check(&limiter, "broken").await));
}

/// Commands for the server itself.
type Orders = &'static [&'static [&'static str]];

const FULL: Orders = &[&["CONFIG", "SET", "maxmemory", "1"]];
const ROOMY: Orders = &[&["CONFIG", "SET", "maxmemory", "0"]];
const REPLICA: Orders = &[&["REPLICAOF", "127.0.0.1", "1"]];
const STALE_REPLICA: Orders = &[&["CONFIG", "SET", "replica-serve-stale-data", "no"], &["REPLICAOF", "127.0.0.1", "1"]];
const PRIMARY: Orders = &[&["REPLICAOF", "NO", "ONE"]];
const SIGNED_OUT: Orders =
    &[&["CONFIG", "SET", "requirepass", "secret"], &["CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes"]];
const OPEN: Orders = &[&["CONFIG", "SET", "requirepass", ""]];

#[rstest]
#[case::out_of_memory(FULL, ROOMY)]
#[case::read_only(REPLICA, PRIMARY)]
#[case::primary_gone(STALE_REPLICA, PRIMARY)]
#[case::no_password(SIGNED_OUT, OPEN)]
#[tokio::test]
async fn calls_pass_unchecked_while_redis_refuses_and_are_checked_with_the_next_call_after_that(
    #[case] begin: Orders,
    #[case] end: Orders,
) {
    let server = Server::start().await;
    server.set_clock(NOON);
    let limiter = server.limiter();
    assert!(is_checked(&check(&limiter, "acme").await));
    order(&server, begin).await;
    for _ in 0..5 {
        assert!(!is_checked(&check(&limiter, "acme").await));
    }
    order(&server, end).await;
    assert!(is_checked(&check(&limiter, "acme").await), "an error reply opened the guard");
}

#[tokio::test]
async fn a_server_that_is_gone_opens_the_guard() {
    let mut server = Server::start().await;
    server.set_clock(NOON);
    let limiter = server.limiter();
    assert!(is_checked(&check(&limiter, "acme").await));
    server.stop();
    assert!(!is_checked(&check(&limiter, "acme").await));
    server.start_again().await;
    assert!(!is_checked(&check(&limiter, "acme").await), "the guard is open");
}
