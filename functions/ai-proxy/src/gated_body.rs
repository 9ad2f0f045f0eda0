//! A request body whose last byte is held back.
//!
//! A provider serves a call only when it has the whole body. So everything but the last byte is sent while the
//! attempt's record is being written. No attempt is served and billed without a record.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use tokio::sync::oneshot;

/// Releases the last byte when dropped.
#[derive(Debug)]
pub struct Gate(#[expect(dead_code, reason = "it is its end that counts")] oneshot::Sender<()>);

/// Shared flag that tells if the connection has taken the whole body.
#[derive(Debug, Clone, Default)]
pub struct Taken(Arc<AtomicBool>);

impl Taken {
    /// Returns true once the provider may have the whole body.
    pub fn is_whole(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

/// Returns `body` as a request body that withholds its last byte until the [`Gate`] is dropped.
pub fn gate(body: Bytes) -> (reqwest::Body, Gate, Taken) {
    let (hold, held) = oneshot::channel();
    let mut begin = body;
    let end = begin.split_off(begin.len().saturating_sub(1));
    let taken = Taken::default();
    (reqwest::Body::wrap(GatedBody { begin, end, held, taken: taken.clone() }), Gate(hold), taken)
}

struct GatedBody {
    begin: Bytes,
    end: Bytes,
    held: oneshot::Receiver<()>,
    taken: Taken,
}

impl Body for GatedBody {
    type Data = Bytes;
    type Error = std::convert::Infallible;

    fn poll_frame(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        let this = self.get_mut();
        let next = if !this.begin.is_empty() {
            std::mem::take(&mut this.begin)
        } else if !this.end.is_empty() {
            let _released = ready!(Pin::new(&mut this.held).poll(context));
            this.taken.0.store(true, Ordering::Relaxed);
            std::mem::take(&mut this.end)
        } else {
            return Poll::Ready(None);
        };
        Poll::Ready(Some(Ok(Frame::data(next))))
    }

    fn is_end_stream(&self) -> bool {
        self.begin.is_empty() && self.end.is_empty()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact((self.begin.len() + self.end.len()) as u64)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;
    use tokio::sync::mpsc;

    use super::*;

    /// Starts a server that reports everything received so far after each read, and answers once it has `whole`.
    async fn server(whole: &'static str) -> (String, mpsc::Receiver<String>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/", listener.local_addr().unwrap());
        let (sender, receiver) = mpsc::channel(16);
        tokio::spawn(async move {
            let (mut connection, _) = listener.accept().await.unwrap();
            let mut received = Vec::new();
            while connection.read_buf(&mut received).await.is_ok_and(|length| length > 0) {
                let text = String::from_utf8(received.clone()).unwrap();
                sender.send(text.clone()).await.unwrap();
                if text.ends_with(&format!("\r\n\r\n{whole}")) {
                    connection.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").await.unwrap();
                }
            }
        });
        (url, receiver)
    }

    fn client() -> reqwest::Client {
        let _trail = levee::telemetry::init("test");
        reqwest::Client::new()
    }

    #[tokio::test]
    async fn all_but_the_last_byte_is_sent_at_once_and_the_last_one_when_it_may() {
        let (url, mut received) = server(r#"{"a":1}"#).await;
        let (body, hold, taken) = gate(Bytes::from_static(br#"{"a":1}"#));
        let request = tokio::spawn(client().post(url).body(body).send());
        let mut text = String::new();
        while !text.ends_with(r#"{"a":1"#) {
            text = received.recv().await.unwrap();
        }
        assert!(text.to_lowercase().contains("content-length: 7"), "{text}");
        assert!(received.try_recv().is_err());
        assert!(!taken.is_whole());
        drop(hold);
        assert_eq!(request.await.unwrap().unwrap().status(), 200);
        assert!(taken.is_whole());
    }

    #[tokio::test]
    async fn a_body_of_a_byte_or_none_is_held_too() {
        for whole in ["", "1"] {
            let (url, _received) = server(whole).await;
            let (body, hold, _) = gate(Bytes::from_static(whole.as_bytes()));
            drop(hold);
            assert_eq!(client().post(url).body(body).send().await.unwrap().status(), 200, "{whole}");
        }
    }
}
