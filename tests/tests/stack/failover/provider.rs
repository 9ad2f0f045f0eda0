//! Providers with scripted answers.

use serde_json::json;
use tests::{Scripted, event};

pub const STREAM: &str = "text/event-stream";
pub const JSON: &str = "application/json";

/// Starts a provider without answers.
pub async fn puppet() -> Scripted {
    Scripted::start(Vec::new()).await
}

/// Returns an `AI_PROVIDERS` with `primary` and, for two addresses, `backup`.
pub fn providers(urls: &[&str]) -> String {
    let one =
        |(url, name): (&&str, &str)| json!({ "name": name, "kind": "anthropic", "base_url": url, "api_key": "sk-x" });
    json!(urls.iter().zip(["primary", "backup"]).map(one).collect::<Vec<_>>()).to_string()
}

pub fn both(primary: &Scripted, backup: &Scripted) -> String {
    providers(&[&primary.url, &backup.url])
}

pub fn alone(only: &Scripted) -> String {
    providers(&[&only.url])
}

pub fn after_nobody(backup: &Scripted) -> String {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    providers(&[&format!("http://{}", listener.local_addr().unwrap()), &backup.url])
}

/// Returns an answer with its content length.
pub fn answer(status: &str, kind: &str, body: &str) -> String {
    let length = body.len();
    format!("HTTP/1.1 {status}\r\ncontent-type: {kind}\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n{body}")
}

/// Returns a successful answer: a message of the provider `name`.
pub fn message(name: &str, is_streamed: bool) -> String {
    let (kind, body) = (if is_streamed { STREAM } else { JSON }, message_body(name, is_streamed));
    answer("200 OK", kind, &body)
}

/// Returns the body of [`message`].
pub fn message_body(name: &str, is_streamed: bool) -> String {
    let usage = json!({ "input_tokens": 7, "output_tokens": 9 });
    let message = json!({ "id": format!("msg_{name}"), "type": "message", "content": [], "usage": usage });
    if !is_streamed {
        return message.to_string();
    }
    [
        event("message_start", &json!({ "type": "message_start", "message": message })),
        event("content_block_start", &json!({ "type": "content_block_start", "index": 0 })),
        event("content_block_stop", &json!({ "type": "content_block_stop", "index": 0 })),
        event("message_delta", &json!({ "type": "message_delta", "usage": usage })),
        event("message_stop", &json!({ "type": "message_stop" })),
    ]
    .concat()
}

/// Returns an `error` event of the type `kind`.
pub fn error_event(kind: &str) -> String {
    event("error", &json!({ "type": "error", "error": { "type": kind, "message": "Out of order" } }))
}
