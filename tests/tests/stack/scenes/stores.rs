//! A provider that fails during a Redis outage, and a Redis outage during its failure.

use levee::breaker::Mode;
use serde_json::json;
use tests::Language::Python;
use tests::wait_for;

use super::scene::{Scene, assert_served, mixed};

/// Maximum number of calls that reach a provider if each of three environments avoids it by itself: after five bad
/// results for 10 s, then after each one for twice as long. There is time for three such pauses.
const MET_BY_EACH_ALONE: usize = 3 * (5 + 3);

#[tokio::test]
async fn what_was_decided_holds_while_redis_is_gone_and_is_gone_on_with_when_it_is_back() {
    let mut scene = Scene::start(Python).await;
    assert_served(&scene.calls(mixed(12)).await);
    scene.primary(json!({ "status": 500 })).await;
    let (seen, _) = scene.calls_until_it_falls(mixed(45)).await;
    assert_served(&seen);

    scene.stack.order("/redis/stop").await;
    let decided = scene.state().await;
    let seen = scene.calls(mixed(60)).await;
    assert_served(&seen);
    let straight = seen.iter().filter(|seen| seen.went_straight_to_the_backup()).count();
    eprintln!("without Redis {straight} of 60 went straight to the backup");
    assert!(straight >= 60 - MET_BY_EACH_ALONE, "{straight} of 60 went straight to the backup: {seen:?}");
    assert_eq!(scene.state().await, decided, "who sees nothing but itself decides nothing");

    scene.stack.order("/redis/start").await;
    scene.primary(json!({ "status": null })).await;
    let mut generation = decided.generation;
    wait_for(async || {
        scene.stack.advance(2).await;
        assert_served(&scene.calls(mixed(6)).await);
        let state = scene.state().await;
        assert!(state.generation >= generation, "{state:?} after {generation}");
        generation = state.generation;
        (state.mode == Mode::Ramp).then_some(())
    })
    .await;
    scene.history().await;
}

#[tokio::test]
async fn a_provider_that_fails_while_redis_is_gone_is_kept_away_from_by_each_environment_alone() {
    let mut scene = Scene::start(Python).await;
    assert_served(&scene.calls(mixed(12)).await);
    scene.stack.order("/redis/stop").await;
    let before = scene.attempts().await;

    scene.primary(json!({ "status": 500 })).await;
    let seen = scene.calls(mixed(60)).await;
    assert_served(&seen);
    let met = scene.attempts().await - before;
    eprintln!("without Redis {met} of 60 calls met the failing provider");
    assert!(met <= MET_BY_EACH_ALONE as u64, "{met} of 60 calls met the failing provider: {seen:?}");
    assert!(scene.history().await.is_empty());

    scene.stack.order("/redis/start").await;
    wait_for(async || {
        scene.stack.advance(5).await;
        assert_served(&scene.calls(mixed(9)).await);
        (scene.state().await.mode == Mode::Open).then_some(())
    })
    .await;
    scene.history().await;
}
