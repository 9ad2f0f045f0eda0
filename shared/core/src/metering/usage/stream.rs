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

/// Longest sentence of an error that is kept, in bytes.
const LONGEST_SENTENCE: usize = 300;

/// Content of the events so far.
#[derive(Debug, Clone, Default)]
struct StreamFacts {
    progress: StreamProgress,
    reported: Reported,
    /// Sentence of an `error` event, up to [`LONGEST_SENTENCE`] bytes; empty if there is none.
    sentence: String,
    /// Code of an `error` event (`error.details.error_code`), up to [`LONGEST_SENTENCE`] bytes; empty if there is
    /// none.
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

    /// Returns the sentence of the provider's `error` event; empty if there was none, or a longer one.
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
                self.sentence = bounded(error.text("message"));
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
mod tests {
    use rstest::rstest;

    use super::*;
    use crate::metering::usage::Usage;

    fn read(stream: &str) -> StreamReader {
        let mut reader = StreamReader::default();
        reader.feed(stream.as_bytes());
        reader
    }

    const START: &str = "event: message_start\ndata: {\"type\":\"message_start\",\"message\":{\"usage\":{\"input_tokens\":25,\
                         \"output_tokens\":1}}}\n\n";

    const STOP: &str = "event: message_stop\ndata: {\"type\":\"message_stop\"}\n\n";

    const ERROR: &str = "event: error\ndata: {\"type\":\"error\",\"error\":{\"type\":\"overloaded_error\"}}\n\n";

    fn delta(usage: &str) -> String {
        format!("event: message_delta\ndata: {{\"type\":\"message_delta\",\"usage\":{usage}}}\n\n")
    }

    fn text(text: &str) -> String {
        format!(
            "data: {{\"type\":\"content_block_delta\",\"delta\":{{\"type\":\"text_delta\",\"text\":\"{text}\"}}}}\n\n"
        )
    }

    fn usage(input: u64, output: u64) -> Usage {
        Usage { input, output, ..Usage::default() }
    }

    #[test]
    fn before_the_end_the_input_side_is_known_and_nothing_is_final() {
        let progress = read(START).progress();
        assert_eq!(progress.figures.map(|figures| figures.usage), Some(usage(25, 1)));
        assert!(!progress.has_content && !progress.has_final_usage && !progress.ended);
    }

    #[test]
    fn the_output_of_a_stream_that_was_cut_is_estimated_from_its_content() {
        let reader = read(&[START, &text("twelve bytes"), &text("é")].concat());
        let (figures, is_estimated) = reader.result();
        assert_eq!((figures.usage, is_estimated), (usage(25, 4), true));
        assert_eq!(reader.progress().content_bytes, 14);
    }

    #[rstest]
    #[case::no_usage("null")]
    #[case::no_output("{\"input_tokens\":25}")]
    #[case::an_absurd_output("{\"output_tokens\":-1}")]
    #[case::no_object("7")]
    fn a_message_delta_without_its_output_leaves_the_estimate(#[case] final_usage: &str) {
        let reader = read(&[START, &text("twelve bytes"), &delta(final_usage), STOP].concat());
        let (figures, is_estimated) = reader.result();
        assert_eq!((figures.usage, is_estimated), (usage(25, 3), true));
        assert!(!reader.progress().has_final_usage);
    }

    #[test]
    fn an_absurd_figure_anywhere_makes_the_result_an_estimate_with_the_output_that_was_reported() {
        let final_usage = delta(r#"{"input_tokens":0.5,"output_tokens":2}"#);
        let reader = read(&[START, &text("twelve bytes"), &final_usage, STOP].concat());
        assert_eq!(reader.progress().absurd, Some("input_tokens"));
        let (figures, is_estimated) = reader.result();
        assert_eq!((figures.usage, figures.is_absurd, is_estimated), (usage(25, 2), true, true));
    }

    #[test]
    fn a_message_start_that_comes_after_the_final_figures_changes_nothing() {
        let final_usage = delta(r#"{"input_tokens":30,"output_tokens":15}"#);
        let reader = read(&[START, &final_usage, START].concat());
        assert_eq!(reader.result().0.usage, usage(30, 15));
    }

    #[rstest]
    #[case::broken_off("", 3, true)]
    #[case::stopped(STOP, 2, false)]
    #[case::an_error_in_place_of_the_stop(ERROR, 3, true)]
    #[case::an_error_after_the_stop(&[STOP, ERROR].concat(), 2, false)]
    #[case::a_stop_after_the_error(&[ERROR, STOP].concat(), 3, true)]
    #[case::other_figures_after_the_stop(&[STOP, &delta(r#"{"output_tokens":9}"#)].concat(), 2, false)]
    fn final_figures_are_final_when_the_stream_stops(
        #[case] rest: &str,
        #[case] output: u64,
        #[case] is_estimated: bool,
    ) {
        let reader = read(&[START, &text("twelve bytes"), &delta(r#"{"output_tokens":2}"#), rest].concat());
        assert_eq!(reader.result(), (Figures { usage: usage(25, output), ..Figures::default() }, is_estimated));
    }

    #[rstest]
    #[case::opening_the_stream(ERROR, true)]
    #[case::after_a_ping(&["event: ping\ndata: {\"type\":\"ping\"}\n\n", ERROR].concat(), true)]
    #[case::after_the_start(&[START, ERROR].concat(), false)]
    #[case::after_content(&[&text("twelve bytes"), ERROR].concat(), false)]
    #[case::no_error(STOP, false)]
    fn a_stream_is_refused_by_an_error_before_anything_was_taken_in(#[case] stream: &str, #[case] is_refused: bool) {
        assert_eq!(read(stream).progress().is_refused(), is_refused);
    }

    #[rstest]
    #[case::by_data_alone("data: {\"type\":\"message_stop\"}\n\n", true)]
    #[case::by_name_alone("event: message_stop\ndata: {}\n\n", true)]
    #[case::by_name_where_the_data_is_no_json("event: message_stop\ndata: [DONE]\n\n", true)]
    #[case::by_data_against_the_name("event: ping\ndata: {\"type\":\"message_stop\"}\n\n", true)]
    #[case::not_by_name_against_the_data("event: message_stop\ndata: {\"type\":\"ping\"}\n\n", false)]
    #[case::by_an_error_of_any_data("event: error\ndata: {\"type\":\"ping\"}\n\n", true)]
    #[case::by_an_error_without_a_name("data: {\"type\":\"error\"}\n\n", true)]
    fn an_event_is_what_its_data_says(#[case] stream: &str, #[case] ended: bool) {
        assert_eq!(read(stream).progress().ended, ended);
    }

    #[test]
    fn an_error_event_ends_a_stream_and_tells_what_kind_of_error_it_was() {
        for (kind, expected) in [
            ("overloaded_error", StreamError::Overloaded),
            ("rate_limit_error", StreamError::RateLimit),
            ("invalid_request_error", StreamError::InvalidRequest),
            ("permission_error", StreamError::Credentials),
            ("a_new_error", StreamError::Other),
        ] {
            let data = format!(r#"{{"type":"error","error":{{"type":"{kind}","message":"m"}}}}"#);
            let progress = read(&format!("event: error\ndata: {data}\n\n")).progress();
            assert_eq!((progress.ended, progress.error), (true, Some(expected)), "{kind}");
        }
        assert_eq!(read("event: error\ndata: nonsense\n\n").progress().error, Some(StreamError::Other));
    }

    #[test]
    fn a_stream_is_served_by_the_model_that_it_names_last() {
        let start = START.replace("\"usage\"", "\"model\":\"claude-fable-5-2\",\"usage\"");
        let fallback = r#"data: {"type":"content_block_start","content_block":{"type":"fallback",
            "from":{"model":"claude-fable-5-2"},"to":{"model":"claude-opus-5-5"}}}"#;
        let fallback = fallback.replace("\n            ", "") + "\n\n";
        for (stream, expected) in [
            ([start.as_str(), STOP].concat(), "claude-fable-5-2"),
            ([start.as_str(), &fallback, &text("twelve bytes")].concat(), "claude-opus-5-5"),
        ] {
            let (reading, _) = read(&stream).reading();
            assert_eq!(reading.parts[0].service.model, expected);
            assert_eq!(reading.parts[0].usage, reading.figures.usage);
        }
    }

    #[test]
    fn an_event_that_is_too_large_is_known_by_its_name() {
        let data = "x".repeat(crate::metering::sse::LARGEST_EVENT);
        let event =
            format!("event: content_block_start\ndata: {{\"type\":\"content_block_start\",\"x\":\"{data}\"}}\n\n");
        let reader = read(&[START, &event, &delta(r#"{"output_tokens":15}"#), STOP].concat());
        assert!(reader.progress().has_content);
        assert_eq!(reader.result(), (Figures { usage: usage(25, 15), ..Figures::default() }, false));
    }
}
