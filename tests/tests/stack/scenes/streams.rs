//! A provider whose streams break off after their first content: clients get an error, and the provider loses its
//! share.

use levee::breaker::Mode;
use rstest::rstest;
use serde_json::{Value, json};
use tests::Language::{Python, TypeScript};

use super::scene::{Scene, assert_served, mixed, streamed};

#[rstest]
#[case::overloaded(json!({ "error_event_after": 3 }), "overloaded_error")]
#[case::cut(json!({ "cut_after": 3 }), "api_error")]
#[tokio::test]
async fn a_stream_that_breaks_off_raises_its_error_and_enough_of_them_open(#[case] script: Value, #[case] kind: &str) {
    let mut scene = Scene::start(Python).await;
    scene.primary(script).await;

    let (seen, fallen) = scene.calls_until_it_falls(streamed(150)).await;

    let (broken, whole): (Vec<_>, Vec<_>) = seen.iter().partition(|seen| seen.provider() == "primary");
    for seen in &broken {
        assert_eq!(seen.error(), (200, "APIStatusError", kind), "{seen:?}");
        let events = seen.events();
        assert!(events.contains(&"content_block_delta") && !events.contains(&"message_stop"), "{seen:?}");
    }
    assert!(whole.iter().all(|seen| seen.is_whole()), "{whole:?}");
    eprintln!("{kind}: {} of 150 broke off, {} before the share had fallen", broken.len(), fallen.attempts);
    assert!(broken.len() >= 4 && broken.len() <= 60, "{} broke off", broken.len());
    let history = scene.history().await;
    assert!(history.iter().any(|transition| transition.to.mode == Mode::Open), "{history:#?}");
}

#[tokio::test]
async fn in_the_other_language_failures_before_the_first_content_are_invisible_and_those_after_it_raise_its_error() {
    let mut scene = Scene::start(TypeScript).await;
    scene.primary(json!({ "error_event_after": 3 })).await;
    for seen in scene.calls(streamed(2)).await {
        assert_eq!(seen.error(), (200, "APIError", "overloaded_error"), "{seen:?}");
    }

    scene.primary(json!({ "error_event_after": null, "status": 500 })).await;
    assert_served(&scene.calls(mixed(4)).await);
}
