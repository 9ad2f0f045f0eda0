//! Reads usage and progress out of a stream of events.

use super::Figures;
use super::json::Object;
use crate::metering::sse::{Event, Splitter};

/// About so many bytes of English text are one token.
const BYTES_PER_TOKEN: u64 = 4;

/// Reads usage and progress out of a stream of server-sent events as it passes by. It takes in what comes in time
/// proportional to its length, and holds one event of [`LARGEST_EVENT`](crate::metering::sse::LARGEST_EVENT) at most.
#[derive(Debug, Clone, Default)]
pub struct StreamReader {
    splitter: Splitter,
    progress: Progress,
}

/// What has been seen of a stream.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Progress {
    /// What was reported so far; `None` before `message_start`.
    pub figures: Option<Figures>,
    /// How many bytes of text, of thinking and of tools' input have come, as UTF-8.
    pub content_bytes: u64,
    /// A content block has begun: from here on the client has something to show.
    pub has_content: bool,
    /// A `message_delta` has said how many tokens were put out.
    pub has_final_usage: bool,
    /// The stream ended as it should: with `message_stop`, or with the provider's own `error` event.
    pub ended: bool,
    /// What kind of error the provider's `error` event tells of.
    pub error: Option<StreamError>,
}

/// The kinds of errors that Anthropic's API knows (<https://docs.anthropic.com/en/api/errors>), as far as they are told
/// apart here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StreamError {
    /// `overloaded_error`.
    Overloaded,
    /// `rate_limit_error`.
    RateLimit,
    /// `invalid_request_error`: the caller's own mistake.
    InvalidRequest,
    /// `api_error`, and all others.
    Other,
}

impl StreamError {
    fn of(data: &Object<'_>) -> Self {
        match data.object("error").text("type").as_deref() {
            Some("overloaded_error") => Self::Overloaded,
            Some("rate_limit_error") => Self::RateLimit,
            Some("invalid_request_error") => Self::InvalidRequest,
            _ => Self::Other,
        }
    }

    /// Anthropic's name for it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Overloaded => "overloaded_error",
            Self::RateLimit => "rate_limit_error",
            Self::InvalidRequest => "invalid_request_error",
            Self::Other => "api_error",
        }
    }
}

impl StreamReader {
    /// Takes the next chunk.
    pub fn feed(&mut self, chunk: &[u8]) {
        let progress = &mut self.progress;
        self.splitter.feed(chunk, |event| progress.advance(&event));
    }

    /// What has been seen so far.
    pub fn progress(&self) -> Progress {
        self.progress
    }

    /// What the call used, and whether that is an estimate: where the final figures are missing or absurd.
    pub fn result(&self) -> (Figures, bool) {
        let Progress { figures, has_final_usage, .. } = self.progress;
        match figures {
            Some(figures) if has_final_usage => (figures, figures.is_absurd),
            _ => (self.estimate(), true),
        }
    }

    /// What the call used as far as can be said while the final figures are missing: what was reported at its beginning,
    /// and as many output tokens as the content that has come since stands for.
    pub fn estimate(&self) -> Figures {
        let mut figures = self.progress.figures.unwrap_or_default();
        figures.usage.output = figures.usage.output.max(self.progress.content_bytes.div_ceil(BYTES_PER_TOKEN));
        figures
    }
}

impl Progress {
    fn advance(&mut self, event: &Event) {
        let data = Object::parse(&event.data).unwrap_or_default();
        match kind(event, &data).as_str() {
            "message_start" => {
                let figures = self.figures.get_or_insert_default();
                if let Some(usage) = data.object("message").field("usage")
                    && !self.has_final_usage
                {
                    figures.replace_with(usage);
                }
            }
            "content_block_start" => self.has_content = true,
            "content_block_delta" => {
                self.has_content = true;
                let delta = data.object("delta");
                // A signature is no output token, and a citation is the caller's own text.
                let length = ["text", "thinking", "partial_json"].map(|field| delta.text_length(field) as u64);
                self.content_bytes += length.iter().sum::<u64>();
            }
            "message_delta" => {
                if let Some(usage) = data.field("usage") {
                    let has_output = self.figures.get_or_insert_default().replace_with(usage);
                    self.has_final_usage |= has_output;
                }
            }
            "message_stop" => self.ended = true,
            "error" => {
                self.ended = true;
                self.error = Some(StreamError::of(&data));
            }
            _ => {}
        }
    }
}

/// What kind of event this is. The data says so itself, and where it does, its word counts: Anthropic's SDKs too take an
/// event for what its data says, once its name has let it in. Where the data has no `type`, or is too large to be kept,
/// the name has to do. An event by the name of `error` is one whatever its data says, as SDKs give up at the name.
fn kind(event: &Event, data: &Object<'_>) -> String {
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
        let reader = read(&[START, &text("twelve bytes"), &delta(final_usage)].concat());
        let (figures, is_estimated) = reader.result();
        assert_eq!((figures.usage, is_estimated), (usage(25, 3), true));
        assert!(!reader.progress().has_final_usage);
    }

    #[test]
    fn an_absurd_figure_anywhere_makes_the_result_an_estimate_with_the_output_that_was_reported() {
        let reader =
            read(&[START, &text("twelve bytes"), &delta(r#"{"input_tokens":0.5,"output_tokens":2}"#)].concat());
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
            ("a_new_error", StreamError::Other),
        ] {
            let data = format!(r#"{{"type":"error","error":{{"type":"{kind}","message":"m"}}}}"#);
            let progress = read(&format!("event: error\ndata: {data}\n\n")).progress();
            assert_eq!((progress.ended, progress.error), (true, Some(expected)), "{kind}");
        }
        assert_eq!(read("event: error\ndata: nonsense\n\n").progress().error, Some(StreamError::Other));
    }

    #[test]
    fn an_event_that_is_too_large_is_known_by_its_name() {
        let data = "x".repeat(crate::metering::sse::LARGEST_EVENT);
        let event =
            format!("event: content_block_start\ndata: {{\"type\":\"content_block_start\",\"x\":\"{data}\"}}\n\n");
        let reader = read(&[START, &event, &delta(r#"{"output_tokens":15}"#)].concat());
        assert!(reader.progress().has_content);
        assert_eq!(reader.result(), (Figures { usage: usage(25, 15), ..Figures::default() }, false));
    }
}
