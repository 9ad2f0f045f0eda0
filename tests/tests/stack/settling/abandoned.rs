//! Calls that never end, and calls that only seem to.

use levee::metering::{Record, RecordState, estimate_prompt};
use serde_json::{Value, json};
use tests::{Answer, Stack, messages, wait_for};

use super::{INPUT, advance_past_deadline, begin, builder, control, find, lines, long_streams, record, settled};

/// Kills the environment that is in a call.
async fn kill(stack: &Stack) {
    let busy = stack.busy_environment("ai-proxy").await;
    control(stack, &format!("/functions/ai-proxy/{busy}/kill"), Value::Null).await;
}

#[tokio::test]
async fn a_call_whose_environment_was_killed_is_settled_once_with_what_was_known_of_it_and_not_before_its_time() {
    let stack = builder().start().await;
    let account = stack.account_id();
    let before = stack.month(account).await;
    long_streams(&stack).await;
    let (stream, id) = begin(&stack).await;
    // The usage from `message_start` is added to the open record during the stream.
    let noted = wait_for(async || {
        find(&stack, &id)
            .await
            .filter(|record| record.state == RecordState::Open && record.figures.usage.input == INPUT)
    })
    .await;
    kill(&stack).await;
    let cut = Answer::read(stream).await;
    assert!(!cut.text().contains("message_stop"), "{cut:?}");

    assert_eq!(settled(&stack).await, 0);
    advance_past_deadline(&stack, &noted, 0).await;
    assert_eq!(settled(&stack).await, 0, "its end may be on its way for a minute");
    assert_eq!(stack.month(account).await, before);

    advance_past_deadline(&stack, &noted, 62).await;
    assert_eq!((settled(&stack).await, settled(&stack).await), (1, 0));
    let settled = record(&stack, &id, RecordState::Abandoned).await;
    assert_eq!((settled.figures, settled.estimated), (noted.figures, true));
    let after = stack.month(account).await;
    assert_eq!(
        (after.calls - before.calls, after.estimated_calls - before.estimated_calls, after.input - before.input),
        (1, 1, INPUT)
    );

    let lines = lines(&stack, "monitor", "usage.abandoned");
    assert_eq!(lines.len(), 1, "{lines:?}");
    let told = ["request.id", "account.id", "provider", "model", "level"].map(|name| lines[0][name].clone());
    let expected = [&id, account, "primary", "claude-sonnet-5-5", "WARN"].map(|text| json!(text));
    assert_eq!(told, expected, "{}", lines[0]);
    let runs = stack.wide_events("monitor");
    assert_eq!(runs.iter().filter_map(|run| run["AbandonedCalls"].as_u64()).sum::<u64>(), 1);
}

#[tokio::test]
async fn a_call_that_is_killed_before_its_provider_has_said_anything_counts_an_estimate_of_its_prompt() {
    let stack = builder().start().await;
    let account = stack.account_id();
    let before = stack.month(account).await;
    stack.script("primary", json!({ "hang": true })).await;
    let hanging = tokio::spawn(stack.request("/v1/messages").json(&messages("Hello")).send());
    let is_open = |record: &Record| record.state == RecordState::Open;
    let open = wait_for(async || stack.records().await.into_iter().find(is_open)).await;
    kill(&stack).await;
    assert_eq!(hanging.await.unwrap().unwrap().status(), 502);

    advance_past_deadline(&stack, &open, 62).await;
    assert_eq!(settled(&stack).await, 1);
    let after = stack.month(account).await;
    assert_eq!((after.calls - before.calls, after.estimated_calls - before.estimated_calls), (1, 1));
    let prompt = estimate_prompt(messages("Hello").to_string().as_bytes());
    assert_eq!((after.input - before.input, after.output), (prompt, before.output));
    assert_eq!((open.figures.usage.input, open.estimated), (prompt, true), "it is in the open record already");
}

#[tokio::test]
async fn a_call_that_is_only_slow_is_left_alone() {
    let stack = builder().start().await;
    long_streams(&stack).await;
    let (stream, id) = begin(&stack).await;
    stack.advance(600).await;
    assert_eq!(settled(&stack).await, 0);
    assert_eq!(record(&stack, &id, RecordState::Open).await.call.request_id, id);
    let answer = Answer::read(stream).await;
    assert_eq!(answer.events().last().unwrap().0, "message_stop");
    assert!(!record(&stack, &id, RecordState::Closed).await.estimated);
}

#[tokio::test]
async fn the_end_of_a_call_that_was_taken_for_dead_takes_the_place_of_its_estimate() {
    let stack = builder().start().await;
    let account = stack.account_id();
    let before = stack.month(account).await;
    long_streams(&stack).await;
    let (stream, id) = begin(&stack).await;
    let open = record(&stack, &id, RecordState::Open).await;
    advance_past_deadline(&stack, &open, 62).await;
    assert_eq!(settled(&stack).await, 1);
    let meanwhile = stack.month(account).await;
    assert_eq!((meanwhile.calls, meanwhile.estimated_calls), (before.calls + 1, before.estimated_calls + 1));

    let answer = Answer::read(stream).await;
    assert_eq!(answer.events().last().unwrap().0, "message_stop");
    let served = stack.provider("primary").await["usage"].clone();
    let after = stack.month(account).await;
    assert_eq!(after.since(&before), (1, served));
    assert_eq!(after.estimated_calls, before.estimated_calls);
    assert_eq!(settled(&stack).await, 0);
}

#[tokio::test]
async fn a_run_that_cannot_settle_says_so_and_the_next_one_does() {
    let stack = builder().start().await;
    long_streams(&stack).await;
    let (stream, id) = begin(&stack).await;
    let open = record(&stack, &id, RecordState::Open).await;
    kill(&stack).await;
    drop(stream);
    advance_past_deadline(&stack, &open, 62).await;

    let faults = stack.control("PUT", "/dynamodb/faults", json!({ "conflict_ratio": 1 })).await;
    assert_eq!(faults.status, 200, "{faults:?}");
    let failed = stack.control("POST", "/monitor/run", Value::Null).await;
    assert_eq!(failed.status, 502, "{failed:?}");
    assert_eq!(lines(&stack, "monitor", "usage.unsettled").len(), 1);
    assert_eq!(stack.control("DELETE", "/dynamodb/faults", Value::Null).await.status, 200);
    assert_eq!(settled(&stack).await, 1);
}
