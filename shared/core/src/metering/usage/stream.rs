//! Reads usage and progress from a stream of events.

use super::json::Object;
use super::reported::Reported;
use super::{BYTES_PER_TOKEN, Figures, Reading};
use crate::metering::sse::{Splitter, SseEvent};

/// Reads usage and progress from a stream of server-sent events as it passes by. Its time is linear in the stream's
/// length, and it holds at most one event of [`LARGEST_EVENT`](crate::metering::sse::LARGEST_EVENT).
#[derive(Debug, Clone, Default)]
pub struct StreamReader {
    splitter: Splitter,
    seen: StreamFacts,
    pings: u32,
    events: u64,
}

/// Longest text of an error that is kept, in bytes.
const LONGEST_SENTENCE: usize = 2_048;

/// Content of the events so far.
#[derive(Debug, Clone, Default)]
struct StreamFacts {
    progress: StreamProgress,
    reported: Reported,
    /// Kind of an `error` event (`error.type`). It and the next two have up to [`LONGEST_SENTENCE`] bytes; empty if
    /// there is none.
    kind: String,
    /// Sentence of an `error` event: `error.message`, or `error` itself if it is a text.
    sentence: String,
    /// Code of an `error` event (`error.details.error_code`).
    code: String,
}

/// Progress of a stream.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct StreamProgress {
    /// Figures reported so far; `None` before `message_start`.
    pub figures: Option<Figures>,
    /// Name of the first field that was left out, as in [`Reading::absurd`].
    pub absurd: Option<&'static str>,
    /// Bytes of text, thinking and tools' input so far, as UTF-8.
    pub content_bytes: u64,
    /// True once a content block has begun, so that the client has something to show.
    pub has_content: bool,
    /// True once a `message_delta` has reported the number of output tokens.
    pub has_final_usage: bool,
    /// True once the stream has ended properly: with `message_stop`, or with the provider's own `error` event. Later
    /// events are ignored.
    pub ended: bool,
    /// Kind of the provider's `error` event, if there was one.
    pub error: Option<StreamError>,
}

/// Kinds of errors in Anthropic's API (<https://docs.anthropic.com/en/api/errors>), as far as they are distinguished
/// here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StreamError {
    /// `overloaded_error`.
    Overloaded,
    /// `rate_limit_error`.
    RateLimit,
    /// `invalid_request_error`, `not_found_error` and `request_too_large`: a mistake of the caller.
    InvalidRequest,
    /// `authentication_error`, `permission_error` and `billing_error`: trouble with the platform's key.
    Credentials,
    /// `api_error`, and all others.
    Other,
}

impl StreamError {
    fn from_data(data: &Object<'_>) -> Self {
        match data.object("error").text("type").as_deref() {
            Some("overloaded_error") => Self::Overloaded,
            Some("rate_limit_error") => Self::RateLimit,
            Some("invalid_request_error" | "not_found_error" | "request_too_large") => Self::InvalidRequest,
            Some("authentication_error" | "permission_error" | "billing_error") => Self::Credentials,
            _ => Self::Other,
        }
    }

    /// Returns the name of the error's kind in Anthropic's API. One name stands for all kinds of a variant.
    pub fn name(self) -> &'static str {
        match self {
            Self::Overloaded => "overloaded_error",
            Self::RateLimit => "rate_limit_error",
            Self::InvalidRequest => "invalid_request_error",
            Self::Credentials => "authentication_error",
            Self::Other => "api_error",
        }
    }
}

impl StreamReader {
    /// Parses the next chunk.
    pub fn feed(&mut self, chunk: &[u8]) {
        let Self { splitter, seen, pings, events } = self;
        splitter.feed(chunk, |event| {
            *events += 1;
            *pings = pings.saturating_add(seen.advance(&event));
        });
    }

    /// Returns the number of events so far, including pings. Comments are not events.
    pub fn events(&self) -> u64 {
        self.events
    }

    /// Returns the kind of the provider's `error` event as it wrote it; empty if there was none, or a longer one.
    pub fn error_kind(&self) -> &str {
        &self.seen.kind
    }

    /// Returns the sentence of the provider's `error` event, which may also be the text that is in place of the error;
    /// empty if there was none, or a longer one.
    pub fn error_sentence(&self) -> &str {
        &self.seen.sentence
    }

    /// Returns the code of the provider's `error` event (`error.details.error_code`); empty if there was none, or a
    /// longer one.
    pub fn error_code(&self) -> &str {
        &self.seen.code
    }

    /// Returns the number of `ping` events so far. They are signs of life while the provider is at work.
    pub fn pings(&self) -> u32 {
        self.pings
    }

    /// Returns the progress so far.
    pub fn progress(&self) -> StreamProgress {
        self.seen.progress
    }

    /// Returns the figures of [`StreamReader::result`], broken down by model, and true if they are an estimate.
    pub fn reading(&self) -> (Reading, bool) {
        let (figures, is_estimated) = self.result();
        // The estimate of the output goes to the model that served.
        let mut reading = self.seen.reported.reading();
        reading.raise_output(figures.usage.output);
        (reading, is_estimated)
    }

    /// Returns the figures of the call, and true if they are an estimate.
    ///
    /// They are an estimate if the final figures, or all figures of the input, are missing or invalid. Figures are
    /// final at `message_stop`. Before that another `message_delta` may follow, and if the provider ends the stream
    /// with an `error` instead, its final count is unknown.
    pub fn result(&self) -> (Figures, bool) {
        let StreamProgress { figures, has_final_usage, ended, error, .. } = self.seen.progress;
        match figures {
            Some(figures) if has_final_usage && ended && error.is_none() => {
                (figures, figures.is_absurd || !self.seen.reported.has_input())
            }
            _ => (self.estimate(), true),
        }
    }

    /// Estimates the figures of a call without final ones: the input reported at its beginning, and the output
    /// reported so far or estimated from the content, whichever is larger.
    pub fn estimate(&self) -> Figures {
        let progress = &self.seen.progress;
        let mut figures = progress.figures.unwrap_or_default();
        figures.usage.output = figures.usage.output.max(progress.content_bytes.div_ceil(BYTES_PER_TOKEN));
        figures
    }
}

impl StreamProgress {
    /// Returns true if the stream opened with the provider's error, so that the call was refused and used nothing.
    pub fn is_refused(&self) -> bool {
        self.error.is_some() && self.figures.is_none() && !self.has_content
    }
}

impl StreamFacts {
    /// Processes the next event. Returns the number of pings in it: 0 or 1.
    fn advance(&mut self, event: &SseEvent) -> u32 {
        let progress = &mut self.progress;
        // Nothing after the end belongs to the answer.
        if progress.ended {
            return 0;
        }
        let data = Object::parse(&event.data).unwrap_or_default();
        match kind(event, &data).as_str() {
            "message_start" => {
                progress.figures.get_or_insert_default();
                let message = data.object("message");
                // A late `message_start` must not replace the final figures.
                if !progress.has_final_usage {
                    self.reported.served_by(message.text("model"));
                    if let Some(usage) = message.field("usage") {
                        self.replace_with(usage);
                    }
                }
            }
            "ping" => return 1,
            "content_block_start" => {
                progress.has_content = true;
                // A model that takes over in the middle of the stream is named here. `message_start` named the first
                // one.
                let block = data.object("content_block");
                if block.text("type").as_deref() == Some("fallback") {
                    self.reported.served_by(block.object("to").text("model"));
                }
            }
            "content_block_delta" => {
                progress.has_content = true;
                // Count the bytes from which the output is estimated if the stream breaks off.
                let delta = data.object("delta");
                // A signature has no output tokens, and a citation is the caller's own text.
                let length = ["text", "thinking", "partial_json"].map(|field| delta.text_length(field) as u64);
                progress.content_bytes += length.iter().sum::<u64>();
            }
            "message_delta" => {
                if let Some(usage) = data.field("usage") {
                    self.progress.has_final_usage |= self.replace_with(usage);
                }
            }
            "message_stop" => progress.ended = true,
            "error" => {
                progress.ended = true;
                // Keep the message and the code, which tell a spent budget from a mistake.
                progress.error = Some(StreamError::from_data(&data));
                let error = data.object("error");
                let bounded = |text: Option<String>| text.filter(|it| it.len() <= LONGEST_SENTENCE).unwrap_or_default();
                self.kind = bounded(error.text("type"));
                self.sentence = bounded(error.text("message").or_else(|| data.text("error")));
                self.code = bounded(error.object("details").text("error_code"));
            }
            _ => {}
        }
        0
    }

    /// Merges a `usage` object into the report. Returns true if it has the number of output tokens.
    fn replace_with(&mut self, usage: &str) -> bool {
        let has_output = self.reported.replace_with(usage);
        self.progress.figures = Some(self.reported.reading().figures);
        self.progress.absurd = self.reported.absurd();
        has_output
    }
}

/// Returns the kind of an event. The `type` in its data wins over its name, as in Anthropic's SDKs. If the data has no
/// `type`, or was too large to be kept, the name is used. An event named `error` is always an error, because SDKs give
/// up at that name.
fn kind(event: &SseEvent, data: &Object<'_>) -> String {
    match event.name.as_str() {
        "error" => "error".to_owned(),
        name => data.text("type").unwrap_or_else(|| name.to_owned()),
    }
}

#[cfg(test)]
mod tests;
