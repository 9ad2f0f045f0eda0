//! Outages of stores: callers do not wait long, nothing fails, and a decision holds as long as an environment knows
//! it.

use std::time::Duration;

use levee::breaker::{BreakerState, Grounds, Mode, Share, Transition, Wrote};
use local::dynamodb::Mode as Front;
use tokio::time::timeout;

use super::bench::{Bench, PROVIDER, call, look, report};

/// A time longer than any bounded operation, even on a busy machine.
const FOREVER: Duration = Duration::from_secs(20);
const BUDGET: Duration = Duration::from_millis(200);

async fn decide(bench: &Bench, mode: Mode) -> BreakerState {
    let from = bench.saved().await;
    let (generation, not_before) = (from.generation + 1, bench.now().plus(Duration::from_secs(3_000)));
    let to = BreakerState { generation, mode, share: Share::NONE, not_before, ..BreakerState::new() };
    let transition = Transition::new(PROVIDER, &from, to, Grounds::default(), "test");
    assert_eq!(bench.table().write(&transition, &from).await.unwrap(), Wrote::Now);
    transition.to
}

#[tokio::test]
async fn what_redis_has_lost_comes_back_from_dynamodb() {
    let bench = Bench::start().await;
    let environments = bench.environments(2);
    let open = decide(&bench, Mode::Open).await;
    for _ in 0..3 {
        assert_eq!(look(&environments[0]).await.state, open);
        assert_eq!(bench.mirrored().await, Some((open.clone(), true)));
        bench.server.command::<()>(&["FLUSHALL"]).await;
        assert_eq!(report(&environments[1], open.generation, true).await.state, open);
        assert_eq!(bench.mirrored().await, Some((open.clone(), true)));
        bench.server.command::<()>(&["FLUSHALL"]).await;
    }
    bench.server.snapshot().await;
}

#[tokio::test]
async fn what_redis_has_lost_and_dynamodb_never_had_comes_back_from_who_knows_it() {
    let bench = Bench::start().await;
    let environments = bench.environments(3);
    look(&environments[0]).await;
    bench.emulator.set(Front::Refuse).await;
    let open = bench.until_changed(&environments, false).await.state;
    bench.server.command::<()>(&["FLUSHALL"]).await;
    assert_eq!(look(&environments[0]).await.state, open, "DynamoDB is away still");
    assert_eq!(bench.mirrored().await, Some((open.clone(), false)));
    bench.emulator.set(Front::Serve).await;
    bench.server.command::<()>(&["FLUSHALL"]).await;
    assert_eq!(look(&environments[0]).await.state, open, "DynamoDB is back, and behind");
    assert_eq!(bench.saved().await, open);
    assert_eq!(bench.mirrored().await, Some((open, true)));
}

#[tokio::test]
async fn without_redis_the_decision_is_read_from_dynamodb_every_two_seconds_at_most() {
    let bench = Bench::start().await;
    let environment = bench.impatient(FOREVER).await;
    assert!(call(&environment, true).await.is_shared);
    bench.server.stop();
    let open = decide(&bench, Mode::Open).await;
    bench.asked();
    for _ in 0..5 {
        for _ in 0..10 {
            let standing = look(&environment).await;
            assert_eq!((&standing.state, standing.is_shared), (&open, false));
            let standing = report(&environment, open.generation, false).await;
            assert_eq!((&standing.state, standing.is_shared), (&open, false));
            assert!(!environment.may_probe(0, open.generation).await && !environment.may_retry(10).await);
        }
        bench.advance(3);
    }
    let asked = bench.asked();
    assert_eq!(asked.keys().collect::<Vec<_>>(), ["GetItem"], "nobody decides anything");
    // One read for each of two providers whenever the clock was moved. On a slow machine the clock also advances by
    // itself.
    assert!((10..=20).contains(&asked["GetItem"]), "{asked:?}");
}

#[tokio::test]
async fn without_either_the_last_decision_is_believed_for_a_minute_and_then_calls_pass() {
    let mut bench = Bench::start().await;
    let environment = bench.environment();
    let open = decide(&bench, Mode::Open).await;
    assert_eq!(look(&environment).await.state, open);
    bench.server.stop();
    bench.emulator.set(Front::Refuse).await;
    bench.advance(50);
    assert_eq!(look(&environment).await.state, open);
    assert_eq!(report(&environment, open.generation, false).await.state, open);
    bench.advance(11);
    assert_eq!(look(&environment).await.state, BreakerState::new());
    assert_eq!(report(&environment, 0, false).await.state, BreakerState::new(), "who reports is told the same");
    assert_eq!(look(&bench.environment()).await.state, BreakerState::new(), "as is who never knew anything");
    // After both outages everything is as before.
    bench.emulator.set(Front::Serve).await;
    bench.server.start_again().await;
    assert_eq!(look(&bench.environment()).await.state, open);
    assert_eq!(bench.mirrored().await, Some((open, true)));
}

#[tokio::test]
async fn stores_that_say_nothing_hold_nobody_up() {
    let bench = Bench::start().await;
    let environment = bench.impatient(BUDGET).await;
    let open = decide(&bench, Mode::Open).await;
    let patient = bench.environment();
    look(&patient).await;
    bench.emulator.set(Front::Hang).await;
    // Redis answers. DynamoDB is waited for once, and then not for some seconds.
    bench.advance(5);
    for _ in 0..20 {
        assert_eq!(timeout(FOREVER, look(&environment)).await.unwrap().state, open);
    }
    bench.server.command::<()>(&["CLIENT", "PAUSE", "60000", "ALL"]).await;
    for _ in 0..200 {
        assert_eq!(timeout(FOREVER, look(&environment)).await.unwrap().state, open);
        timeout(FOREVER, report(&environment, open.generation, false)).await.unwrap();
        timeout(FOREVER, environment.may_probe(0, open.generation)).await.unwrap();
    }
}

#[tokio::test]
async fn what_a_newer_version_wrote_into_redis_is_no_outage_of_it() {
    let bench = Bench::start().await;
    let environment = bench.environment();
    let open = decide(&bench, Mode::Open).await;
    look(&environment).await;
    let breaker = "{levee}:breaker:primary";
    bench.server.command::<()>(&["HSET", breaker, "state", r#"{"mode":"unheard-of"}"#]).await;
    for _ in 0..3 {
        let standing = look(&environment).await;
        assert_eq!((&standing.state, standing.is_shared), (&open, true));
    }
}
