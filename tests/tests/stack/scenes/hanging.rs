//! A provider that accepts calls and does not answer them.

use std::time::Instant;

use levee::breaker::Mode;
use rstest::rstest;
use serde_json::json;
use tests::Language::Python;
use tests::wait_for;

use super::scene::{Scene, assert_served, mixed, stack, streamed};

#[rstest]
#[tokio::test]
async fn calls_that_get_no_answer_are_served_by_the_backup_and_the_provider_is_given_up(
    #[values("headers", "first_token")] hang: &str,
) {
    let stack = stack().env("AI_FAILOVER_AFTER_MS", "1500").env("AI_CALL_TIMEOUT_MS", "8000");
    let mut scene = Scene::of(stack, Python).await;
    assert_served(&scene.calls(mixed(12)).await);
    let before = scene.attempts().await;

    scene.primary(json!({ "hang": hang })).await;
    let mut calls = streamed(12);
    calls.extend(mixed(18));
    let (seen, fallen) = scene.calls_until_it_falls(calls).await;

    assert_served(&seen);
    assert!(seen.iter().all(|seen| seen.provider() == "backup"), "{seen:?}");
    eprintln!("{hang}: {} attempts until it was open", fallen.attempts - before);
    assert_eq!(fallen.state.mode, Mode::Open);
    let seen = scene.calls(mixed(30)).await;
    assert_served(&seen);
    scene.assert_only_probes_met_it(&seen).await;
}

#[tokio::test]
async fn calls_that_wait_for_a_provider_move_on_when_it_is_given_up() {
    // Waiting calls move on by themselves only long after the provider is given up, however busy the machine is.
    let mut scene = Scene::of(stack().env("AI_FAILOVER_AFTER_MS", "60000"), Python).await;
    // Learn from these calls how long a call usually takes.
    assert_served(&scene.calls(streamed(60)).await);
    let (mut patient, mut busy) = tokio::join!(scene.another_program(), scene.another_program());
    let before = scene.attempts().await;
    scene.primary(json!({ "hang": "headers" })).await;

    let waiting = async { (scene.calls_at_once(&mut patient, streamed(2)).await, Instant::now()) };
    let failing = async {
        wait_for(async || (scene.attempts().await == before + 2).then_some(())).await;
        // The two waiting calls never get an answer from the primary.
        scene.primary(json!({ "hang": null, "status": 500 })).await;
        wait_for(async || {
            assert_served(&scene.calls_at_once(&mut busy, mixed(3)).await);
            (scene.state().await.mode == Mode::Open).then_some(())
        })
        .await;
        Instant::now()
    };
    let ((waited, moved_at), opened_at) = tokio::join!(waiting, failing);

    assert_served(&waited);
    eprintln!("they moved on {:?} after the provider was given up", moved_at.saturating_duration_since(opened_at));
    assert!(waited.iter().all(|seen| (seen.provider(), seen.reason()) == ("backup", "slow")), "{waited:?}");
}
