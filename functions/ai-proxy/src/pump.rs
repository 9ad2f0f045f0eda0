//! A stream on its way through: whole events are passed on as they come, byte for byte; the usage is written before the
//! last of them is released; a stream that breaks off ends in a well-formed `event: error`.

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use futures_util::{Stream, stream};
use levee::http::anthropic::{ErrorKind, stream_event};
use levee::metering::{StreamReader, sse};
use tokio::time::{Instant, timeout_at};

use crate::exchange::Meter;
use crate::timeouts::TimedOut;

/// An unfinished event larger than this is passed on in parts.
const LARGEST_HELD: usize = 1024 * 1024;

/// A provider's stream after its first content.
pub struct Pump {
    answer: reqwest::Response,
    reader: StreamReader,
    /// Received, not yet passed on: at most what follows the last whole event.
    held: BytesMut,
    meter: Option<Meter>,
    gap: Duration,
    deadline: Instant,
    request_id: String,
    is_over: bool,
}

enum Received {
    Chunk(Bytes),
    End,
    Broken(ErrorKind, String),
}

impl Pump {
    /// A pump for what is left of `answer`, of which `held` has been received and shown to `reader`.
    pub fn new(
        answer: reqwest::Response,
        reader: StreamReader,
        held: BytesMut,
        meter: Option<Meter>,
        gap: Duration,
        deadline: Instant,
        request_id: String,
    ) -> Self {
        Self { answer, reader, held, meter, gap, deadline, request_id, is_over: false }
    }

    /// The chunks for the client.
    pub fn into_stream(self) -> impl Stream<Item = Bytes> + Send {
        stream::unfold(self, |mut pump| async move { pump.next().await.map(|chunk| (chunk, pump)) })
    }

    async fn next(&mut self) -> Option<Bytes> {
        while !self.is_over {
            if let Some(whole) = self.take_whole_events() {
                self.settle_if_ended().await;
                return Some(whole);
            }
            match self.receive().await {
                Received::Chunk(chunk) => {
                    self.reader.feed(&chunk);
                    self.held.extend_from_slice(&chunk);
                }
                Received::End if self.reader.progress().ended => {
                    self.is_over = true;
                    return (!self.held.is_empty()).then(|| self.held.split().freeze());
                }
                Received::End => {
                    return self.break_off(ErrorKind::BadGateway, "The AI provider ended its answer too early.").await;
                }
                Received::Broken(kind, message) => return self.break_off(kind, &message).await,
            }
        }
        None
    }

    fn take_whole_events(&mut self) -> Option<Bytes> {
        let end = sse::end_of_last_event(&self.held).or((self.held.len() > LARGEST_HELD).then_some(self.held.len()))?;
        Some(self.held.split_to(end).freeze())
    }

    async fn receive(&mut self) -> Received {
        let gap = Instant::now() + self.gap;
        match timeout_at(gap.min(self.deadline), self.answer.chunk()).await {
            Ok(Ok(Some(chunk))) => Received::Chunk(chunk),
            Ok(Ok(None)) => Received::End,
            Ok(Err(error)) => {
                let error = error.without_url();
                tracing::error!(code = "provider.cut", request.id = self.request_id, %error, "a stream was cut");
                Received::Broken(ErrorKind::BadGateway, "The connection to the AI provider was lost.".to_owned())
            }
            Err(_) => {
                let which = if gap < self.deadline { TimedOut::StreamGap } else { TimedOut::Deadline };
                tracing::error!(code = "provider.timeout", request.id = self.request_id, ?which, "a stream stalled");
                Received::Broken(ErrorKind::Timeout, which.to_string())
            }
        }
    }

    /// Writes the usage once the stream has ended as it should.
    async fn settle_if_ended(&mut self) {
        if self.reader.progress().ended {
            self.settle().await;
        }
    }

    async fn settle(&mut self) {
        let progress = self.reader.progress();
        if let (Some(meter), Some(usage)) = (self.meter.take(), progress.usage) {
            meter.record(usage, !progress.has_final_usage).await;
        }
    }

    /// Ends a stream that broke off. What was received of an unfinished event is dropped: half an event cannot be told
    /// from a whole one once an error follows it.
    async fn break_off(&mut self, kind: ErrorKind, message: &str) -> Option<Bytes> {
        self.is_over = true;
        self.settle().await;
        Some(stream_event(kind, message, &self.request_id).into())
    }
}
