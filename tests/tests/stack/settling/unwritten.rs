//! DynamoDB refuses, hangs or loses answers: the call is served, and its record is written before the answer, or
//! logged.

use std::time::Duration;

use levee::metering::{RecordState, Written, unwritten};
use serde_json::{Value, json};
use tests::{Answer, Stack, messages};

use super::{INPUT, begin, builder, control, find, lines, long_streams, streamed};

async fn throttle(stack: &Stack) {
    control(stack, "/dynamodb/stop", json!({ "mode": "throttle" })).await;
}

/// Makes a call, so that its key is cached before the DynamoDB outage.
async fn warm_up(stack: &Stack) {
    let answer = stack.call("/v1/messages", &messages("Hello")).await;
    assert_eq!(answer.status, 200, "{answer:?}");
}

#[tokio::test]
async fn a_call_whose_beginning_cannot_be_written_is_served_and_its_end_is_there() {
    let stack = builder().start().await;
    warm_up(&stack).await;
    let before = stack.month(stack.account_id()).await;
    long_streams(&stack).await;
    throttle(&stack).await;
    let (stream, id) = begin(&stack).await;
    control(&stack, "/dynamodb/start", Value::Null).await;
    let answer = Answer::read(stream).await;
    assert_eq!(answer.events().last().unwrap().0, "message_stop");

    let record = find(&stack, &id).await.unwrap();
    assert_eq!((record.state, record.figures.usage.input), (RecordState::Closed, INPUT));
    assert_eq!(stack.month(stack.account_id()).await.calls - before.calls, 1);
    let event = stack.wide_event("ai-proxy", &id).await;
    assert_eq!((&event["outcome"], &event["UnwrittenUsage"]), (&json!("ok"), &json!(1)), "{event}");
    assert_eq!(lines(&stack, "ai-proxy", unwritten::UNOPENED).len(), 1);
    assert!(lines(&stack, "ai-proxy", unwritten::UNWRITTEN).is_empty());
}

#[tokio::test]
async fn a_call_whose_end_cannot_be_written_is_served_and_brought_back_once_from_the_log() {
    let stack = builder().start().await;
    warm_up(&stack).await;
    let before = stack.month(stack.account_id()).await;
    stack.script("primary", json!({ "gap_ms": 100, "deltas": 20, "usage": { "input_tokens": INPUT } })).await;
    let (stream, id) = begin(&stack).await;
    throttle(&stack).await;
    let answer = Answer::read(stream).await;
    assert_eq!(answer.events().last().unwrap().0, "message_stop");
    let event = stack.wide_event("ai-proxy", &id).await;
    assert_eq!((&event["outcome"], &event["UnwrittenUsage"]), (&json!("ok"), &json!(1)), "{event}");
    assert!(lines(&stack, "ai-proxy", unwritten::UNOPENED).is_empty());
    let lines = lines(&stack, "ai-proxy", unwritten::UNWRITTEN);
    assert_eq!(lines.len(), 1, "{lines:?}");
    control(&stack, "/dynamodb/start", Value::Null).await;

    assert_eq!(find(&stack, &id).await.unwrap().state, RecordState::Open);
    let record = unwritten::read(&lines[0].to_string()).unwrap().expect("a record");
    let ledger = stack.ledger();
    assert_eq!(ledger.write(&record).await.unwrap(), Written::Now);
    assert_eq!(ledger.write(&record).await.unwrap(), Written::Before);
    assert_eq!(find(&stack, &id).await, Some(record));
    let after = stack.month(stack.account_id()).await;
    assert_eq!((after.calls - before.calls, after.input - before.input), (1, INPUT));
    assert_eq!(after.estimated_calls, before.estimated_calls);
}

#[tokio::test]
async fn no_call_is_served_before_its_record_is_there() {
    let stack = builder().env("DYNAMODB_TIMEOUT_MS", "15000").start().await;
    warm_up(&stack).await;
    for call in [messages("Hello"), streamed()] {
        stack.reset("primary").await;
        control(&stack, "/dynamodb/stop", json!({ "mode": "hang" })).await;
        let answer = tokio::spawn(stack.request("/v1/messages").json(&call).send());
        // Much longer than a call takes.
        tokio::time::sleep(Duration::from_secs(1)).await;
        let served = stack.provider("primary").await;
        assert!(served["completed"] == 0 && !answer.is_finished(), "before there was a record of {call}: {served}");
        control(&stack, "/dynamodb/start", Value::Null).await;
        let answer = answer.await.unwrap().unwrap();
        assert_eq!(answer.status(), 200);
        let id = answer.headers()["x-levee-request-id"].to_str().unwrap().to_owned();
        assert!(find(&stack, &id).await.is_some(), "{call}");
        assert_eq!(Answer::read(answer).await.status, 200);
        assert_eq!(find(&stack, &id).await.unwrap().state, RecordState::Closed);
    }
    assert!(lines(&stack, "ai-proxy", unwritten::UNOPENED).is_empty());
}

#[tokio::test]
async fn a_record_that_hangs_is_given_up_and_the_call_goes_on() {
    let stack = builder().env("DYNAMODB_TIMEOUT_MS", "400").start().await;
    warm_up(&stack).await;
    control(&stack, "/dynamodb/stop", json!({ "mode": "hang" })).await;
    let answer = stack.call("/v1/messages", &streamed()).await;
    assert_eq!(answer.events().last().unwrap().0, "message_stop", "{answer:?}");
    let id = answer.header("x-levee-request-id").to_owned();
    let event = stack.wide_event("ai-proxy", &id).await;
    assert_eq!(event["UnwrittenUsage"], 1, "{event}");
    for code in [unwritten::UNOPENED, unwritten::UNWRITTEN] {
        assert_eq!(lines(&stack, "ai-proxy", code).len(), 1, "{code}");
    }
}

#[tokio::test]
async fn with_conflicts_and_lost_answers_every_call_is_counted_once() {
    let stack = builder().environments("ai-proxy=3").start().await;
    warm_up(&stack).await;
    let before = stack.month(stack.account_id()).await;
    stack.reset("primary").await;
    let faults = json!({ "conflict_ratio": 0.3, "lost_ratio": 0.2, "seed": 1 });
    assert_eq!(stack.control("PUT", "/dynamodb/faults", faults).await.status, 200);
    let call = messages("Hello");
    for _ in 0..4 {
        let answers = futures_util::future::join_all((0..10).map(|_| stack.call("/v1/messages", &call))).await;
        assert!(answers.iter().all(|answer| answer.status == 200));
    }
    assert_eq!(stack.control("DELETE", "/dynamodb/faults", Value::Null).await.status, 200);
    // Records that were written, but whose answer was lost, are in the log too.
    for line in stack.log("ai-proxy") {
        match unwritten::read(&line).unwrap() {
            Some(record) if record.state == RecordState::Open => drop(stack.ledger().open(&record).await.unwrap()),
            Some(record) => drop(stack.ledger().write(&record).await.unwrap()),
            None => {}
        }
    }
    let after = stack.month(stack.account_id()).await;
    assert_eq!(after.since(&before), (40, stack.provider("primary").await["usage"].clone()));
}
