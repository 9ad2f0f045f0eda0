//! A provider that says whatever a test puts into its mouth.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};

use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

pub const STREAM: &str = "text/event-stream";
pub const JSON: &str = "application/json";

/// A provider that answers what it is told to, and closes the connection.
pub struct Puppet {
    url: String,
    lines: Arc<Mutex<Lines>>,
}

#[derive(Default)]
struct Lines {
    /// Each of these once, then the last one for ever.
    said: VecDeque<String>,
    requests: usize,
}

impl Puppet {
    pub async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let lines = Arc::new(Mutex::new(Lines::default()));
        let shared = lines.clone();
        tokio::spawn(async move {
            while let Ok((connection, _)) = listener.accept().await {
                tokio::spawn(serve(connection, shared.clone()));
            }
        });
        Self { url, lines }
    }

    /// What it answers from now on: these in turn, then the last one again and again.
    pub fn says(&self, answers: &[&str]) {
        self.lines.lock().unwrap().said = answers.iter().map(|&answer| answer.to_owned()).collect();
    }

    /// How many requests it has got.
    pub fn requests(&self) -> usize {
        self.lines.lock().unwrap().requests
    }
}

/// An `AI_PROVIDERS` of `primary` and, where there are two, `backup` at these addresses.
pub fn providers(urls: &[&str]) -> String {
    let one =
        |(url, name): (&&str, &str)| json!({ "name": name, "kind": "anthropic", "base_url": url, "api_key": "sk-x" });
    json!(urls.iter().zip(["primary", "backup"]).map(one).collect::<Vec<_>>()).to_string()
}

pub fn both(primary: &Puppet, backup: &Puppet) -> String {
    providers(&[&primary.url, &backup.url])
}

pub fn alone(only: &Puppet) -> String {
    providers(&[&only.url])
}

pub fn after_nobody(backup: &Puppet) -> String {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    providers(&[&format!("http://{}", listener.local_addr().unwrap()), &backup.url])
}

/// An answer of its own length.
pub fn answer(status: &str, kind: &str, body: &str) -> String {
    let length = body.len();
    format!("HTTP/1.1 {status}\r\ncontent-type: {kind}\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n{body}")
}

/// A success: a message by the name of `name`.
pub fn message(name: &str, is_streamed: bool) -> String {
    let (kind, body) = (if is_streamed { STREAM } else { JSON }, message_body(name, is_streamed));
    answer("200 OK", kind, &body)
}

/// The body of [`message`].
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

pub fn event(name: &str, data: &serde_json::Value) -> String {
    format!("event: {name}\ndata: {data}\n\n")
}

/// An `error` event of the kind `kind`.
pub fn error_event(kind: &str) -> String {
    event("error", &json!({ "type": "error", "error": { "type": kind, "message": "Out of order" } }))
}

async fn serve(mut connection: TcpStream, lines: Arc<Mutex<Lines>>) {
    let mut request = Vec::new();
    loop {
        if !connection.read_buf(&mut request).await.is_ok_and(|length| length > 0) {
            return;
        }
        let text = String::from_utf8_lossy(&request).to_lowercase();
        let Some((head, body)) = text.split_once("\r\n\r\n") else { continue };
        let length = head.split_once("content-length: ").and_then(|(_, rest)| rest.split("\r\n").next()?.parse().ok());
        if body.len() >= length.unwrap_or(0) {
            break;
        }
    }
    let answer = {
        let mut lines = lines.lock().unwrap();
        lines.requests += 1;
        let next = if lines.said.len() > 1 { lines.said.pop_front() } else { lines.said.front().cloned() };
        next.unwrap_or_default()
    };
    let _gone = connection.write_all(answer.as_bytes()).await;
}
