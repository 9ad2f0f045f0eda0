//! Problems with the platform's own account at a provider are hidden from callers.

use levee::breaker::{Mode, Reason};
use rstest::rstest;
use serde_json::json;
use tests::event;

use super::breaker::subjects;
use super::provider::{JSON, STREAM, alone, answer, both, message, puppet};
use super::{builder, call, codes, course, decision, error};

const NO_CREDIT: &str = "Your credit balance is too low to access the Anthropic API. Please go to Plans & Billing to upgrade or \
                         purchase credits.";
const SPENT: &str =
    "You have reached your specified API usage limits. You will regain access on 2099-01-01 at 00:00 UTC.";

fn no_credit() -> String {
    let body = json!({ "type": "error", "error": { "type": "invalid_request_error", "message": NO_CREDIT } });
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

    // The call raised the alert; the monitor finds it in the outbox, and the breadcrumb does not raise a second one.
    subjects(&stack).await;
    let mut subjects = subjects(&stack).await;
    subjects.retain(|subject| subject.contains("credit"));
    assert_eq!(subjects.len(), 1, "{subjects:?}");
    assert!(subjects[0].contains("primary"), "{subjects:?}");
}

/// Returns a stream of status 200 that opens with an error of this message and code.
fn error_in_a_stream(message: &str, code: Option<&str>) -> String {
    let error = json!({ "type": "invalid_request_error", "message": message, "details": { "error_code": code } });
    answer("200 OK", STREAM, &event("error", &json!({ "type": "error", "error": error })))
}

#[rstest]
#[case::credit(NO_CREDIT, None)]
#[case::the_customers_own_limit(SPENT, None)]
#[case::the_platforms_limit("The limit is reached.", Some("enforced_spend_limit_reached"))]
#[tokio::test]
async fn a_budget_that_a_stream_tells_is_used_up_is_the_backups_turn_too(
    #[case] message_of_error: &str,
    #[case] code: Option<&str>,
) {
    let (primary, backup) = (puppet().await, puppet().await);
    primary.says(&[&error_in_a_stream(message_of_error, code)]);
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
