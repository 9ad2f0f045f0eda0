//! An AI provider that sends what a test tells it to, when it tells it to.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// The head of an event stream.
pub const STREAM_HEAD: &str = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nconnection: close\r\n\r\n";

/// One running provider.
#[derive(Debug)]
pub struct Scripted {
    /// Its base URL.
    pub url: String,
    bodies: Arc<Mutex<Vec<String>>>,
}

impl Scripted {
    /// A provider that answers each request with `pieces`, each after its pause, and then closes the connection.
    pub async fn start(pieces: Vec<(Duration, String)>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let url = format!("http://{}", listener.local_addr().expect("an address"));
        let bodies = Arc::new(Mutex::new(Vec::new()));
        let seen = bodies.clone();
        tokio::spawn(async move {
            while let Ok((connection, _)) = listener.accept().await {
                tokio::spawn(serve(connection, pieces.clone(), seen.clone()));
            }
        });
        Self { url, bodies }
    }

    /// The bodies of the requests that have come.
    pub fn bodies(&self) -> Vec<String> {
        self.bodies.lock().expect("a lock").clone()
    }

    /// The `AI_PROVIDERS` that names this provider alone, with `more` members such as `"models":{…}`.
    pub fn as_only_provider(&self, more: &str) -> String {
        format!(r#"[{{"name":"scripted","kind":"anthropic","base_url":"{}","api_key":"sk-scripted"{more}}}]"#, self.url)
    }
}

async fn serve(mut connection: TcpStream, pieces: Vec<(Duration, String)>, seen: Arc<Mutex<Vec<String>>>) {
    let _slower_without_it = connection.set_nodelay(true);
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
    seen.lock().expect("a lock").push(body);
    for (pause, piece) in pieces {
        tokio::time::sleep(pause).await;
        if connection.write_all(piece.as_bytes()).await.is_err() {
            return;
        }
    }
}
