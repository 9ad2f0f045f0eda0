//! The sample events in events/, with the expected answers of events/expected.json, on the running stack.

use std::collections::BTreeSet;

use tests::{Stack, workspace};

#[tokio::test]
async fn every_sample_event_is_answered_as_expected() {
    let stack = Stack::builder().start().await;
    let samples = events::samples(&workspace().join("events")).expect("the sample events");
    for sample in &samples {
        let path = format!("{}/functions/{}/invoke", stack.local("control_url"), sample.function);
        let answer = stack.client().post(path).body(sample.event.clone()).send().await.expect("an answer");
        let payload = answer.bytes().await.expect("a payload");
        sample.check(&payload).unwrap_or_else(|difference| panic!("{difference:#}"));
    }
    // Three of the samples are whole messages, which cost tokens.
    assert_eq!(stack.wait_for_month(stack.account_id(), 3).await.input, 15);
}

#[test]
fn every_function_has_sample_events() {
    let samples = events::samples(&workspace().join("events")).expect("the sample events");
    let functions = std::fs::read_dir(workspace().join("functions")).expect("functions");
    let functions: BTreeSet<String> =
        functions.map(|entry| entry.expect("a folder").file_name().into_string().expect("a name")).collect();
    assert_eq!(samples.into_iter().map(|sample| sample.function).collect::<BTreeSet<_>>(), functions);
}

#[tokio::test]
async fn the_control_address_calls_no_function_that_is_not_there() {
    let stack = Stack::builder().start().await;
    let answer = stack.control("POST", "/functions/nobody/invoke", serde_json::json!({})).await;
    assert_eq!((answer.status, answer.text()), (404, r#"{"error":"there is no function nobody"}"#));
}
