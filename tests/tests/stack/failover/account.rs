//! The platform's own account at a provider: its trouble is no caller's.

use levee::breaker::{Mode, Reason};
use serde_json::json;

use super::breaker::subjects;
use super::provider::{JSON, alone, answer, both, message, puppet};
use super::{builder, call, codes, course, decision, error};

fn no_credit() -> String {
    let sentence = "Your credit balance is too low to access the Anthropic API. Please go to Plans & Billing to upgrade or \
                    purchase credits.";
    let body = json!({ "type": "error", "error": { "type": "invalid_request_error", "message": sentence } });
    answer("400 Bad Request", JSON, &body.to_string())
}

#[tokio::test]
async fn used_up_credit_is_the_backups_turn_and_pauses_the_primary_and_operators_are_told() {
    let (primary, backup) = (puppet().await, puppet().await);
    primary.says(&[&no_credit()]);
    let stack = builder().env("AI_PROVIDERS", &both(&primary, &backup)).start().await;
    for (is_streamed, expected) in [(false, ("backup", "2", "spent")), (true, ("backup", "1", "breaker-open"))] {
        backup.says(&[&message("backup", is_streamed)]);
        let answer = call(&stack, is_streamed).await;
        assert_eq!((answer.status, course(&answer)), (200, expected), "{answer:?}");
        assert_eq!(codes(&stack, &answer).iter().any(|code| code == "provider.unpaid"), !is_streamed);
    }
    assert_eq!(primary.bodies().len(), 1);
    let decided = decision(&stack, "primary").await;
    assert_eq!((decided.mode, decided.reason), (Mode::Open, Reason::Spent), "{decided:?}");
    let pause = stack.now().until(decided.not_before).as_secs();
    assert!((300..=600).contains(&pause), "paused for {pause} s");

    // Raised by the call; the monitor finds it in the outbox, and the breadcrumb of the same is no second one.
    subjects(&stack).await;
    let mut subjects = subjects(&stack).await;
    subjects.retain(|subject| subject.contains("credit"));
    assert_eq!(subjects.len(), 1, "{subjects:?}");
    assert!(subjects[0].contains("primary"), "{subjects:?}");
}

/// A stream of status 200 that opens with the error.
fn no_credit_in_a_stream() -> String {
    let (head, body) =
        no_credit().split_once("\r\n\r\n").map(|(head, body)| (head.to_owned(), body.to_owned())).unwrap();
    assert!(head.starts_with("HTTP/1.1 400"), "{head}");
    answer("200 OK", "text/event-stream", &format!("event: error\ndata: {body}\n\n"))
}

#[tokio::test]
async fn used_up_credit_that_a_stream_tells_of_is_the_backups_turn_too() {
    let (primary, backup) = (puppet().await, puppet().await);
    primary.says(&[&no_credit_in_a_stream()]);
    backup.says(&[&message("backup", true)]);
    let stack = builder().env("AI_PROVIDERS", &both(&primary, &backup)).start().await;
    let answer = call(&stack, true).await;
    assert_eq!((answer.status, course(&answer)), (200, ("backup", "2", "spent")), "{answer:?}");
    let decided = decision(&stack, "primary").await;
    assert_eq!((decided.mode, decided.reason), (Mode::Open, Reason::Spent), "{decided:?}");
}

#[tokio::test]
async fn used_up_credit_without_another_provider_is_told_in_neutral_words() {
    let only = puppet().await;
    only.says(&[&no_credit()]);
    let stack = builder().env("AI_PROVIDERS", &alone(&only)).start().await;
    for is_streamed in [false, true] {
        let answer = call(&stack, is_streamed).await;
        assert_eq!((answer.status, error(&answer).0.as_str()), (529, "overloaded_error"), "{answer:?}");
        assert!(!["credit", "Billing", "balance"].iter().any(|word| answer.text().contains(word)), "{answer:?}");
    }
}
