//! A client of `bench/peers/node/express.mjs`: HTTP/1.1 on a persistent connection.

use anyhow::{Context as _, bail};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

/// One connection to the express server.
pub(crate) struct Express {
    stream: TcpStream,
    path: &'static str,
    is_refused: bool,
    answer: Vec<u8>,
}

impl Express {
    /// Connects. With `is_refused`, requests go to the route whose limits are used up.
    pub(crate) async fn connect(port: u16, is_refused: bool) -> anyhow::Result<Self> {
        let stream = TcpStream::connect(("127.0.0.1", port)).await.context("express cannot be reached")?;
        stream.set_nodelay(true)?;
        Ok(Self { stream, path: if is_refused { "/refused" } else { "/" }, is_refused, answer: Vec::new() })
    }

    /// Sends one request and reads the whole answer.
    pub(crate) async fn ask(&mut self, subject: usize) -> anyhow::Result<()> {
        let request = format!("GET {} HTTP/1.1\r\nhost: 127.0.0.1\r\nx-subject: acme-{subject}\r\n\r\n", self.path);
        self.stream.write_all(request.as_bytes()).await?;
        self.answer.clear();
        while !is_whole(&self.answer) {
            if self.stream.read_buf(&mut self.answer).await? == 0 {
                bail!("express closed the connection");
            }
        }
        // On the route that refuses, the first call of a window passes.
        let passed = self.answer.starts_with(b"HTTP/1.1 200 ");
        let refused = self.is_refused && self.answer.starts_with(b"HTTP/1.1 429 ");
        if !(passed || refused) {
            bail!("express answered {}", String::from_utf8_lossy(&self.answer).lines().next().unwrap_or_default());
        }
        Ok(())
    }
}

/// Returns true if an answer with a content-length has arrived completely.
fn is_whole(answer: &[u8]) -> bool {
    let text = String::from_utf8_lossy(answer);
    let Some((head, body)) = text.split_once("\r\n\r\n") else { return false };
    let length = head.lines().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case("content-length").then(|| value.trim().parse::<usize>().ok()).flatten()
    });
    length.is_some_and(|length| body.len() >= length)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_whole_when_its_body_has_come() {
        let answer = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
        assert!(is_whole(answer));
        assert!((0..answer.len()).all(|length| !is_whole(&answer[..length])));
    }
}
