//! A provider that answers with errors before any content.

use levee::breaker::{Mode, Reason};
use serde_json::json;
use tests::Language::Python;

use super::scene::{Scene, assert_served, mixed, streamed};

#[tokio::test]
async fn a_provider_that_fails_is_given_up_within_60_attempts_and_no_client_sees_it() {
    let mut scene = Scene::start(Python).await;
    let healthy = scene.calls(mixed(30)).await;
    assert_served(&healthy);
    assert!(healthy.iter().all(|seen| (seen.provider(), seen.reason()) == ("primary", "")), "{healthy:?}");
    let before = scene.attempts().await;

    scene.primary(json!({ "status": 500 })).await;
    let (seen, fallen) = scene.calls_until_it_falls(mixed(90)).await;
    assert_served(&seen);
    let needed = fallen.attempts - before;
    eprintln!("{needed} attempts until the share was {} ({})", fallen.state.share, fallen.state.reason);
    assert!(needed <= 60, "{needed} attempts");
    // It may be classified as erring before it is failing, if an evaluation came after four failures.
    assert_eq!(fallen.state.mode, Mode::Open);
    assert!([Reason::Failing, Reason::Erring].contains(&fallen.state.reason), "{:?}", fallen.state);

    // From then on almost only probes reach it.
    let seen = scene.calls(mixed(60)).await;
    assert_served(&seen);
    scene.assert_only_probes_met_it(&seen).await;
}

#[tokio::test]
async fn an_error_event_before_the_first_content_is_another_providers_turn() {
    let mut scene = Scene::start(Python).await;
    scene.primary(json!({ "error_event_after": 0 })).await;

    let (seen, fallen) = scene.calls_until_it_falls(streamed(90)).await;

    assert_served(&seen);
    assert!(seen.iter().any(|seen| seen.reason() == "overloaded"), "{seen:?}");
    assert_eq!(fallen.state.mode, Mode::Open);
}
