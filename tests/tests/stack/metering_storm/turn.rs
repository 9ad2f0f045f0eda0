//! The end of a month: a call counts in the month in which it began, in every case of its end.

use levee::clock::Timestamp;
use levee::metering::months::total;
use levee::metering::{Month, RecordState, Tally};
use serde_json::{Value, json};
use tests::{Answer, Stack, messages, wait_for};

/// Time before the end of the month at which calls begin, in seconds.
const BEFORE: u64 = 30;

async fn used(stack: &Stack, month: Month) -> Tally {
    total(&stack.months().read(stack.account_id(), month).await.unwrap())
}

#[tokio::test]
async fn calls_that_begin_in_a_months_last_seconds_and_end_in_the_next_month_count_where_they_began() {
    let stack = Stack::builder().environments("ai-proxy=4").only_primary().start().await;
    let (old, _) = Month::from_timestamp(stack.now());
    let (new, _) = Month::from_timestamp(old.ends_at());
    let mut streamed = messages("Happy new month!");
    streamed["stream"] = true.into();
    stack.advance(stack.now().until(old.ends_at()).as_secs() - BEFORE).await;

    // Begin before the end of the month: a whole call, a stream, one whose client leaves, and a call whose proxy will
    // be killed.
    stack.script("primary", json!({ "gap_ms": 500, "deltas": 6 })).await;
    let whole = tokio::spawn(stack.request("/v1/messages").json(&messages("Happy new month!")).send());
    let leaving = stack.send("/v1/messages", &streamed).await;
    let stream = stack.send("/v1/messages", &streamed).await;
    stack.wait_for_provider("primary", "in_flight", 3).await;
    stack.script("primary", json!({ "hang": true })).await;
    let hanging = tokio::spawn(stack.request("/v1/messages").json(&messages("Hello?")).send());
    stack.wait_for_provider("primary", "in_flight", 4).await;
    drop(leaving);
    assert_eq!(used(&stack, old).await, Tally::default());

    stack.advance(2 * BEFORE).await;
    assert_eq!(Answer::read(whole.await.unwrap().unwrap()).await.status, 200);
    assert_eq!(Answer::read(stream).await.events().last().unwrap().0, "message_stop");
    let is_one_busy = async || {
        let environments = stack.environments("ai-proxy").await;
        (environments.iter().filter(|it| it["state"] == "busy").count() == 1).then_some(())
    };
    wait_for(is_one_busy).await;
    let busy = stack.busy_environment("ai-proxy").await;
    stack.control("POST", &format!("/functions/ai-proxy/{busy}/kill"), Value::Null).await;
    assert_eq!(hanging.await.unwrap().unwrap().status(), 502);
    stack.reset("primary").await;
    assert_eq!(stack.call("/v1/messages", &messages("Hello")).await.status, 200);
    let next = stack.served("primary").await.pop().unwrap();

    stack.advance(3600).await;
    assert_eq!(stack.control("POST", "/monitor/run", Value::Null).await.status, 200);
    let records = stack.records().await;
    let count = |state: RecordState, month: Month| {
        let began = |started_at: Timestamp| (month.begins_at()..month.ends_at()).contains(&started_at);
        records.iter().filter(|it| it.state == state && began(it.call.started_at())).count()
    };
    assert_eq!(
        (count(RecordState::Closed, old), count(RecordState::Abandoned, old), count(RecordState::Closed, new)),
        (3, 1, 1)
    );
    let (before, after) = (used(&stack, old).await, used(&stack, new).await);
    assert_eq!((before.calls, before.estimated_calls, after.calls, after.estimated_calls), (4, 1, 1, 0));
    let served = |of: u64| i64::try_from(of).unwrap();
    assert_eq!((after.input, after.output), (served(next.figures.usage.input), served(next.figures.usage.output)));
    let added = records.iter().filter(|it| it.call.started_at() < old.ends_at());
    assert_eq!(before.output, added.map(|it| served(it.figures.usage.output)).sum::<i64>());
}
