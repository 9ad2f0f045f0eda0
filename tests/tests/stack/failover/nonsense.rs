//! A primary whose answers are no answers of the API, or that cannot be reached at all.

use levee::metering::RecordState;
use serde_json::json;
use tests::event;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpSocket;

use super::provider::{
    JSON, STREAM, after_nobody, alone, answer, both, error_event, message, message_body, providers, puppet,
};
use super::{call, codes, course, hello, records, undecided};

/// Returns answers of the primary with the expected fallback reason, code and final state of the attempt's record.
fn nonsense(is_streamed: bool) -> Vec<(String, &'static str, &'static str, RecordState)> {
    let html = answer("500 Internal Server Error", "text/html", "<html>an edge</html>");
    let envelope = json!({ "type": "error", "error": { "type": "api_error", "message": "No" } }).to_string();
    let cut = "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 500\r\n\r\n{\"id\":";
    let mut all = vec![
        (html, "error", "provider.nonsense", RecordState::Void),
        (answer("302 Found", "text/html", ""), "error", "provider.nonsense", RecordState::Void),
        (answer("400 Bad Request", "text/html", "<html>"), "error", "provider.nonsense", RecordState::Void),
        (answer("403 Forbidden", "text/html", "<html>"), "error", "provider.nonsense", RecordState::Void),
        (String::new(), "unreachable", "provider.unreachable", RecordState::Closed),
        ("HTTP/1.1 200".to_owned(), "unreachable", "provider.unreachable", RecordState::Closed),
        ("SSH-2.0-garbage\r\n\r\n".to_owned(), "unreachable", "provider.unreachable", RecordState::Closed),
        (answer("200 OK", "text/html", "<html>"), "error", "provider.nonsense", RecordState::Closed),
        (answer("200 OK", JSON, ""), "error", "provider.nonsense", RecordState::Closed),
    ];
    // An error of the API means that nothing was used, and stands for its own status.
    let short = json!({ "error": { "type": "overloaded_error", "message": "No" } }).to_string();
    all.push((answer("200 OK", JSON, &envelope), "error", "provider.failed", RecordState::Void));
    all.push((answer("200 OK", JSON, &short), "overloaded", "provider.failed", RecordState::Void));
    let mistyped = |kind: &str| {
        (
            answer("200 OK", kind, &message_body("primary", is_streamed)),
            "error",
            "provider.nonsense",
            RecordState::Closed,
        )
    };
    if is_streamed {
        all.extend(["text/event-streamish", "text/event", "application/json"].map(mistyped));
        all.push((
            answer("200 OK", STREAM, &event("message_stop", &json!({ "type": "message_stop" }))),
            "error",
            "provider.nonsense",
            RecordState::Closed,
        ));
    } else {
        for body in
            ["[]", "[null]", "null", "{}", r#"{"type":"error"}"#, r#"{"object":"chat.completion","choices":[]}"#]
        {
            all.push((answer("200 OK", JSON, body), "error", "provider.nonsense", RecordState::Closed));
        }
        all.push((cut.to_owned(), "cut", "provider.cut", RecordState::Closed));
        return all;
    }
    let stream = |body: &str| answer("200 OK", STREAM, body);
    let start = event("message_start", &json!({ "type": "message_start", "message": { "id": "msg_primary" } }));
    let ping = event("ping", &json!({ "type": "ping" }));
    for body in [String::new(), "data: garbage\n\n".to_owned(), "\u{0}\u{1}".to_owned(), start.clone() + &ping] {
        all.push((stream(&body), "cut", "provider.cut", RecordState::Closed));
    }
    for (kind, reason) in
        [("overloaded_error", "overloaded"), ("rate_limit_error", "throttled"), ("api_error", "error")]
    {
        // The call was rejected before it was begun.
        all.push((stream(&error_event(kind)), reason, "provider.failed", RecordState::Void));
        all.push((
            stream(&(start.clone() + &ping + &error_event(kind))),
            reason,
            "provider.failed",
            RecordState::Closed,
        ));
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
        let first = ("primary".to_owned(), end, end == RecordState::Closed);
        let second = ("backup".to_owned(), RecordState::Closed, false);
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
async fn a_stream_is_known_by_its_media_type_however_that_is_written() {
    let only = puppet().await;
    let stack = undecided().env("AI_PROVIDERS", &alone(&only)).start().await;
    for kind in ["Text/Event-Stream", "text/event-stream;charset=utf-8", "text/event-stream ; charset=utf-8"] {
        only.says(&[&answer("200 OK", kind, &message_body("only", true))]);
        let answer = call(&stack, true).await;
        assert_eq!((answer.status, answer.text()), (200, message_body("only", true).as_str()), "{kind}");
    }
}

/// Starts a provider that answers each call after its head and closes the connection before the rest. Its buffers are
/// so small that most of a long call is unsent by then.
async fn hasty() -> String {
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(4_096).unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let listener = socket.listen(16).unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move {
        while let Ok((mut connection, _)) = listener.accept().await {
            let mut head = [0; 512];
            connection.read_exact(&mut head).await.unwrap();
            let refusal = "HTTP/1.1 413 Content Too Large\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";
            connection.write_all(refusal.as_bytes()).await.unwrap();
        }
    });
    url
}

#[tokio::test]
async fn a_provider_that_closes_the_connection_on_half_a_call_is_charged_nothing_for() {
    let stack = undecided().env("AI_PROVIDERS", &providers(&[&hasty().await, &hasty().await])).start().await;
    let mut long = hello(false);
    long["messages"][0]["content"] = "x".repeat(5_000_000).into();
    let answer = stack.call("/v1/messages", &long).await;
    assert!(matches!(answer.status, 413 | 502), "{answer:?}");
    let records = records(&stack, &answer).await;
    assert!(!records.is_empty() && records.iter().all(|(_, state, _)| *state == RecordState::Void), "{records:?}");
    assert_eq!(stack.month(stack.account_id()).await.input, 0);
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
        let first = ("primary".to_owned(), RecordState::Void, false);
        assert_eq!(records(&stack, &answer).await, [first, ("backup".to_owned(), RecordState::Closed, false)]);
    }
}
