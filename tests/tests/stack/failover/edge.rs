//! An edge in front of a provider that rejects calls: with the API's error, a shortened one, or an error of its own.

use rstest::rstest;
use serde_json::{Value, json};

use super::provider::{JSON, alone, answer, both, puppet};
use super::{call, course, undecided};

const SENTENCE: &str = "Request exceeds the maximum size";

fn short(kind: &str) -> String {
    json!({ "error": { "type": kind, "message": SENTENCE } }).to_string()
}

#[rstest]
#[case("413 Content Too Large", 413, "request_too_large")]
#[case("400 Bad Request", 400, "invalid_request_error")]
#[case("404 Not Found", 404, "not_found_error")]
#[case("409 Conflict", 409, "conflict_error")]
#[case("422 Unprocessable Content", 422, "invalid_request_error")]
#[tokio::test]
async fn an_error_without_its_outer_type_reaches_the_caller_at_once_in_the_full_envelope(
    #[case] line: &str,
    #[case] status: u16,
    #[case] kind: &str,
) {
    let (primary, backup) = (puppet().await, puppet().await);
    primary.says(&[&answer(line, JSON, &short(kind))]);
    let stack = undecided().env("AI_PROVIDERS", &both(&primary, &backup)).start().await;
    for is_streamed in [true, false] {
        let answer = call(&stack, is_streamed).await;
        assert_eq!((answer.status, course(&answer)), (status, ("primary", "1", "")), "{answer:?}");
        assert_eq!(answer.header("content-type"), "application/json");
        let body = answer.json();
        assert_eq!(body["type"], "error", "{answer:?}");
        assert_eq!(body["error"], json!({ "type": kind, "message": SENTENCE }), "{answer:?}");
        assert!(body["request_id"].as_str().is_some_and(|id| !id.is_empty()), "{answer:?}");
    }
    assert_eq!(backup.bodies().len(), 0);
}

#[tokio::test]
async fn an_error_of_the_api_is_told_as_json_whatever_its_head_says() {
    let only = puppet().await;
    let stack = undecided().env("AI_PROVIDERS", &alone(&only)).start().await;
    let error = json!({ "type": "error", "error": { "type": "invalid_request_error", "message": SENTENCE } });
    for kind in ["text/html", "application/octet-stream", "<odd>"] {
        only.says(&[&answer("400 Bad Request", kind, &error.to_string())]);
        let answer = call(&stack, false).await;
        assert_eq!((answer.status, answer.header("content-type")), (400, "application/json"), "{kind}");
        let told = answer.json();
        assert_eq!((&told["type"], &told["error"]), (&error["type"], &error["error"]), "{kind}");
    }
}

#[tokio::test]
async fn a_server_error_without_its_outer_type_keeps_its_status_and_its_sentence() {
    let only = puppet().await;
    only.says(&[&answer("529 Overloaded", JSON, &short("overloaded_error"))]);
    let stack = undecided().env("AI_PROVIDERS", &alone(&only)).start().await;
    let answer = call(&stack, false).await;
    assert_eq!((answer.status, &answer.json()["error"]["message"]), (529, &json!(SENTENCE)), "{answer:?}");
}

#[rstest]
#[case("400 Bad Request", 400, "invalid_request_error", "false")]
#[case("404 Not Found", 404, "not_found_error", "false")]
#[case("408 Request Timeout", 408, "timeout_error", "")]
#[case("413 Content Too Large", 413, "request_too_large", "false")]
#[case("414 URI Too Long", 414, "invalid_request_error", "false")]
#[case("429 Too Many Requests", 429, "rate_limit_error", "")]
#[case::unauthorized("401 Unauthorized", 502, "api_error", "false")]
#[case::forbidden("403 Forbidden", 502, "api_error", "false")]
#[tokio::test]
async fn a_call_that_an_edge_turns_away_without_an_error_of_the_api_is_told_once_by_its_status(
    #[case] line: &str,
    #[case] status: u16,
    #[case] kind: &str,
    #[case] should_retry: &str,
) {
    let only = puppet().await;
    let stack = undecided().env("AI_PROVIDERS", &alone(&only)).start().await;
    let bodies = ["<html>an edge</html>", "", "[]", r#"{"type":"error"}"#, r#"{"type":"error","error":{"type":"t"}}"#];
    for (place, body) in bodies.iter().enumerate() {
        only.says(&[&answer(line, "text/html", body)]);
        let answer = call(&stack, place == 1).await;
        assert_eq!((answer.status, answer.header("x-levee-attempts")), (status, "1"), "{body}: {answer:?}");
        assert_eq!(answer.header("x-should-retry"), should_retry, "{body}: {answer:?}");
        let told: Value = answer.json();
        assert_eq!((&told["type"], &told["error"]["type"]), (&json!("error"), &json!(kind)), "{body}: {answer:?}");
        assert!(!answer.text().contains("html"), "{answer:?}");
    }
    assert_eq!(only.bodies().len(), bodies.len());
}
