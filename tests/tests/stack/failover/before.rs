//! Before the first content: whatever the primary does wrong, the client gets only the backup's answer.

use std::collections::HashMap;

use levee::metering::RecordState;
use serde_json::{Value, json};
use tests::Stack;

use super::{call, codes, course, hello, id, records, seen, status, undecided};

/// A failure of the primary and its expected effects.
struct Wrong {
    script: Value,
    reason: &'static str,
    code: &'static str,
    /// Final state of the attempt's record.
    end: RecordState,
}

fn wrongs(is_streamed: bool) -> Vec<Wrong> {
    let wrong = |script: Value, reason, code, end| Wrong { script, reason, code, end };
    let refused = |status: u16| wrong(json!({ "status": status }), "refused", "provider.refused", RecordState::Void);
    let mut wrongs = vec![
        wrong(status(500), "error", "provider.failed", RecordState::Void),
        wrong(status(503), "error", "provider.failed", RecordState::Void),
        wrong(status(529), "overloaded", "provider.failed", RecordState::Void),
        wrong(status(429), "throttled", "provider.limited", RecordState::Void),
        refused(401),
        wrong(status(402), "spent", "provider.unpaid", RecordState::Void),
        refused(403),
        wrong(json!({ "hang": "headers" }), "timeout", "provider.timeout", RecordState::Closed),
        wrong(json!({ "hang": "first_token" }), "timeout", "provider.timeout", RecordState::Closed),
        wrong(json!({ "cut_after": 0 }), "cut", "provider.cut", RecordState::Closed),
    ];
    if is_streamed {
        let script = json!({ "error_event_after": 0 });
        wrongs.push(wrong(script, "overloaded", "provider.failed", RecordState::Closed));
    }
    wrongs
}

async fn the_backup_takes_over(is_streamed: bool) {
    let stack = undecided().start().await;
    let expected = stack.direct("backup", "/v1/messages", &hello(is_streamed)).await;
    for Wrong { script, reason, code, end } in wrongs(is_streamed) {
        stack.reset("primary").await;
        stack.script("primary", script.clone()).await;
        let before = stack.month(stack.account_id()).await;
        let answer = call(&stack, is_streamed).await;

        assert_eq!(answer.status, 200, "{script}: {answer:?}");
        assert_eq!(answer.body, expected.body, "{script}");
        for name in ["content-type", "request-id"] {
            assert_eq!(answer.header(name), expected.header(name), "{script}");
        }
        assert_eq!(course(&answer), ("backup", "2", reason), "{script}");
        assert!(answer.header("x-levee-overhead-ms").parse::<f64>().is_ok_and(|overhead| overhead >= 0.0));
        assert!(codes(&stack, &answer).iter().any(|it| it == code), "{script}: {:?}", codes(&stack, &answer));

        let event = stack.wide_event("ai-proxy", id(&answer)).await;
        let about = ["Provider", "attempts", "fallback.reason", "outcome"].map(|name| event[name].clone());
        assert_eq!(about, [json!("backup"), json!(2), json!(reason), json!("ok")], "{script}: {event}");
        assert_eq!((&event["Fallbacks"], &event["ProviderErrors"]), (&json!(1), &json!(0)), "{script}: {event}");
        assert_eq!(event["estimated"], 0, "{script}: {event}");

        let first = ("primary".to_owned(), end, end == RecordState::Closed);
        let second = ("backup".to_owned(), RecordState::Closed, false);
        assert_eq!(records(&stack, &answer).await, [first, second], "{script}");
        assert_counted_once(&stack, &before, &answer, end == RecordState::Closed).await;
    }
}

/// Asserts that the call's usage is in the sums once, together with the estimate for the first attempt.
async fn assert_counted_once(stack: &Stack, before: &tests::Month, answer: &tests::Answer, is_estimated: bool) {
    let after = stack.month(stack.account_id()).await;
    let estimated = u64::from(is_estimated);
    assert_eq!((after.calls - before.calls, after.estimated_calls - before.estimated_calls), (1, estimated));
    assert_eq!(after.further_attempts - before.further_attempts, estimated);
    let all = stack.records().await.into_iter().filter(|record| record.call.request_id == id(answer));
    let by_attempt: HashMap<u32, u64> = all.map(|it| (it.call.attempt, it.figures.usage.output)).collect();
    assert!(by_attempt[&2] > 0);
    assert_eq!(after.output - before.output, by_attempt.values().sum::<u64>());
}

#[tokio::test]
async fn whatever_the_primary_does_wrong_with_a_stream_the_backup_streams_it_byte_for_byte() {
    the_backup_takes_over(true).await;
}

#[tokio::test]
async fn whatever_the_primary_does_wrong_with_a_call_the_backup_answers_it_byte_for_byte() {
    the_backup_takes_over(false).await;
}

#[tokio::test]
async fn an_attempt_counts_once_for_its_provider() {
    let stack = undecided().start().await;
    for (number, is_streamed) in (1..).zip([true, false]) {
        stack.script("primary", status(500)).await;
        assert_eq!(call(&stack, is_streamed).await.status, 200);
        let (primary, backup) = (seen(&stack, "primary").await, seen(&stack, "backup").await);
        assert_eq!((primary.good, primary.bad, primary.on_time), (0, number, 0));
        assert_eq!((backup.good, backup.bad, backup.on_time), (number, 0, number));
    }
    // Rejected credentials do not count for or against a provider.
    stack.script("primary", status(401)).await;
    assert_eq!(call(&stack, false).await.status, 200);
    let primary = seen(&stack, "primary").await;
    assert_eq!((primary.good, primary.bad, primary.throttled), (0, 2, 0));
    stack.script("primary", status(429)).await;
    assert_eq!(call(&stack, false).await.status, 200);
    let primary = seen(&stack, "primary").await;
    assert_eq!((primary.good, primary.bad, primary.throttled), (0, 2, 1));
}

#[tokio::test]
async fn token_counts_and_models_come_from_the_backup_too() {
    let stack = undecided().start().await;
    stack.script("primary", status(500)).await;
    let counted = stack.call("/v1/messages/count_tokens", &hello(false)).await;
    assert_eq!((counted.status, course(&counted)), (200, ("backup", "2", "error")), "{counted:?}");
    let models = stack.get("/v1/models?limit=1").await;
    assert_eq!((models.status, course(&models)), (200, ("backup", "2", "error")), "{models:?}");
    // The breaker is not affected by either.
    assert_eq!(seen(&stack, "primary").await.bad, 0);
}

#[tokio::test]
async fn nothing_of_a_prompt_is_logged_however_many_providers_have_seen_it() {
    let stack = undecided().start().await;
    let mut said = hello(true);
    said["messages"][0]["content"] = "the-secret-of-the-levee".into();
    said["metadata"] = json!({ "user_id": "the-user-of-the-levee" });
    for script in [status(500), json!({ "hang": "first_token" }), json!({ "cut_after": 0 })] {
        stack.reset("primary").await;
        stack.script("primary", script).await;
        let request = stack.request("/v1/messages").header("x-levee-session", "the-session-of-the-levee").json(&said);
        assert_eq!(request.send().await.unwrap().status(), 200);
    }
    let sent = stack.provider("backup").await["last_request"]["headers"].to_string();
    assert!(!sent.contains("the-session-of-the-levee"), "{sent}");
    let (output, rows) = (stack.output(), stack.rows().await.concat());
    assert!(!output.contains("of-the-levee") && !rows.contains("of-the-levee"));
}
