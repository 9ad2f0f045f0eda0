//! Streamed answers: "Set up a Lambda proxy integration with payload response streaming"
//! (response-transfer-mode-lambda.html) and "Stream the integration response for your proxy integrations"
//! (response-transfer-mode.html).
//!
//! The metadata, ended by eight NUL bytes, becomes the head as soon as it is complete. Every piece after it is sent
//! to the client as it arrives. If the function breaks off, so does the client's connection: an incomplete stream
//! never ends regularly.

use std::{
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::{Bytes, BytesMut};
use http::{HeaderMap, StatusCode};
use http_body::Frame;
use http_body_util::BodyExt;
use serde_json::Value;
use tokio::time::{Instant, Sleep, sleep_until, timeout_at};

use super::{Body, errors::Refusal, headers::Headers, integrate};
use crate::{
    host::{Piece, Stream},
    template::ResponseType,
};

/// Delimiter after the metadata.
const DELIMITER: [u8; 8] = [0; 8];
/// Content type of a stream that begins with metadata.
const INTEGRATION_RESPONSE: &str = "application/vnd.awslambda.http-integration-response";
/// Largest metadata, in bytes. The delimiter must come within the first 16 KB of the stream:
/// response-transfer-mode-lambda.html.
const LARGEST_METADATA: usize = 16 * 1024;
/// Longest pause between two pieces. "Idle timeout … 5 minutes for Regional and private endpoints":
/// response-transfer-mode.html.
const IDLE: Duration = Duration::from_secs(5 * 60);

/// Error of a body that ends early.
#[derive(Debug, thiserror::Error)]
#[error("the function broke off its stream: {0}")]
pub(crate) struct BrokenOff(String);

type Opened = (StatusCode, HeaderMap, Body);

/// Waits for the metadata and converts it to the answer's head. The inner error names the malformed part.
pub(super) async fn open(
    mut stream: Stream,
    trace_id: &str,
    deadline: Instant,
    function: &str,
) -> Result<Result<Opened, String>, Refusal> {
    if stream.content_type != INTEGRATION_RESPONSE {
        return Ok(Err(format!("its content type is {}, not {INTEGRATION_RESPONSE}", stream.content_type)));
    }
    // Collect chunks until the delimiter.
    let mut start = BytesMut::new();
    let end = loop {
        let searched = &start[..start.len().min(LARGEST_METADATA)];
        if let Some(end) = searched.windows(DELIMITER.len()).position(|window| window == DELIMITER) {
            break end;
        }
        if searched.len() == LARGEST_METADATA {
            return Ok(Err(format!("its metadata has no end within {LARGEST_METADATA} bytes")));
        }
        let chunk = timeout_at(deadline, stream.chunks.recv()).await;
        match chunk.map_err(|_| Refusal::from_kind(ResponseType::IntegrationTimeout))? {
            Some(Piece::Data(chunk)) => start.extend_from_slice(&chunk),
            Some(Piece::Broken(failure)) => return Err(integrate::refusal(&failure)),
            Some(Piece::End) => return Ok(Err("it ended within its metadata".to_owned())),
            None => return Err(Refusal::bad_gateway()),
        }
    };
    // Bytes after the delimiter are the first piece of the body.
    let mut first = start.split_off(end);
    let first = first.split_off(DELIMITER.len()).freeze();
    Ok(head(&start, trace_id).map(|(status, headers)| {
        let first = (!first.is_empty()).then_some(first);
        let pieces = Pieces {
            function: function.to_owned(),
            first,
            stream,
            deadline: Box::pin(sleep_until(deadline)),
            idle: Box::pin(sleep_until(Instant::now() + IDLE)),
        };
        (status, headers, pieces.boxed_unsync())
    }))
}

/// Parses `{statusCode, headers, multiValueHeaders, cookies}`; all members are optional.
fn head(metadata: &[u8], trace_id: &str) -> Result<(StatusCode, HeaderMap), String> {
    let metadata: Value =
        serde_json::from_slice(metadata).map_err(|error| format!("its metadata is no JSON: {error}"))?;
    let object = metadata.as_object().ok_or("its metadata is no object")?;
    let mut headers = Headers::default();
    headers.extend(object.get("multiValueHeaders"))?;
    headers.extend(object.get("headers"))?;
    headers.cookies(object.get("cookies"))?;
    Ok((integrate::status(object)?.unwrap_or(StatusCode::OK), headers.finish(trace_id)))
}

/// A body made of a stream's pieces.
struct Pieces {
    function: String,
    first: Option<Bytes>,
    stream: Stream,
    deadline: Pin<Box<Sleep>>,
    idle: Pin<Box<Sleep>>,
}

impl http_body::Body for Pieces {
    type Data = Bytes;
    type Error = BrokenOff;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BrokenOff>>> {
        // Send the bytes that came with the metadata first, then the pieces as they come.
        if let Some(first) = self.first.take() {
            return Poll::Ready(Some(Ok(Frame::data(first))));
        }
        if let Poll::Ready(piece) = self.stream.chunks.poll_recv(context) {
            self.idle.as_mut().reset(Instant::now() + IDLE);
            return Poll::Ready(match piece {
                Some(Piece::Data(data)) => Some(Ok(Frame::data(data))),
                Some(Piece::End) => None,
                Some(Piece::Broken(failure)) => Some(Err(self.broken(failure.to_string()))),
                None => Some(Err(self.broken("it is gone".to_owned()))),
            });
        }
        // Break off after five minutes without a piece, or at the route's deadline.
        if self.idle.as_mut().poll(context).is_ready() {
            return Poll::Ready(Some(Err(BrokenOff("it was idle for too long".to_owned()))));
        }
        ready!(self.deadline.as_mut().poll(context));
        Poll::Ready(Some(Err(BrokenOff("the route's time is up".to_owned()))))
    }
}

impl Pieces {
    fn broken(&self, why: String) -> BrokenOff {
        tracing::warn!("{} broke off a stream: {why}", self.function);
        BrokenOff(why)
    }
}

#[cfg(test)]
mod tests {
    use tokio::sync::mpsc;

    use super::*;

    /// response-transfer-mode.html: "the timeout is 5 minutes" for Regional endpoints, measured from each piece.
    #[tokio::test]
    async fn a_stream_breaks_off_when_five_minutes_pass_without_a_piece() {
        let (sender, chunks) = mpsc::channel(2);
        let started = Instant::now();
        let mut pieces = Pieces {
            function: "streamer".to_owned(),
            first: None,
            stream: Stream { content_type: INTEGRATION_RESPONSE.to_owned(), chunks },
            deadline: Box::pin(sleep_until(started + 3 * IDLE)),
            idle: Box::pin(sleep_until(started + Duration::from_secs(1))),
        };
        sender.send(Piece::Data(Bytes::from_static(b"one"))).await.unwrap();
        assert_eq!(pieces.frame().await.unwrap().unwrap().into_data().unwrap(), "one");
        assert!(pieces.idle.deadline() >= started + Duration::from_secs(300));

        // Simulate that five minutes have passed.
        pieces.idle.as_mut().reset(Instant::now());
        let broken = pieces.frame().await.unwrap().unwrap_err();
        assert!(broken.to_string().contains("idle"), "{broken}");
    }
}
