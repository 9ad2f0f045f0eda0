//! Problems with the platform's own account at a provider are hidden from callers.

use levee::breaker::{Mode, Reason};
use rstest::rstest;
use serde_json::json;
use tests::event;

use super::breaker::subjects;
use super::provider::{JSON, STREAM, alone, answer, both, message, message_body, puppet};
use super::{builder, call, codes, course, decision, error, hello};

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

/// Returns a stream that has content before it ends with an error.
fn error_after_content(kind: &str, message: &str) -> String {
    let body = message_body("primary", true);
    let (begun, _) = body.split_once("event: message_delta").unwrap();
    let error = json!({ "type": "error", "error": { "type": kind, "message": message } });
    answer("200 OK", STREAM, &format!("{begun}{}", event("error", &error)))
}

#[rstest]
#[case::credit("invalid_request_error", NO_CREDIT, "overloaded_error", Some(Reason::Spent))]
#[case::budget("invalid_request_error", SPENT, "overloaded_error", Some(Reason::Spent))]
#[case::credentials("authentication_error", "invalid x-api-key of organization org-1", "api_error", None)]
#[case::rate_limit(
    "rate_limit_error",
    "Your organization org-1 has 400,000 tokens a minute.",
    "rate_limit_error",
    None
)]
#[tokio::test]
async fn an_error_about_the_platform_after_content_is_neutral_and_pauses_the_provider(
    #[case] kind: &str,
    #[case] message: &str,
    #[case] told: &str,
    #[case] reason: Option<Reason>,
) {
    let (primary, backup) = (puppet().await, puppet().await);
    primary.says(&[&error_after_content(kind, message)]);
    let stack = builder().env("AI_PROVIDERS", &both(&primary, &backup)).start().await;
    let answer = call(&stack, true).await;
    assert_eq!((answer.status, course(&answer)), (200, ("primary", "1", "")), "{answer:?}");
    let (begun, end) = answer.text().split_once("event: error\n").unwrap();
    assert!(begun.contains("content_block_stop") && end.contains(told), "{answer:?}");
    for word in ["credit", "Billing", "regain", "organization", "org-1", "x-api-key"] {
        assert!(!answer.text().contains(word), "{word}: {answer:?}");
    }
    if let Some(reason) = reason {
        let decided = decision(&stack, "primary").await;
        assert_eq!((decided.mode, decided.reason), (Mode::Open, reason), "{decided:?}");
    }
}

#[tokio::test]
async fn a_budget_that_a_stream_tells_after_its_start_pauses_the_provider_too() {
    let (primary, backup) = (puppet().await, puppet().await);
    let start = event("message_start", &json!({ "type": "message_start", "message": { "id": "msg_1" } }));
    let error = json!({ "type": "error", "error": { "type": "invalid_request_error", "message": NO_CREDIT } });
    primary.says(&[&answer("200 OK", STREAM, &format!("{start}{}", event("error", &error)))]);
    backup.says(&[&message("backup", true)]);
    let stack = builder().env("AI_PROVIDERS", &both(&primary, &backup)).start().await;
    for expected in [("backup", "2", "spent"), ("backup", "1", "breaker-open")] {
        let answer = call(&stack, true).await;
        assert_eq!((answer.status, course(&answer)), (200, expected), "{answer:?}");
    }
    assert_eq!(primary.bodies().len(), 1);
}

#[rstest]
#[case::credit_under_200("200 OK", "invalid_request_error", NO_CREDIT, 529)]
#[case::credit_under_500("500 Internal Server Error", "api_error", NO_CREDIT, 529)]
#[case::bill("400 Bad Request", "billing_error", "Your invoice of $900 is past due: Billing.", 502)]
#[case::rate_limit("429 Too Many Requests", "rate_limit_error", "Your organization org-1 has a limit of 7.", 429)]
#[tokio::test]
async fn nothing_of_the_platforms_account_reaches_a_customer(
    #[case] line: &str,
    #[case] kind: &str,
    #[case] message: &str,
    #[case] status: u16,
) {
    let only = puppet().await;
    let error = json!({ "type": "error", "error": { "type": kind, "message": message } });
    only.says(&[&answer(line, JSON, &error.to_string())]);
    let stack = builder().env("AI_PROVIDERS", &alone(&only)).start().await;
    let count = stack.call("/v1/messages/count_tokens", &hello(false)).await;
    for answer in [call(&stack, false).await, call(&stack, true).await, count] {
        // From the second call on the provider may be paused.
        assert!(answer.status == status || answer.status == 529, "{answer:?}");
        for word in ["credit", "Billing", "invoice", "organization", "org-1"] {
            assert!(!answer.text().contains(word), "{word}: {answer:?}");
        }
    }
}

#[rstest]
#[case::callers_mistake("400 Bad Request", "invalid_request_error", 400)]
#[case::unknown_model("404 Not Found", "not_found_error", 404)]
#[case::too_large("413 Content Too Large", "request_too_large", 413)]
#[case::rate_limit("429 Too Many Requests", "rate_limit_error", 429)]
#[case::server("500 Internal Server Error", "api_error", 500)]
#[case::under_a_success("200 OK", "invalid_request_error", 400)]
#[tokio::test]
async fn of_an_error_only_its_kind_and_its_sentence_reach_a_customer(
    #[case] line: &str,
    #[case] kind: &str,
    #[case] status: u16,
) {
    let only = puppet().await;
    let error = json!({
        "type": "error",
        "error": {
            "type": kind,
            "message": "No (req_011CeGphKfhi1XAd).",
            "details": { "organization_id": "org_01", "workspace": "Acme", "error_code": "c" },
            "param": "org_01",
        },
        "request_id": "req_011CeGphKfhi1XAd",
        "organization": "org_01",
    });
    let stack = builder().env("AI_PROVIDERS", &alone(&only)).start().await;
    let told = json!({ "type": kind, "message": "No (…)." });
    // Whole, and as the event that ends a stream.
    only.says(&[&answer(line, JSON, &error.to_string())]);
    let refused = call(&stack, false).await;
    assert_eq!((refused.status, &refused.json()["error"]), (status, &told), "{refused:?}");
    let body = message_body("primary", true);
    let (begun, _) = body.split_once("event: message_delta").unwrap();
    only.says(&[&answer("200 OK", STREAM, &format!("{begun}{}", event("error", &error)))]);
    let cut = call(&stack, true).await;
    let (name, data) = cut.events().pop().unwrap();
    assert_eq!((name.as_str(), &data["error"]), ("error", &told), "{cut:?}");
    for answer in [refused, cut] {
        let text = answer.text();
        assert!(!["org_01", "Acme", "req_011", "details"].iter().any(|word| text.contains(word)), "{answer:?}");
    }
}

#[rstest]
#[case::a_text(r#"{"type":"error","error":"Your organization org-1 is limited."}"#)]
#[case::two_lines(
    "{\"type\":\"error\",\"error\":{\"type\":\"rate_limit_error\",\ndata: \"message\":\"Your organization org-1 is limited.\"}}"
)]
#[case::no_json("Your organization org-1 is limited.")]
#[tokio::test]
async fn an_error_event_of_any_shape_is_neutral_about_the_platform(#[case] data: &str) {
    let only = puppet().await;
    let body = message_body("primary", true);
    let (begun, _) = body.split_once("event: message_delta").unwrap();
    only.says(&[&answer("200 OK", STREAM, &format!("{begun}event: error\ndata: {data}\n\n"))]);
    let stack = builder().env("AI_PROVIDERS", &alone(&only)).start().await;
    let answer = call(&stack, true).await;
    let (name, data) = answer.events().pop().unwrap();
    assert_eq!((name.as_str(), &data["type"]), ("error", &json!("error")), "{answer:?}");
    assert!(data["error"]["message"].as_str().is_some_and(|message| message.contains("AI provider")), "{answer:?}");
    assert!(!answer.text().contains("org-1"), "{answer:?}");
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
