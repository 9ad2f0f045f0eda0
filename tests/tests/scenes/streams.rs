//! A provider whose streams end badly after their first content: their clients have to be told, and it has to get fewer.

use levee::breaker::Mode;
use rstest::rstest;
use serde_json::{Value, json};
use tests::Language::{self, Python, TypeScript};

use crate::scene::{Scene, streamed};

#[rstest]
#[case::overloaded(json!({ "error_event_after": 3 }), "overloaded_error")]
#[case::cut(json!({ "cut_after": 3 }), "api_error")]
#[tokio::test]
async fn a_stream_that_breaks_off_raises_its_error_and_enough_of_them_open(
    #[values(Python, TypeScript)] language: Language,
    #[case] script: Value,
    #[case] kind: &str,
) {
    let raised = match language {
        Python => "APIStatusError",
        TypeScript => "APIError",
    };
    let mut scene = Scene::start(language).await;
    scene.primary(script).await;

    let (seen, fallen) = scene.calls_until_it_falls(streamed(150)).await;

    let (broken, whole): (Vec<_>, Vec<_>) = seen.iter().partition(|seen| seen.provider() == "primary");
    for seen in &broken {
        assert_eq!(seen.error(), (200, raised, kind), "{seen:?}");
        let events = seen.events();
        assert!(events.contains(&"content_block_delta") && !events.contains(&"message_stop"), "{seen:?}");
    }
    assert!(whole.iter().all(|seen| seen.is_whole()), "{whole:?}");
    eprintln!(
        "{language:?}, {kind}: {} of 150 broke off, {} before the share had fallen",
        broken.len(),
        fallen.attempts
    );
    assert!(broken.len() >= 4 && broken.len() <= 60, "{} broke off", broken.len());
    let history = scene.history().await;
    assert!(history.iter().any(|transition| transition.to.mode == Mode::Open), "{history:#?}");
}
