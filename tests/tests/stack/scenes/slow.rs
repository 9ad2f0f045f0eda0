//! A provider that becomes slower than usual.

use levee::breaker::Reason;
use serde_json::json;
use tests::Language::Python;

use super::scene::{Scene, assert_served, streamed};

#[tokio::test]
async fn a_provider_that_takes_6_times_as_long_is_given_up_and_no_client_sees_an_error() {
    let mut scene = Scene::start(Python).await;
    scene.primary(json!({ "ttft_ms": 300 })).await;
    assert_served(&scene.calls(streamed(75)).await);
    assert_eq!(scene.state().await.generation, 0, "{:?}", scene.history().await);
    let before = scene.attempts().await;

    scene.primary(json!({ "ttft_ms": 1800 })).await;
    let (seen, fallen) = scene.calls_until_it_falls(streamed(45)).await;

    assert_served(&seen);
    eprintln!("{} attempts until the share was {}", fallen.attempts - before, fallen.state.share);
    assert!([Reason::Slowing, Reason::Stalling].contains(&fallen.state.reason), "{:?}", fallen.state);
    scene.history().await;
}

#[tokio::test]
async fn a_call_that_is_back_within_a_second_is_never_late() {
    let mut scene = Scene::start(Python).await;
    assert_served(&scene.calls(streamed(60)).await);
    // Many times the usual duration.
    scene.primary(json!({ "ttft_ms": 400 })).await;

    let seen = scene.calls(streamed(45)).await;

    assert_served(&seen);
    assert!(seen.iter().all(|seen| seen.provider() == "primary"), "{seen:?}");
    assert!(scene.history().await.is_empty());
}
