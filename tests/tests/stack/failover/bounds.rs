//! Answers that exceed the bounds, and invalid statuses: none of them reaches a client.

use rstest::rstest;
use serde_json::json;
use tests::STREAM_HEAD;

use super::provider::{JSON, STREAM, alone, answer, both, message, message_body, puppet};
use super::{call, course, error, undecided};

const MIB: usize = 1024 * 1024;

/// Returns the answer `whole` with an additional header `name` of `bytes` bytes.
fn head_of(bytes: usize, name: &str, whole: &str) -> String {
    let (status, rest) = whole.split_once("\r\n").unwrap();
    format!("{status}\r\n{name}: {}\r\n{rest}", "x".repeat(bytes))
}

fn unbounded(is_streamed: bool) -> Vec<(&'static str, String)> {
    let ok = message("primary", is_streamed);
    let api_error = json!({ "type": "error", "error": { "type": "api_error", "message": "No" } }).to_string();
    let html = "<html>an edge</html>";
    let mut all = vec![
        ("80 kB in a header that passes", head_of(80_000, "request-id", &ok)),
        ("80 kB in a header that does not", head_of(80_000, "x-junk", &ok)),
        ("80 kB before an error", head_of(80_000, "request-id", &answer("400 Bad Request", JSON, &api_error))),
        ("999", answer("999 Odd", JSON, &api_error)),
        ("999 in HTML", answer("999 Odd", "text/html", html)),
        ("600", answer("600 Odd", JSON, &api_error)),
        ("302", answer("302 Found\r\nlocation: http://elsewhere.example/", JSON, &api_error)),
        ("307", answer("307 Temporary Redirect\r\nlocation: http://elsewhere.example/", JSON, &api_error)),
        ("304", answer("304 Not Modified", JSON, "")),
        ("an error of 2 MiB", answer("400 Bad Request", JSON, &format!("{}{api_error}", " ".repeat(2 * MIB)))),
    ];
    if is_streamed {
        let stream = |body: String| answer("200 OK", STREAM, &body);
        all.push(("comments without end", stream(": x\n\n".repeat(MIB / 4))));
        all.push(("one line without end", stream(format!("data: {}", "x".repeat(2 * MIB)))));
        all.push(("a name without end", stream(format!("event: {}", "x".repeat(2 * MIB)))));
        all.push(("no text at all", stream("\u{0}".repeat(2 * MIB))));
    }
    all
}

#[rstest]
#[tokio::test]
async fn an_answer_beyond_its_bounds_is_the_backups_turn(#[values(true, false)] is_streamed: bool) {
    let (primary, backup) = (puppet().await, puppet().await);
    backup.says(&[&message("backup", is_streamed)]);
    let stack = undecided().env("AI_PROVIDERS", &both(&primary, &backup)).start().await;
    for (what, said) in unbounded(is_streamed) {
        primary.says(&[&said]);
        let answer = call(&stack, is_streamed).await;
        assert_eq!((answer.status, course(&answer)), (200, ("backup", "2", "error")), "{what}: {answer:?}");
        assert_eq!(answer.text(), message_body("backup", is_streamed), "{what}");
    }
}

#[rstest]
#[tokio::test]
async fn an_answer_beyond_its_bounds_that_nobody_stands_in_for_is_an_error_of_the_api(
    #[values(true, false)] is_streamed: bool,
) {
    let only = puppet().await;
    let stack = undecided().env("AI_PROVIDERS", &alone(&only)).start().await;
    for (what, said) in unbounded(is_streamed) {
        only.says(&[&said]);
        let answer = call(&stack, is_streamed).await;
        assert_eq!((answer.status, error(&answer).0.as_str()), (502, "api_error"), "{what}: {answer:?}");
        assert_eq!((answer.header("location"), answer.header("x-levee-attempts")), ("", "1"), "{what}: {answer:?}");
        assert!(answer.json()["request_id"].is_string(), "{what}: {answer:?}");
    }
}

#[tokio::test]
async fn what_follows_the_last_event_of_a_stream_is_dropped() {
    let only = puppet().await;
    let stack = undecided().env("AI_PROVIDERS", &alone(&only)).start().await;
    let whole = message_body("primary", true);
    for more in
        ["event: ping\ndata: {\"type\":\"ping\"}\n\n", &message_body("other", true), ": bye\n\n", "<html>", "\n"]
    {
        only.says(&[&format!("{STREAM_HEAD}{whole}{more}")]);
        let answer = call(&stack, true).await;
        assert_eq!((answer.status, answer.text()), (200, whole.as_str()), "{more}");
    }
}
