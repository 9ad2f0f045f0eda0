//! A minimal client that writes a request, reads until the connection closes, and keeps every byte.

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::super::{EXAMPLE_MODEL, StandIn, control_routes};

/// Everything received until the connection closed.
pub(super) struct Answer {
    pub(super) status: u16,
    head: String,
    pub(super) body: Vec<u8>,
    /// True if the body ended as its framing requires.
    pub(super) is_whole: bool,
}

impl Answer {
    pub(super) fn status_line(&self) -> &str {
        self.head.lines().next().unwrap()
    }

    pub(super) fn header(&self, name: &str) -> Option<&str> {
        let lines = self.head.lines().filter_map(|line| line.split_once(": "));
        lines.into_iter().find(|(header, _)| header.eq_ignore_ascii_case(name)).map(|(_, value)| value)
    }

    /// Returns all headers in their order, without those that frame the message.
    pub(super) fn headers(&self) -> Vec<(&str, &str)> {
        let lines = self.head.lines().filter_map(|line| line.split_once(": "));
        lines.filter(|(name, _)| !matches!(*name, "content-length" | "transfer-encoding" | "connection")).collect()
    }

    pub(super) fn text(&self) -> String {
        String::from_utf8(self.body.clone()).unwrap()
    }

    pub(super) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap()
    }

    /// Parses the events of a stream and checks the bytes of each.
    pub(super) fn events(&self) -> Vec<Value> {
        let text = self.text();
        assert!(text.ends_with("\n\n"));
        let events = text.trim_end().split("\n\n").map(|event| {
            let (name, data) = event.strip_prefix("event: ").unwrap().split_once("\ndata: ").unwrap();
            let data: Value = serde_json::from_str(data).unwrap();
            assert_eq!(data["type"], name);
            data
        });
        events.collect()
    }

    pub(super) fn event_names(&self) -> Vec<String> {
        self.events().iter().map(|event| event["type"].as_str().unwrap().to_owned()).collect()
    }

    pub(super) fn deltas(&self) -> usize {
        self.event_names().iter().filter(|name| *name == "content_block_delta").count()
    }
}

/// A stand-in and its control address.
pub(super) struct Stage {
    pub(super) provider: Arc<StandIn>,
    control: String,
}

impl Stage {
    pub(super) async fn set() -> Self {
        Self::set_for("primary").await
    }

    pub(super) async fn set_for(name: &str) -> Self {
        let provider = StandIn::start(name).await.unwrap();
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let control = listener.local_addr().unwrap().to_string();
        let routes = control_routes(vec![Arc::clone(&provider)]);
        tokio::spawn(async move { axum::serve(listener, routes).await });
        Self { provider, control }
    }

    pub(super) async fn control(&self, method: &str, name: &str, body: Value) -> Answer {
        let body = body.to_string();
        let request = format!(
            "{method} /providers/{name} HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-length: {}\r\n\r\n{body}",
            body.len()
        );
        exchange(&self.control, request.as_bytes()).await
    }

    pub(super) async fn script(&self, script: Value) {
        let answer = self.control("PUT", "primary", script).await;
        assert_eq!(answer.status, 200, "{}", answer.text());
    }

    pub(super) async fn shown(&self) -> Value {
        self.control("GET", "primary", json!(null)).await.json()
    }

    /// Waits until `ready` holds for the shown state, and returns it.
    pub(super) async fn shown_when(&self, ready: impl Fn(&Value) -> bool) -> Value {
        for _ in 0..200 {
            let shown = self.shown().await;
            if ready(&shown) {
                return shown;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("it never came to be: {}", self.shown().await);
    }

    pub(super) fn request(&self, method: &str, target: &str, headers: &[(&str, &str)], body: &[u8]) -> Vec<u8> {
        let mut request = format!("{method} {target} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n");
        request.push_str(&format!("content-length: {}\r\n", body.len()));
        for (name, value) in headers {
            request.push_str(&format!("{name}: {value}\r\n"));
        }
        request.push_str("\r\n");
        [request.as_bytes(), body].concat()
    }

    fn usual_headers(&self) -> [(&str, &str); 3] {
        let key = self.provider.api_key();
        [("x-api-key", key), ("anthropic-version", "2023-06-01"), ("content-type", "application/json")]
    }

    pub(super) async fn call(&self, method: &str, target: &str, headers: &[(&str, &str)], body: &[u8]) -> Answer {
        exchange(&self.address(), &self.request(method, target, headers, body)).await
    }

    pub(super) async fn get(&self, target: &str) -> Answer {
        self.call("GET", target, &self.usual_headers(), b"").await
    }

    pub(super) async fn post(&self, target: &str, body: &Value) -> Answer {
        self.call("POST", target, &self.usual_headers(), body.to_string().as_bytes()).await
    }

    /// Sends a simple message with some fields changed.
    pub(super) async fn message(&self, changes: Value) -> Answer {
        self.post("/v1/messages", &message(changes)).await
    }

    /// Sends a message and reads until `enough` holds for the received text. Nothing more is read; the caller drops
    /// the connection.
    pub(super) async fn begin(&self, changes: Value, enough: impl Fn(&str) -> bool) -> TcpStream {
        let mut connection = TcpStream::connect(self.address()).await.unwrap();
        let body = message(changes).to_string();
        let request = self.request("POST", "/v1/messages", &self.usual_headers(), body.as_bytes());
        connection.write_all(&request).await.unwrap();
        let mut got = Vec::new();
        while !enough(&String::from_utf8_lossy(&got)) {
            let read = connection.read_buf(&mut got);
            let read = tokio::time::timeout(Duration::from_secs(5), read).await;
            assert_ne!(read.expect("no more came").unwrap(), 0, "it ended");
        }
        connection
    }

    fn address(&self) -> String {
        self.provider.address.to_string()
    }
}

pub(super) fn message(changes: Value) -> Value {
    let mut body = json!({
        "model": EXAMPLE_MODEL,
        "max_tokens": 1_000,
        "messages": [{ "role": "user", "content": "How is the levee?" }],
    });
    for (field, value) in changes.as_object().unwrap() {
        body[field] = value.clone();
    }
    body
}

async fn exchange(address: &str, request: &[u8]) -> Answer {
    let mut connection = TcpStream::connect(address).await.unwrap();
    connection.write_all(request).await.unwrap();
    let mut got = Vec::new();
    let read = tokio::time::timeout(Duration::from_secs(30), connection.read_to_end(&mut got));
    // A reset is one way to drop a connection; data received before it counts.
    let _ = read.await.expect("the connection stayed open");

    let end = got.windows(4).position(|window| window == b"\r\n\r\n").expect("a head");
    let head = String::from_utf8(got[..end].to_vec()).unwrap();
    let status = head[9..12].parse().unwrap();
    let mut answer = Answer { status, head, body: got[end + 4..].to_vec(), is_whole: true };
    if answer.header("transfer-encoding").is_some() {
        (answer.body, answer.is_whole) = dechunked(&answer.body);
    } else {
        // A status without a body has no length.
        let length = answer.header("content-length").map_or(0, |length| length.parse().unwrap());
        answer.is_whole = answer.body.len() == length;
    }
    answer
}

fn dechunked(mut chunked: &[u8]) -> (Vec<u8>, bool) {
    let mut body = Vec::new();
    while let Some(end) = chunked.windows(2).position(|window| window == b"\r\n") {
        let length = usize::from_str_radix(std::str::from_utf8(&chunked[..end]).unwrap(), 16).unwrap();
        if length == 0 {
            return (body, true);
        }
        body.extend_from_slice(&chunked[end + 2..end + 2 + length]);
        chunked = &chunked[end + 4 + length..];
    }
    (body, false)
}
