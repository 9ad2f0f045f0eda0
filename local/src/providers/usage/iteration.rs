//! Iterations: the usage of each sampling pass of a message.

use serde::{Deserialize, Serialize};

use super::CacheCreation;

/// Usage of one sampling pass, in tokens. Anthropic's sums leave out `compaction`, `advisor_message` and declined
/// passes.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub(in crate::providers) struct Iteration {
    r#type: IterationType,
    /// Model of this pass. Anthropic always names it for `advisor_message` and `fallback_message`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    model: Option<String>,
    #[serde(default)]
    input_tokens: u64,
    #[serde(default)]
    output_tokens: u64,
    #[serde(default)]
    cache_creation_input_tokens: Option<u64>,
    #[serde(default)]
    cache_read_input_tokens: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    cache_creation: Option<CacheCreation>,
}

/// Kind of a pass.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
enum IterationType {
    /// A pass of the model, including one that declined before a fallback.
    Message,
    /// The summary of a context that is closed.
    Compaction,
    /// A pass of the advisor tool's model.
    AdvisorMessage,
    /// The pass of the fallback model whose output is the message.
    FallbackMessage,
}

impl Iteration {
    /// Completes the cache writes that the script left out: their sum, or their split with all for five minutes.
    pub(super) fn complete(&mut self) {
        match (self.cache_creation_input_tokens, &self.cache_creation) {
            (Some(tokens), None) => self.cache_creation = Some(CacheCreation::five_minutes(tokens)),
            (None, split) => {
                self.cache_creation_input_tokens = Some(split.as_ref().map_or(0, CacheCreation::total));
            }
            (Some(_), Some(_)) => {}
        }
    }
}
