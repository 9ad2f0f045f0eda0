use rstest::rstest;
use serde_json::{Value, json};

use super::*;

const NOW: Timestamp = Timestamp::from_secs(1_795_310_118);

/// Returns the kind and the sentence that a client gets in place of an `error` event with these lines of data.
fn told(data: &[&str]) -> (String, String) {
    let mut reader = StreamReader::default();
    let lines: String = data.iter().map(|line| format!("data: {line}\n")).collect();
    reader.feed(format!("event: error\nid: org_01\n{lines}\n").as_bytes());
    let event = event_instead(&reader, NOW, "r-1").unwrap();
    let told: Value = serde_json::from_str(event.strip_prefix("event: error\ndata: ").unwrap()).unwrap();
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let (kind, message) = (text(&told["error"]["type"]), text(&told["error"]["message"]));
    // Nothing but the kind and the sentence is from the provider.
    let whole = json!({ "type": "error", "error": { "type": kind, "message": message }, "request_id": "r-1" });
    assert_eq!(told, whole);
    (kind, message)
}

#[rstest]
#[case::credentials("authentication_error", "invalid x-api-key of organization acme", "api_error")]
#[case::bill("billing_error", "Your invoice is past due.", "api_error")]
#[case::credit(
    "invalid_request_error",
    "Your credit balance is too low to access the Anthropic API.",
    "overloaded_error"
)]
#[case::rate_limit(
    "rate_limit_error",
    "This request would exceed your organization's rate limit of 400,000 input tokens per minute.",
    "rate_limit_error"
)]
#[case::account(
    "rate_limit_error",
    "This request would exceed your account's rate limit. Please try again later.",
    "rate_limit_error"
)]
#[case::server("api_error", "Your workspace wrkspc_1 is being moved.", "api_error")]
#[case::overloaded("overloaded_error", "Overloaded for org-1", "overloaded_error")]
#[case::a_rejected_call("invalid_request_error", "Your organization has no access to it.", "invalid_request_error")]
fn an_event_about_the_platforms_account_is_neutral(#[case] kind: &str, #[case] message: &str, #[case] expected: &str) {
    let error = json!({ "type": "error", "error": { "type": kind, "message": message } }).to_string();
    // The lines of one event are joined, so the same error may come in two of them.
    let (first, second) = error.split_once(",\"").unwrap();
    let in_lines = [format!("{first},"), format!("\"{second}")];
    for data in [vec![error.as_str()], vec![&in_lines[0], &in_lines[1]]] {
        let (kind, told) = told(&data);
        assert_eq!(kind, expected, "{data:?}");
        assert!(told != message && !["rganization", "wrkspc", "org-1", "invoice"].iter().any(|it| told.contains(it)));
    }
}

#[rstest]
#[case::rate_limit("rate_limit_error", "Extra usage is required for long context requests.")]
#[case::overloaded("overloaded_error", "Overloaded")]
#[case::callers_own("invalid_request_error", "messages.0: 'organization' is not a role")]
#[case::not_found("not_found_error", "model: claude-x")]
#[case::a_new_kind("a_new_error", "New.")]
fn any_other_event_keeps_its_kind_and_its_sentence_and_nothing_else(#[case] kind: &str, #[case] message: &str) {
    let error = json!({
        "type": "error",
        "error": {
            "type": kind,
            "message": message,
            "details": { "organization_id": "org_01", "workspace": "Acme", "error_code": "c" },
            "param": "org_01",
        },
        "request_id": "req_011CeGphKfhi1XAd",
        "organization": "org_01",
    });
    assert_eq!(told(&[&error.to_string()]), (kind.to_owned(), message.to_owned()));
}

#[rstest]
#[case::a_text(&[r#"{"type":"error","error":"Overloaded"}"#], "Overloaded")]
#[case::a_text_about_the_account(&[r#"{"type":"error","error":"Your organization acme is limited."}"#], FAILED)]
#[case::a_text_in_two_lines(&[r#"{"type":"error","#, r#""error":"Your organization acme is limited."}"#], FAILED)]
#[case::another_text(&[r#"{"error":"wrkspc_1 is gone"}"#], FAILED)]
#[case::a_list(&[r#"{"type":"error","error":["organization acme"]}"#], FAILED)]
#[case::no_error(&[r#"{"type":"error","message":"organization acme"}"#], FAILED)]
#[case::no_json(&["Your organization acme is limited."], FAILED)]
#[case::cut_within_a_text(&[r#"{"type":"error","error":{"type":"api_error","message":"organization"#, r#"acme"}}"#], FAILED)]
#[case::an_odd_kind(&[r#"{"type":"error","error":{"type":"org_01AbCd","message":"No"}}"#], "No")]
fn an_event_of_another_shape_has_the_same_shape_for_clients(#[case] data: &[&str], #[case] sentence: &str) {
    assert_eq!(told(data), ("api_error".to_owned(), sentence.to_owned()));
}

#[test]
fn a_sentence_that_is_too_long_to_be_judged_is_replaced() {
    let message = format!("{} organization acme", "m".repeat(4_000));
    let error = json!({ "type": "error", "error": { "type": "overloaded_error", "message": message } });
    assert_eq!(told(&[&error.to_string()]), ("overloaded_error".to_owned(), FAILED.to_owned()));
}

#[test]
fn text_in_place_of_an_error_tells_a_spent_budget_too() {
    let text = "You have reached your specified API usage limits. You will regain access on 2026-12-01 at 00:00 UTC.";
    let (kind, told) = told(&[&json!({ "type": "error", "error": text }).to_string()]);
    assert_eq!((kind.as_str(), told.contains("regain")), ("overloaded_error", false));
}

#[test]
fn a_stream_without_an_error_has_no_event_instead() {
    let mut reader = StreamReader::default();
    reader.feed(b"event: message_stop\ndata: {\"type\":\"message_stop\"}\n\n");
    assert_eq!(event_instead(&reader, NOW, "r-1"), None);
}
