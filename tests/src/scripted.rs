//! An AI provider that sends a test's pieces at the test's times.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// Head of an event stream.
pub const STREAM_HEAD: &str = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nconnection: close\r\n\r\n";

/// Pieces to send, each after its pause.
type Pieces = Vec<(Duration, Vec<u8>)>;

/// A running provider.
#[derive(Debug)]
pub struct Scripted {
    /// Base URL.
    pub url: String,
    lines: Arc<Mutex<Lines>>,
}

#[derive(Debug)]
struct Lines {
    /// Answers to send once each, the last one forever.
    answers: VecDeque<Pieces>,
    bodies: Vec<String>,
}

impl Scripted {
    /// Starts a provider that answers each request with `pieces`, each after its pause, and then closes the
    /// connection.
    pub async fn start(pieces: Vec<(Duration, String)>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let url = format!("http://{}", listener.local_addr().expect("an address"));
        let pieces = pieces.into_iter().map(|(pause, piece)| (pause, piece.into_bytes())).collect();
        let lines = Arc::new(Mutex::new(Lines { answers: [pieces].into(), bodies: Vec::new() }));
        let shared = lines.clone();
        tokio::spawn(async move {
            while let Ok((connection, _)) = listener.accept().await {
                tokio::spawn(serve(connection, shared.clone()));
            }
        });
        Self { url, lines }
    }

    /// Sets the answers from now on: these in turn, each in one piece, then the last one forever.
    pub fn says(&self, answers: &[&str]) {
        let whole = |answer: &&str| vec![(Duration::ZERO, answer.as_bytes().to_vec())];
        self.lines.lock().expect("a lock").answers = answers.iter().map(whole).collect();
    }

    /// Sets one answer from now on, which need not be text.
    pub fn says_bytes(&self, answer: Vec<u8>) {
        self.lines.lock().expect("a lock").answers = [vec![(Duration::ZERO, answer)]].into();
    }

    /// Returns the bodies of the requests so far.
    pub fn bodies(&self) -> Vec<String> {
        self.lines.lock().expect("a lock").bodies.clone()
    }

    /// Returns an `AI_PROVIDERS` with this provider only. `more` adds members such as `"models":{…}`.
    pub fn as_only_provider(&self, more: &str) -> String {
        format!(r#"[{{"name":"scripted","kind":"anthropic","base_url":"{}","api_key":"sk-scripted"{more}}}]"#, self.url)
    }
}

impl Lines {
    /// Records a request's body and returns the next answer.
    fn answer(&mut self, body: String) -> Pieces {
        self.bodies.push(body);
        let next = if self.answers.len() > 1 { self.answers.pop_front() } else { self.answers.front().cloned() };
        next.unwrap_or_default()
    }
}

/// Formats an event of a stream.
pub fn event(name: &str, data: &Value) -> String {
    format!("event: {name}\ndata: {data}\n\n")
}

async fn serve(mut connection: TcpStream, lines: Arc<Mutex<Lines>>) {
    let _slower_without_it = connection.set_nodelay(true);
    // Read the request to the end of its body.
    let mut request = Vec::new();
    let body = loop {
        if !connection.read_buf(&mut request).await.is_ok_and(|length| length > 0) {
            return;
        }
        let text = String::from_utf8_lossy(&request);
        let Some((head, body)) = text.split_once("\r\n\r\n") else { continue };
        let length = head
            .to_lowercase()
            .split_once("content-length: ")
            .and_then(|(_, rest)| rest.split("\r\n").next()?.parse::<usize>().ok());
        if body.len() >= length.unwrap_or(0) {
            break body.to_owned();
        }
    };
    let pieces = lines.lock().expect("a lock").answer(body);
    for (pause, piece) in pieces {
        tokio::time::sleep(pause).await;
        if connection.write_all(&piece).await.is_err() {
            return;
        }
    }
}
