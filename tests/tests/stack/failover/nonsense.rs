//! A primary whose answers are no answers of the API, or that cannot be reached at all.

use levee::metering::State;
use serde_json::json;
use tests::event;

use super::provider::{JSON, STREAM, after_nobody, answer, both, error_event, message, message_body, puppet};
use super::{call, codes, course, records, undecided};

/// What the primary says, why that is no answer, and how the record of the attempt ends.
fn nonsense(is_streamed: bool) -> Vec<(String, &'static str, &'static str, State)> {
    let html = answer("500 Internal Server Error", "text/html", "<html>an edge</html>");
    let envelope = json!({ "type": "error", "error": { "type": "api_error", "message": "No" } }).to_string();
    let cut = "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 500\r\n\r\n{\"id\":";
    let mut all = vec![
        (html, "error", "provider.nonsense", State::Void),
        (answer("302 Found", "text/html", ""), "error", "provider.nonsense", State::Void),
        (answer("400 Bad Request", "text/html", "<html>"), "error", "provider.nonsense", State::Void),
        (answer("403 Forbidden", "text/html", "<html>"), "error", "provider.nonsense", State::Void),
        (String::new(), "unreachable", "provider.unreachable", State::Closed),
        ("HTTP/1.1 200".to_owned(), "unreachable", "provider.unreachable", State::Closed),
        ("SSH-2.0-garbage\r\n\r\n".to_owned(), "unreachable", "provider.unreachable", State::Closed),
        (answer("200 OK", "text/html", "<html>"), "error", "provider.nonsense", State::Closed),
        (answer("200 OK", JSON, &envelope), "error", "provider.nonsense", State::Closed),
        (answer("200 OK", JSON, ""), "error", "provider.nonsense", State::Closed),
    ];
    if !is_streamed {
        all.push((answer("200 OK", JSON, "[]"), "error", "provider.nonsense", State::Closed));
        all.push((cut.to_owned(), "cut", "provider.cut", State::Closed));
        return all;
    }
    let stream = |body: &str| answer("200 OK", STREAM, body);
    let start = event("message_start", &json!({ "type": "message_start", "message": { "id": "msg_primary" } }));
    let ping = event("ping", &json!({ "type": "ping" }));
    for body in [String::new(), "data: garbage\n\n".to_owned(), "\u{0}\u{1}".to_owned(), start.clone() + &ping] {
        all.push((stream(&body), "cut", "provider.cut", State::Closed));
    }
    for (kind, reason) in
        [("overloaded_error", "overloaded"), ("rate_limit_error", "throttled"), ("api_error", "error")]
    {
        // The call was refused before it was begun.
        all.push((stream(&error_event(kind)), reason, "provider.failed", State::Void));
        all.push((stream(&(start.clone() + &ping + &error_event(kind))), reason, "provider.failed", State::Closed));
    }
    all
}

async fn the_backup_takes_over(is_streamed: bool) {
    let (primary, backup) = (puppet().await, puppet().await);
    backup.says(&[&message("backup", is_streamed)]);
    let stack = undecided().env("AI_PROVIDERS", &both(&primary, &backup)).start().await;
    for (said, reason, code, end) in nonsense(is_streamed) {
        primary.says(&[&said]);
        let answer = call(&stack, is_streamed).await;
        assert_eq!((answer.status, course(&answer)), (200, ("backup", "2", reason)), "{said}: {answer:?}");
        assert_eq!(answer.text(), message_body("backup", is_streamed), "{said}");
        assert!(codes(&stack, &answer).iter().any(|it| it == code), "{said}: {:?}", codes(&stack, &answer));
        let first = ("primary".to_owned(), end, end == State::Closed);
        let second = ("backup".to_owned(), State::Closed, false);
        assert_eq!(records(&stack, &answer).await, [first, second], "{said}");
    }
}

#[tokio::test]
async fn a_stream_that_is_none_is_the_backups_turn() {
    the_backup_takes_over(true).await;
}

#[tokio::test]
async fn an_answer_that_is_none_is_the_backups_turn() {
    the_backup_takes_over(false).await;
}

#[tokio::test]
async fn a_port_that_nobody_listens_on_is_the_backups_turn_and_costs_nothing() {
    let backup = puppet().await;
    let stack = undecided().env("AI_PROVIDERS", &after_nobody(&backup)).start().await;
    for is_streamed in [true, false] {
        backup.says(&[&message("backup", is_streamed)]);
        let answer = call(&stack, is_streamed).await;
        assert_eq!((answer.status, course(&answer)), (200, ("backup", "2", "unreachable")), "{answer:?}");
        assert_eq!(answer.text(), message_body("backup", is_streamed));
        let first = ("primary".to_owned(), State::Void, false);
        assert_eq!(records(&stack, &answer).await, [first, ("backup".to_owned(), State::Closed, false)]);
    }
}
