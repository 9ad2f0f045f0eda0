//! Reads the tokens of a call out of what the provider answered: [`Reading::of_message`] out of a JSON answer,
//! [`StreamReader`] out of a stream of events as it passes by.
//!
//! In Anthropic's API (<https://docs.anthropic.com/en/api/messages>, .../messages-streaming) the input figures are
//! disjoint: `input_tokens` leaves out what was read from or written to the cache. A stream reports twice.
//! `message_start` has the input side, with the only split of cache writes by lifetime, and a first token or so of
//! output; `message_delta`, at the end, has cumulative figures, which replace what came before as far as they are there.
//! Where the provider itself calls tools, such as a web search, the input has grown in between.
//!
//! Where the provider made several sampling passes, `usage.iterations` has them one by one, and some are in no other
//! figure: [`Reading`] says what of a call each model used.
//!
//! Nothing that a provider sends makes this fail: what is not understood is not counted, and what cannot be a count is
//! refused, one by one ([`Figures::is_absurd`]); which one was the first is for the caller to log ([`Reading::absurd`]).

mod figures;
mod json;
mod parts;
mod prompt;
mod reported;
mod stream;

#[cfg(test)]
mod corpus;

use serde::{Deserialize, Serialize};

pub use parts::{MOST_PARTS, OTHER, PROMPT_STEPS, Part, Service, is_same_model, prompt_above, without_date};
pub use prompt::estimate_prompt;
pub use reported::Reading;
pub use stream::{Progress, StreamError, StreamReader};

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

/// The service tier of a call; providers price tiers differently.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
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
    /// The service tier.
    pub tier: Tier,
    /// A figure could be no count (negative, fractional, beyond a thousand million, or no number at all) and was refused,
    /// so that `usage` is not the whole of it. It stays so even where a later figure makes up for that.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub is_absurd: bool,
}

impl Tier {
    /// Returns the tier's name, as Anthropic has it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Standard => "standard",
            Self::Priority => "priority",
            Self::Batch => "batch",
            Self::Other => "other",
        }
    }
}
