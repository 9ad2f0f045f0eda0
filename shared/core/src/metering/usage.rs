//! Extracts the tokens that a call used from the provider's answer. [`Reading::of_message`] reads a JSON answer, and
//! [`StreamReader`] reads a stream of events as it passes by.
//!
//! In Anthropic's API (<https://docs.anthropic.com/en/api/messages>, .../messages-streaming) the input figures are
//! disjoint: `input_tokens` excludes the tokens that were read from or written to the cache. A stream reports twice.
//! `message_start` has the input side, with the only split of cache writes by lifetime, and the first token or so of
//! output. `message_delta`, at the end, has cumulative figures, each of which replaces the earlier one if present. If
//! the provider itself calls tools, such as a web search, the input has grown in between.
//!
//! If the provider made several sampling passes, `usage.iterations` lists them one by one, and some appear in no other
//! figure. [`Reading`] breaks a call down by model.
//!
//! No input makes this module fail. Unknown parts are not counted, and each figure that cannot be a count is left out
//! ([`Figures::is_absurd`]). The caller is expected to log the first such field ([`Reading::absurd`]).

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
pub use stream::{StreamError, StreamProgress, StreamReader};

/// Average bytes of English text per token.
const BYTES_PER_TOKEN: u64 = 4;

/// Tokens and requests to server tools of one call.
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
    /// Web searches that the provider made (`server_tool_use`).
    pub web_searches: u64,
    /// Web pages that the provider fetched (`server_tool_use`).
    pub web_fetches: u64,
}

/// Service tier of a call. Providers price tiers differently.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Tier {
    /// The default tier; also if the provider names none.
    #[default]
    Standard,
    /// The priority tier.
    Priority,
    /// The batch tier.
    Batch,
    /// A tier that is unknown here.
    Other,
}

/// Figures that a provider reports for a call.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Figures {
    /// Tokens and requests.
    #[serde(flatten)]
    pub usage: Usage,
    /// Service tier.
    pub tier: Tier,
    /// True if a figure could not be a count (negative, fractional, above 1,000,000,000, or not a number) and was left
    /// out, so that `usage` is incomplete. It stays true even if a later figure makes up for that.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub is_absurd: bool,
}

impl Tier {
    /// Returns the tier's name in Anthropic's API.
    pub fn name(self) -> &'static str {
        match self {
            Self::Standard => "standard",
            Self::Priority => "priority",
            Self::Batch => "batch",
            Self::Other => "other",
        }
    }
}
