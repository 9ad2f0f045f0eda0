//! Alerts: raised once by the first environment, sent once, in bounded numbers, and never lost.

#![expect(clippy::unwrap_used, reason = "helpers of tests are tests")]

use std::sync::Mutex;
use std::time::Duration;

use levee::alerts::{Alert, Alerts, Delivery, Message, PER_HOUR, PublishError, Publisher};
use levee::breaker::{
    BreakerState, BreakersTable, Grounds, ManualOverride, Mode, Reason, Share, Transition, Wrote, apply,
};
use levee::clock::{Clock, Timestamp};
use serde_json::{Value, json};
use tests::{Answer, Stack, messages, wait_for};

/// Ten minutes past an hour; time of alerts that only the test delivers.
const NOW: Timestamp = Timestamp::from_secs(1_795_309_800);
const COOL_DOWN: Duration = Duration::from_secs(3600);

/// Starts a stack whose own monitor does not use the table of alerts.
async fn quiet_stack() -> Stack {
    Stack::builder().env("ALERTS_TABLE", "Nowhere").start().await
}

fn alerts(stack: &Stack) -> Alerts {
    Alerts::new(stack.dynamodb(), "Alerts")
}

fn alert(key: &str) -> Alert {
    let (title, detail) = (format!("Something about {key}"), "See http://example.com.".to_owned());
    Alert { key: key.to_owned(), title, detail, cool_down: COOL_DOWN }
}

/// Raises the alerts `numbers`, one second apart, from `start` on.
async fn raise(alerts: &Alerts, numbers: std::ops::Range<u64>, start: Timestamp) {
    for number in numbers {
        let now = start.plus(Duration::from_secs(number));
        assert!(alerts.raise(&alert(&format!("n{number:02}")), now).await.unwrap());
    }
}

/// A publisher that records messages, and fails after a number of them.
struct Listener {
    heard: Mutex<Vec<String>>,
    fails_after: usize,
}

impl Listener {
    fn new(fails_after: usize) -> Self {
        Self { heard: Mutex::default(), fails_after }
    }

    fn subjects(&self) -> Vec<String> {
        self.heard.lock().unwrap().clone()
    }
}

impl Publisher for Listener {
    async fn publish(&self, message: &Message) -> Result<(), PublishError> {
        let mut heard = self.heard.lock().unwrap();
        if heard.len() == self.fails_after {
            return Err(PublishError("nobody listens".to_owned()));
        }
        heard.push(message.subject().to_owned());
        Ok(())
    }
}

fn subjects(numbers: std::ops::Range<u64>) -> Vec<String> {
    numbers.map(|number| format!("Levee: Something about n{number:02}")).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn of_eight_that_raise_one_alert_at_once_one_is_first_and_seven_only_count_up() {
    let stack = quiet_stack().await;
    let mut racing = tokio::task::JoinSet::new();
    for _ in 0..8 {
        let alerts = alerts(&stack);
        racing.spawn(async move { alerts.raise(&alert("race"), NOW).await.unwrap() });
    }
    let first = racing.join_all().await.into_iter().filter(|first| *first).count();
    assert_eq!(first, 1);
    let recent = alerts(&stack).recent(10, NOW).await.unwrap();
    assert_eq!((recent.len(), recent[0].repeats, recent[0].sent_at), (1, 7, None));

    let listener = Listener::new(usize::MAX);
    alerts(&stack).deliver(&listener, NOW).await.unwrap();
    assert_eq!(listener.subjects(), ["Levee: Something about race"]);
}

#[tokio::test]
async fn an_alert_is_raised_again_when_it_has_cooled_down_and_the_newest_come_first() {
    let stack = quiet_stack().await;
    let alerts = alerts(&stack);
    let just_before = Timestamp::from_millis(NOW.plus(COOL_DOWN).as_millis() - 1);
    assert!(alerts.raise(&alert("a"), NOW).await.unwrap());
    assert!(!alerts.raise(&alert("a"), just_before).await.unwrap());
    assert!(alerts.raise(&alert("b"), just_before).await.unwrap(), "another alert");
    assert!(alerts.raise(&alert("a"), NOW.plus(COOL_DOWN)).await.unwrap());

    let now = NOW.plus(COOL_DOWN);
    let recent = alerts.recent(10, now).await.unwrap();
    let found: Vec<_> = recent.iter().map(|it| (it.key.as_str(), it.raised_at, it.repeats)).collect();
    let (first_at, again_at) = (NOW.as_secs(), now.as_secs());
    assert_eq!(found, [("a", again_at, 0), ("b", again_at - 1, 0), ("a", first_at, 1)]);
    assert_eq!(recent[0].detail, "See hxxp://example[.]com.");
    assert_eq!(alerts.recent(2, now).await.unwrap(), recent[..2]);
    let in_ninety_days = NOW.plus(Duration::from_secs(90 * 24 * 3600 + 1));
    assert_eq!(alerts.recent(10, in_ninety_days).await.unwrap(), recent[..2], "the oldest is too old");
}

#[tokio::test]
async fn above_ten_in_an_hour_alerts_are_held_and_go_out_as_one_digest_when_it_is_over() {
    let stack = quiet_stack().await;
    let alerts = alerts(&stack);
    let listener = Listener::new(usize::MAX);
    raise(&alerts, 0..4, NOW).await;
    let delivery = alerts.deliver(&listener, NOW).await.unwrap();
    assert_eq!(delivery, Delivery { sent: 4, ..Delivery::default() });
    raise(&alerts, 4..60, NOW).await;
    let delivery = alerts.deliver(&listener, NOW).await.unwrap();
    assert_eq!(delivery, Delivery { sent: PER_HOUR - 4, waiting: 50, ..Delivery::default() });
    raise(&alerts, 60..61, NOW).await;
    let delivery = alerts.deliver(&listener, NOW).await.unwrap();
    assert_eq!(delivery, Delivery { waiting: 51, ..Delivery::default() }, "the hour is not over");
    assert_eq!(listener.subjects(), subjects(0..10));

    let next_hour = NOW.plus(COOL_DOWN);
    assert!(alerts.raise(&alert("n99"), next_hour).await.unwrap());
    let delivery = alerts.deliver(&listener, next_hour).await.unwrap();
    assert_eq!(delivery, Delivery { sent: 1, digested: 51, ..Delivery::default() });
    assert_eq!(listener.subjects()[10..], ["Levee: 51 more alerts", "Levee: Something about n99"]);
    assert_eq!(alerts.deliver(&listener, next_hour).await.unwrap(), Delivery::default());

    let recent = alerts.recent(100, next_hour).await.unwrap();
    let sent = |at: Timestamp| recent.iter().filter(|alert| alert.sent_at == Some(at.as_secs())).count();
    assert_eq!((recent.len(), sent(NOW), sent(next_hour)), (62, 10, 52));
}

#[tokio::test]
async fn what_cannot_be_published_waits_for_the_next_delivery_in_order() {
    let stack = quiet_stack().await;
    let alerts = alerts(&stack);
    raise(&alerts, 0..4, NOW).await;
    let deaf = Listener::new(1);
    let delivery = alerts.deliver(&deaf, NOW).await.unwrap();
    let failure = Some(PublishError("nobody listens".to_owned()));
    assert_eq!(delivery, Delivery { sent: 1, waiting: 3, failure, ..Delivery::default() });
    assert_eq!(deaf.subjects(), subjects(0..1));

    // Alerts that wait after a failure do not go into a digest, neither in this hour nor in a later one.
    let listener = Listener::new(usize::MAX);
    let delivery = alerts.deliver(&listener, NOW.plus(COOL_DOWN * 2)).await.unwrap();
    assert_eq!(delivery, Delivery { sent: 3, ..Delivery::default() });
    assert_eq!(listener.subjects(), subjects(1..4));
}

/// A publisher that stops DynamoDB after publishing, before the delivery can be recorded.
struct Crash<'a>(&'a Stack, Listener);

impl Publisher for Crash<'_> {
    async fn publish(&self, message: &Message) -> Result<(), PublishError> {
        self.1.publish(message).await?;
        let answer = self.0.control("POST", "/dynamodb/stop", Value::Null).await;
        assert_eq!(answer.status, 200, "{answer:?}");
        Ok(())
    }
}

#[tokio::test]
async fn a_crash_after_publishing_repeats_that_one_message_and_loses_none() {
    let stack = quiet_stack().await;
    let alerts = alerts(&stack);
    raise(&alerts, 0..3, NOW).await;
    let crash = Crash(&stack, Listener::new(usize::MAX));
    alerts.deliver(&crash, NOW).await.unwrap_err();
    assert_eq!(crash.1.subjects(), subjects(0..1));
    stack.control("POST", "/dynamodb/start", Value::Null).await;

    let listener = Listener::new(usize::MAX);
    alerts.deliver(&listener, NOW).await.unwrap();
    assert_eq!(listener.subjects(), subjects(0..3));
    assert_eq!(alerts.deliver(&listener, NOW).await.unwrap(), Delivery::default());
}

fn a_minute_ago() -> Timestamp {
    Timestamp::from_secs(Clock::system().now().as_secs() - 60)
}

async fn run_monitor(stack: &Stack) -> Answer {
    stack.control("POST", "/monitor/run", Value::Null).await
}

/// Returns subject and message of everything that SNS has received.
async fn published(stack: &Stack) -> Vec<(String, String)> {
    let shown = stack.control("GET", "/alerts", Value::Null).await.json();
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let messages = shown["messages"].as_array().unwrap();
    messages.iter().map(|it| (text(&it["subject"]), text(&it["message"]))).collect()
}

#[tokio::test]
async fn when_redis_is_gone_somebody_is_told_once() {
    let stack = Stack::builder().start().await;
    stack.control("POST", "/redis/stop", Value::Null).await;
    // On a busy machine the breadcrumb may only be written with a later call.
    wait_for(async || {
        assert_eq!(stack.call("/v1/messages", &messages("Hello")).await.status, 200);
        assert_eq!(run_monitor(&stack).await.status, 200);
        (!published(&stack).await.is_empty()).then_some(())
    })
    .await;
    let answer = run_monitor(&stack).await;
    let summary: Value = serde_json::from_str(answer.json()["answer"].as_str().unwrap()).unwrap();
    assert_eq!((&summary["raised"], &summary["sent"], &summary["waiting"]), (&json!(0), &json!(0), &json!(0)));

    let published = published(&stack).await;
    let [(subject, message)] = &published[..] else { panic!("{published:?}") };
    assert_eq!(subject, "Levee: Limits are not enforced: Redis cannot be reached");
    // Each function that uses Redis detects the outage by itself, so their number depends on timing.
    for part in [
        "What: redis[.]gone\n",
        "Raised: once\n",
        ", first at 20",
        ": Redis is unavailable; requests pass: ",
        "ElastiCache",
        "/admin",
    ] {
        assert!(message.contains(part), "{part} is not in:\n{message}");
    }
    let recent = alerts(&stack).recent(10, Clock::system().now()).await.unwrap();
    assert_eq!((recent.len(), recent[0].key.as_str(), recent[0].sent_at.is_some()), (1, "redis.gone", true));
}

#[tokio::test]
async fn when_a_provider_gets_no_calls_or_is_held_for_long_somebody_is_told_once() {
    let stack = Stack::builder().start().await;
    let breakers = BreakersTable::new(stack.dynamodb(), "Breakers");
    let since = a_minute_ago().minus(Duration::from_secs(5));
    let opened = BreakerState {
        generation: 1,
        mode: Mode::Open,
        share: Share::NONE,
        since,
        not_before: since.plus(Duration::from_secs(90)),
        reason: Reason::Stalling,
        ..BreakerState::new()
    };
    let opened = Transition::new("primary", &BreakerState::new(), opened, Grounds::default(), "an environment");
    assert_eq!(breakers.write(&opened, &BreakerState::new()).await.unwrap(), Wrote::Now);
    let (since, lasts) = (since.minus(Duration::from_secs(24 * 3600)), Duration::from_secs(7 * 24 * 3600));
    apply(&breakers, "backup", ManualOverride::Hold { share: Share::ALL, lasts }, "cli:ada", since).await.unwrap();
    for _ in 0..2 {
        assert_eq!(run_monitor(&stack).await.status, 200);
    }
    let mut published = published(&stack).await;
    published.sort();
    let [(open, why), (held, how)] = &published[..] else { panic!("{published:?}") };
    assert_eq!(open, "Levee: An AI provider gets no calls for more than a minute: primary");
    assert!(why.contains(": stalling\n") && why.contains("levee breaker history primary"), "{why}");
    assert_eq!(held, "Levee: An AI provider is held by hand for more than a day: backup");
    assert!(how.contains("levee breaker release backup") && !how.contains("cli:ada"), "{how}");
}

#[tokio::test]
async fn when_passwords_are_guessed_somebody_is_told() {
    let stack = Stack::builder().env("LIMIT_LOGIN_PER_ADDRESS", "0").start().await;
    let mut browser = stack.browser();
    // The monitor reports a minute's count once the minute is over, in 15 seconds. It may end during the loop.
    stack.place_clock(60, 45).await;
    wait_for(async || {
        for _ in 0..31 {
            let answer = browser.sign_in(stack.viewer().0, "a guess like any other").await;
            assert!([401, 429].contains(&answer.status), "{answer:?}");
        }
        assert_eq!(run_monitor(&stack).await.status, 200);
        (!published(&stack).await.is_empty()).then_some(())
    })
    .await;
    let published = published(&stack).await;
    let [(subject, message)] = &published[..] else { panic!("{published:?}") };
    assert!(subject.contains("passwords are possibly being guessed"), "{subject}");
    assert!(message.contains("in health-api: ") && message.contains("levee admin unblock"), "{message}");
    assert!(!message.contains(stack.viewer().0), "{message}");
}

#[tokio::test]
async fn a_topic_that_fails_is_told_again_and_the_run_fails_meanwhile() {
    let stack = Stack::builder().start().await;
    raise(&alerts(&stack), 0..2, a_minute_ago()).await;
    stack.control("PUT", "/alerts", json!({ "fail": true })).await;
    let answer = run_monitor(&stack).await;
    assert_eq!(answer.status, 502, "{answer:?}");
    assert!(answer.text().contains("InternalError"), "{answer:?}");

    stack.control("PUT", "/alerts", json!({ "fail": false })).await;
    assert_eq!(run_monitor(&stack).await.status, 200);
    assert_eq!(run_monitor(&stack).await.status, 200);
    let subjects_published: Vec<_> = published(&stack).await.into_iter().map(|(subject, _)| subject).collect();
    assert_eq!(subjects_published, subjects(0..2));
}

#[tokio::test]
async fn a_monitor_that_cannot_read_errors_still_sends_what_waits_and_says_so() {
    let stack = Stack::builder().env("BREADCRUMBS_TABLE", "Nowhere").start().await;
    raise(&alerts(&stack), 0..1, a_minute_ago()).await;
    let answer = run_monitor(&stack).await;
    assert_eq!(answer.status, 502, "{answer:?}");
    assert!(answer.text().contains("the breadcrumbs table"), "{answer:?}");
    assert_eq!(published(&stack).await.len(), 1);
}

#[tokio::test]
async fn an_sns_of_the_developers_other_programs_gets_no_alert_of_this_stack() {
    let elsewhere = "http://127.0.0.1:1";
    let stack = Stack::builder().env("AWS_ENDPOINT_URL_SNS", elsewhere).start().await;
    raise(&alerts(&stack), 0..1, a_minute_ago()).await;
    assert_eq!(run_monitor(&stack).await.status, 200);
    assert_eq!(published(&stack).await.len(), 1);
}

#[tokio::test]
async fn a_topic_that_is_not_there_fails_the_run_with_the_name_of_the_error() {
    let stack = Stack::builder().env("ALERT_TOPIC_ARN", "arn:aws:sns:us-east-1:1:Gone").start().await;
    raise(&alerts(&stack), 0..1, a_minute_ago()).await;
    let answer = run_monitor(&stack).await;
    assert_eq!((answer.status, answer.text().contains("NotFound")), (502, true), "{answer:?}");
}
