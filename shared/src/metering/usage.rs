//! Reads the tokens of a call out of what the provider answered.
//!
//! In Anthropic's API the input figures are disjoint (`input_tokens` leaves out what was read from or written to the
//! cache); the split of cache writes by lifetime stands in `message_start` alone; and the figures of `message_delta`
//! are cumulative, so they replace what came before (<https://docs.anthropic.com/en/api/messages-streaming>).

use serde::{Deserialize, Serialize};

use super::sse::{Event, Splitter};

/// A figure beyond this is no token count; the provider's answer is nonsense and the figure is left out.
const LARGEST_COUNT: u64 = 1_000_000_000;

/// About so many bytes of English text are one token.
const BYTES_PER_TOKEN: u64 = 4;

/// The tokens of one call.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Usage {
    /// Input tokens that were neither read from nor written to the cache.
    pub input: u64,
    /// Output tokens, thinking included.
    pub output: u64,
    /// Input tokens read from the cache.
    pub cache_read: u64,
    /// Input tokens written to the cache for 5 minutes.
    pub cache_write_5m: u64,
    /// Input tokens written to the cache for an hour.
    pub cache_write_1h: u64,
    /// Searches that the provider made in the web (`server_tool_use`).
    pub web_searches: u64,
    /// Pages that the provider fetched from the web (`server_tool_use`).
    pub web_fetches: u64,
}

/// How a call was served; providers price tiers differently.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Tier {
    /// As agreed by default; also where the provider says nothing.
    #[default]
    Standard,
    /// With priority.
    Priority,
    /// In a batch.
    Batch,
    /// In a way that is not known here.
    Other,
}

/// What a provider reports of a call.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Figures {
    /// The tokens.
    #[serde(flatten)]
    pub usage: Usage,
    /// How it was served.
    pub tier: Tier,
    /// A figure was absurd and is left out, so that `usage` is not the whole of it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub is_absurd: bool,
}

#[derive(Debug, Default, Deserialize)]
struct Reported {
    input_tokens: Option<u64>,
    output_tokens: Option<u64>,
    cache_read_input_tokens: Option<u64>,
    cache_creation_input_tokens: Option<u64>,
    cache_creation: Option<CacheCreation>,
}

#[derive(Debug, Default, Deserialize)]
struct CacheCreation {
    ephemeral_5m_input_tokens: Option<u64>,
    ephemeral_1h_input_tokens: Option<u64>,
}

impl Figures {
    /// What a whole JSON answer reports; `None` where it reports nothing.
    pub fn of_message(body: &[u8]) -> Option<Self> {
        #[derive(Deserialize)]
        struct Message {
            usage: Option<Reported>,
        }
        let reported = serde_json::from_slice::<Message>(body).ok()?.usage?;
        let mut figures = Self::default();
        figures.replace_with(&reported);
        Some(figures)
    }

    fn replace_with(&mut self, reported: &Reported) {
        let usage = &mut self.usage;
        replace(&mut usage.input, reported.input_tokens);
        replace(&mut usage.output, reported.output_tokens);
        replace(&mut usage.cache_read, reported.cache_read_input_tokens);
        match &reported.cache_creation {
            Some(split) => {
                replace(&mut usage.cache_write_5m, split.ephemeral_5m_input_tokens);
                replace(&mut usage.cache_write_1h, split.ephemeral_1h_input_tokens);
            }
            // Without the split, what is not known to be for an hour is for the default lifetime of 5 minutes.
            None => {
                let hour = usage.cache_write_1h;
                let rest = reported.cache_creation_input_tokens.map(|total| total.saturating_sub(hour));
                replace(&mut usage.cache_write_5m, rest);
            }
        }
    }
}

fn replace(figure: &mut u64, reported: Option<u64>) {
    match reported {
        Some(count) if count <= LARGEST_COUNT => *figure = count,
        Some(count) => tracing::warn!(code = "metering.absurd", count, "a provider reported an absurd token count"),
        None => {}
    }
}

/// Reads usage and progress out of a stream of server-sent events as it passes by.
#[derive(Debug, Default)]
pub struct StreamReader {
    splitter: Splitter,
    progress: Progress,
}

/// What has been seen of a stream.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Progress {
    /// What was reported so far; `None` before `message_start`.
    pub figures: Option<Figures>,
    /// How many bytes of content have come.
    pub content_bytes: u64,
    /// A content block has begun: from here on the client has something to show.
    pub has_content: bool,
    /// The final figures have come.
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
    fn of(event: &Event) -> Self {
        #[derive(Deserialize)]
        struct Envelope {
            error: Inner,
        }
        #[derive(Deserialize)]
        struct Inner {
            r#type: String,
        }
        let envelope = serde_json::from_str::<Envelope>(&event.data).ok();
        match envelope.as_ref().map(|envelope| envelope.error.r#type.as_str()) {
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
        #[derive(Deserialize)]
        struct Start {
            message: Delta,
        }
        #[derive(Deserialize)]
        struct Delta {
            usage: Option<Reported>,
        }
        match event.name.as_str() {
            "message_start" => {
                let start: Option<Start> = serde_json::from_str(&event.data).ok();
                let mut figures = Figures::default();
                if let Some(reported) = start.and_then(|start| start.message.usage) {
                    figures.replace_with(&reported);
                }
                self.figures = Some(figures);
            }
            "content_block_start" | "content_block_delta" => self.has_content = true,
            "message_delta" => {
                let delta: Option<Delta> = serde_json::from_str(&event.data).ok();
                if let Some(reported) = delta.and_then(|delta| delta.usage) {
                    self.figures.get_or_insert_default().replace_with(&reported);
                    self.has_final_usage = true;
                }
            }
            "message_stop" => self.ended = true,
            "error" => {
                self.ended = true;
                self.error = Some(StreamError::of(event));
            }
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const STREAM: &str = concat!(
        "event: message_start\ndata: {\"type\":\"message_start\",\"message\":{\"usage\":{\"input_tokens\":25,",
        "\"cache_creation_input_tokens\":300,\"cache_read_input_tokens\":70,\"cache_creation\":",
        "{\"ephemeral_5m_input_tokens\":100,\"ephemeral_1h_input_tokens\":200},\"output_tokens\":1}}}\n\n",
        "event: ping\ndata: {\"type\":\"ping\"}\n\n",
        "event: content_block_start\ndata: {\"type\":\"content_block_start\"}\n\n",
        "event: content_block_delta\ndata: {\"type\":\"content_block_delta\"}\n\n",
        "event: message_delta\ndata: {\"type\":\"message_delta\",\"usage\":{\"input_tokens\":30,",
        "\"cache_creation_input_tokens\":300,\"output_tokens\":15}}\n\n",
        "event: message_stop\ndata: {\"type\":\"message_stop\"}\n\n",
    );

    const TOTAL: Usage = Usage {
        input: 30,
        output: 15,
        cache_read: 70,
        cache_write_5m: 100,
        cache_write_1h: 200,
        web_searches: 0,
        web_fetches: 0,
    };

    fn figures(usage: Usage) -> Option<Figures> {
        Some(Figures { usage, ..Figures::default() })
    }

    #[test]
    fn a_stream_cut_at_any_byte_reports_the_same_usage() {
        for cut in 0..=STREAM.len() {
            let mut reader = StreamReader::default();
            let (head, tail) = STREAM.as_bytes().split_at(cut);
            reader.feed(head);
            reader.feed(tail);
            let whole = Progress {
                figures: figures(TOTAL),
                content_bytes: 0,
                has_content: true,
                has_final_usage: true,
                ended: true,
                error: None,
            };
            assert_eq!(reader.progress(), whole, "cut at {cut}");
        }
    }

    #[test]
    fn before_the_end_the_input_side_is_known_and_nothing_is_final() {
        let mut reader = StreamReader::default();
        let (start, _) = STREAM.split_once("event: ping").unwrap();
        reader.feed(start.as_bytes());
        let progress = reader.progress();
        assert_eq!(progress.figures.map(|figures| (figures.usage.input, figures.usage.output)), Some((25, 1)));
        assert!(!progress.has_content && !progress.has_final_usage && !progress.ended);
    }

    #[test]
    fn an_error_event_ends_a_stream_and_tells_what_kind_of_error_it_was() {
        for (kind, expected) in [
            ("overloaded_error", StreamError::Overloaded),
            ("rate_limit_error", StreamError::RateLimit),
            ("invalid_request_error", StreamError::InvalidRequest),
            ("a_new_error", StreamError::Other),
        ] {
            let mut reader = StreamReader::default();
            let data = format!(r#"{{"type":"error","error":{{"type":"{kind}","message":"m"}}}}"#);
            reader.feed(format!("event: error\ndata: {data}\n\n").as_bytes());
            assert_eq!((reader.progress().ended, reader.progress().error), (true, Some(expected)), "{kind}");
        }
        let mut reader = StreamReader::default();
        reader.feed(b"event: error\ndata: nonsense\n\n");
        assert_eq!(reader.progress().error, Some(StreamError::Other));
    }

    #[test]
    fn a_json_answer_reports_its_usage_and_one_without_reports_none() {
        let body = br#"{"usage":{"input_tokens":3,"output_tokens":4,"cache_creation_input_tokens":5,"new_field":{}}}"#;
        let expected = Usage { input: 3, output: 4, cache_write_5m: 5, ..Usage::default() };
        assert_eq!(Figures::of_message(body), figures(expected));
        assert_eq!(Figures::of_message(br#"{"id":"msg_1"}"#), None);
        assert_eq!(Figures::of_message(b"not json"), None);
    }

    #[test]
    fn an_absurd_figure_is_left_out() {
        let body = br#"{"usage":{"input_tokens":3,"output_tokens":18446744073709551615}}"#;
        assert_eq!(Figures::of_message(body), figures(Usage { input: 3, ..Usage::default() }));
    }
}
