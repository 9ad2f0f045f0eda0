//! After the first content: a stream that breaks off never ends regularly, and no other provider continues it.

use serde_json::json;
use tests::Stack;

use super::{builder, call, codes, course, seen};

#[tokio::test]
async fn after_the_first_content_a_stream_ends_in_an_error_and_no_other_provider_takes_over() {
    let stack = builder().start().await;
    for (number, (script, kind, code)) in (1..).zip([
        (json!({ "cut_after": 3 }), "api_error", "provider.cut"),
        (json!({ "hang": "stream" }), "timeout_error", "provider.timeout"),
        (json!({ "error_event_after": 3 }), "overloaded_error", "provider.failed"),
    ]) {
        stack.reset("primary").await;
        stack.script("primary", script.clone()).await;
        let answer = call(&stack, true).await;
        assert_eq!((answer.status, course(&answer)), (200, ("primary", "1", "")), "{script}: {answer:?}");
        let events = answer.events();
        let errors: Vec<_> = events.iter().filter(|(name, _)| name == "error").collect();
        assert_eq!((errors.len(), &errors[0].1["error"]["type"]), (1, &json!(kind)), "{script}");
        assert_eq!(events.last().unwrap().0, "error", "{script}");
        assert!(events.iter().all(|(name, _)| name != "message_stop"), "{script}");
        assert!(codes(&stack, &answer).iter().any(|it| it == code), "{script}: {:?}", codes(&stack, &answer));
        // The beginning counts as good, and the end as bad in addition.
        let seen = seen(&stack, "primary").await;
        assert_eq!((seen.good, seen.bad), (number, number), "{script}");
    }
    assert_eq!(stack.requests("backup").await, 0);
}

/// Returns the number of messages in a stream, and the providers whose text is in it.
fn voices(text: &str) -> (usize, Vec<&'static str>) {
    let starts = text.matches("event: message_start").count();
    (starts, ["primary", "backup"].into_iter().filter(|name| text.contains(&format!("Hello from {name}"))).collect())
}

#[tokio::test]
async fn what_two_providers_say_is_never_in_one_answer() {
    let stack: Stack = builder().env("BREAKER_MODE", "dry-run").start().await;
    for after in 0..4 {
        for how in ["cut_after", "error_event_after"] {
            stack.reset("primary").await;
            stack.script("primary", json!({ how: after })).await;
            let answer = call(&stack, true).await;
            let whose = if after == 0 { "backup" } else { "primary" };
            assert_eq!(voices(answer.text()), (1, vec![whose]), "{how} {after}: {answer:?}");
            assert_eq!(answer.header("x-levee-provider"), whose);
            assert_eq!(answer.text().contains("event: message_stop"), after == 0, "{how} {after}");
        }
    }
}
