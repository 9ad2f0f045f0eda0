//! Usage of a call. The number of tokens is the number of characters divided by four. This is not the real count, but
//! it grows in the same way, and is easy to verify.

mod iteration;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use iteration::Iteration;

const CHARACTERS_A_TOKEN: u64 = 4;

/// Overhead of a message besides its content, in tokens: its role and frame.
const TOKENS_A_MESSAGE: u64 = 3;

/// Size of an image or a document, independent of its content.
const CHARACTERS_OF_A_FILE: u64 = 6_000;

/// Anthropic's usage object, in tokens. Input, cache reads and cache writes are disjoint.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Usage {
    pub(super) input_tokens: u64,
    pub(super) cache_creation_input_tokens: Option<u64>,
    pub(super) cache_read_input_tokens: Option<u64>,
    /// Split of cache writes; absent in `message_delta`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) cache_creation: Option<CacheCreation>,
    pub(super) output_tokens: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) output_tokens_details: Option<OutputDetails>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) server_tool_use: Option<ServerToolUse>,
    /// Sampling passes; absent in `message_start`, and set only by scripts.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) iterations: Option<Vec<Iteration>>,
    /// Absent in `message_delta`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) service_tier: Option<String>,
    /// Absent in `message_delta`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) inference_geo: Option<String>,
    /// Absent in `message_delta`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) speed: Option<String>,
}

/// Cache writes by lifetime.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct CacheCreation {
    pub(super) ephemeral_5m_input_tokens: u64,
    pub(super) ephemeral_1h_input_tokens: u64,
}

impl CacheCreation {
    fn five_minutes(tokens: u64) -> Self {
        Self { ephemeral_5m_input_tokens: tokens, ephemeral_1h_input_tokens: 0 }
    }

    fn total(&self) -> u64 {
        self.ephemeral_5m_input_tokens.saturating_add(self.ephemeral_1h_input_tokens)
    }
}

/// Breakdown of the output tokens.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct OutputDetails {
    pub(super) thinking_tokens: u64,
}

/// Numbers of calls of tools that run at the provider.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct ServerToolUse {
    pub(super) web_search_requests: u64,
    pub(super) web_fetch_requests: u64,
}

impl Usage {
    /// Returns this usage with a script's fields applied. Objects are merged; a list is replaced. If a script sets
    /// only the sum of the cache writes or only their split, the other one is made to match: all for five minutes, or
    /// the sum of both. The same is done within an iteration.
    ///
    /// # Errors
    ///
    /// A field that Anthropic's usage object lacks, or one of the wrong type.
    pub(super) fn overridden(&self, over: &Map<String, Value>) -> serde_json::Result<Self> {
        let mut merged = serde_json::to_value(self)?;
        lay_over(&mut merged, over);
        let mut usage = Self::deserialize(merged)?;
        // Make sum and split of the cache writes consistent.
        match (over.get("cache_creation_input_tokens"), over.get("cache_creation")) {
            (Some(_), None) => {
                usage.cache_creation = usage.cache_creation_input_tokens.map(CacheCreation::five_minutes);
            }
            (None, Some(_)) => {
                usage.cache_creation_input_tokens = usage.cache_creation.as_ref().map(CacheCreation::total);
            }
            _ => {}
        }
        usage.iterations.iter_mut().flatten().for_each(Iteration::complete);
        Ok(usage)
    }

    /// Returns the form in `message_start`, before any output.
    pub(super) fn at_start(&self, max_tokens: u64) -> Self {
        Self {
            output_tokens: max_tokens.min(1),
            output_tokens_details: None,
            server_tool_use: None,
            iterations: None,
            ..self.clone()
        }
    }

    /// Returns the form in `message_delta`, in which all counts are cumulative.
    pub(super) fn at_end(&self) -> Self {
        Self { cache_creation: None, service_tier: None, inference_geo: None, speed: None, ..self.clone() }
    }
}

fn lay_over(onto: &mut Value, over: &Map<String, Value>) {
    for (field, value) in over {
        match (value, &mut onto[field]) {
            (Value::Object(value), onto @ Value::Object(_)) => lay_over(onto, value),
            (value, onto) => *onto = value.clone(),
        }
    }
}

pub(super) fn tokens(characters: u64) -> u64 {
    characters.div_ceil(CHARACTERS_A_TOKEN)
}

/// Returns the number of characters that fit into this number of tokens.
pub(super) fn characters(tokens: u64) -> u64 {
    tokens.saturating_mul(CHARACTERS_A_TOKEN)
}

/// Computes the input side of a request's usage. The prompt consists of tools, system and messages, in this order. A
/// block with `cache_control` closes a segment of it, which is written to the cache for its `ttl`. If the block's
/// text contains `cached`, the segment that it closes, or the block itself, is read from the cache instead.
pub(super) fn of_prompt(request: &Value) -> Usage {
    let blocks = blocks(request);
    let last = blocks.len();
    let (mut plain, mut read, mut split) = (0, 0, CacheCreation::default());
    let mut open = 0;
    // `open` is the size of the segment that no block has closed yet.
    for (number, block) in (1..).zip(&blocks) {
        let own = tokens(weight(block));
        let control = block.get("cache_control").or_else(|| request.get("cache_control").filter(|_| number == last));
        let ttl = control.and_then(|control| control["ttl"].as_str());
        match (control, mentions_cached(block)) {
            (Some(_), true) => read += std::mem::take(&mut open) + own,
            (None, true) => read += own,
            (Some(_), false) if ttl == Some("1h") => split.ephemeral_1h_input_tokens += std::mem::take(&mut open) + own,
            (Some(_), false) => split.ephemeral_5m_input_tokens += std::mem::take(&mut open) + own,
            (None, false) => open += own,
        }
    }
    // The rest is neither read from nor written to the cache.
    plain += open;

    let messages = request["messages"].as_array().map_or(0, Vec::len);
    Usage {
        input_tokens: plain + TOKENS_A_MESSAGE * u64::try_from(messages).unwrap_or_default(),
        cache_creation_input_tokens: Some(split.ephemeral_5m_input_tokens + split.ephemeral_1h_input_tokens),
        cache_read_input_tokens: Some(read),
        cache_creation: Some(split),
        service_tier: Some("standard".to_owned()),
        ..Usage::default()
    }
}

/// Returns the total input of a prompt, cached or not.
pub(super) fn total_input(request: &Value) -> u64 {
    let usage = of_prompt(request);
    usage.input_tokens
        + usage.cache_creation_input_tokens.unwrap_or_default()
        + usage.cache_read_input_tokens.unwrap_or_default()
}

fn blocks(request: &Value) -> Vec<&Value> {
    let contents = request["messages"].as_array().into_iter().flatten().map(|message| &message["content"]);
    [&request["tools"], &request["system"]]
        .into_iter()
        .chain(contents)
        .flat_map(|content| match content {
            Value::Array(blocks) => blocks.iter().collect(),
            Value::Null => Vec::new(),
            text => vec![text],
        })
        .collect()
}

/// Returns the number of characters of all text in a block.
fn weight(value: &Value) -> u64 {
    match value {
        Value::String(text) => u64::try_from(text.chars().count()).unwrap_or_default(),
        Value::Array(values) => values.iter().map(weight).sum(),
        Value::Object(source) if source.get("type").is_some_and(|kind| kind == "base64") => CHARACTERS_OF_A_FILE,
        Value::Object(fields) => {
            let is_text = |name: &str| !matches!(name, "type" | "cache_control");
            fields.iter().filter(|(name, _)| is_text(name)).map(|(_, value)| weight(value)).sum()
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => 0,
    }
}

fn mentions_cached(value: &Value) -> bool {
    match value {
        Value::String(text) => text.contains("cached"),
        Value::Array(values) => values.iter().any(mentions_cached),
        Value::Object(fields) => fields.values().any(mentions_cached),
        Value::Null | Value::Bool(_) | Value::Number(_) => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn every_token_of_a_prompt_is_counted_once() {
        let request = json!({
            "tools": [{ "name": "abcd", "cache_control": { "type": "ephemeral", "ttl": "1h" } }],
            "system": [{ "type": "text", "text": "12345678" },
                       { "type": "text", "text": "1234", "cache_control": { "type": "ephemeral" } }],
            "messages": [{ "role": "user", "content": [{ "type": "text", "text": "a cached one" }] },
                         { "role": "user", "content": "12345" }],
        });
        let usage = of_prompt(&request);
        assert_eq!(
            usage.cache_creation,
            Some(CacheCreation { ephemeral_5m_input_tokens: 3, ephemeral_1h_input_tokens: 1 })
        );
        assert_eq!(usage.cache_creation_input_tokens, Some(4));
        assert_eq!(usage.cache_read_input_tokens, Some(3));
        assert_eq!(usage.input_tokens, 2 + 2 * TOKENS_A_MESSAGE);
        assert_eq!(total_input(&request), 4 + 3 + 8);
    }

    #[test]
    fn a_script_overrides_and_keeps_the_cache_writes_consistent() {
        let over = json!({ "input_tokens": 5, "cache_creation": { "ephemeral_1h_input_tokens": 9 } });
        let usage = of_prompt(&json!({})).overridden(over.as_object().unwrap()).unwrap();
        assert_eq!((usage.input_tokens, usage.cache_creation_input_tokens), (5, Some(9)));
        let over = json!({ "cache_creation_input_tokens": 8, "service_tier": null });
        let usage = of_prompt(&json!({})).overridden(over.as_object().unwrap()).unwrap();
        assert_eq!(usage.cache_creation.unwrap().ephemeral_5m_input_tokens, 8);
        assert_eq!(usage.service_tier, None);
    }

    #[test]
    fn iterations_come_from_the_script_alone_and_keep_their_cache_writes_consistent() {
        let over = json!({ "iterations": [
            { "type": "message", "input_tokens": 5, "output_tokens": 7 },
            { "type": "compaction", "cache_creation_input_tokens": 8 },
            { "type": "advisor_message", "model": "claude-opus-5-5",
              "cache_creation": { "ephemeral_1h_input_tokens": 9 } },
        ] });
        let usage = of_prompt(&json!({}));
        assert_eq!(usage.iterations, None);
        let shown = json!(usage.overridden(over.as_object().unwrap()).unwrap());
        assert_eq!(
            shown["iterations"],
            json!([
                { "type": "message", "input_tokens": 5, "output_tokens": 7, "cache_creation_input_tokens": 0,
                  "cache_read_input_tokens": 0 },
                { "type": "compaction", "input_tokens": 0, "output_tokens": 0, "cache_creation_input_tokens": 8,
                  "cache_read_input_tokens": 0,
                  "cache_creation": { "ephemeral_5m_input_tokens": 8, "ephemeral_1h_input_tokens": 0 } },
                { "type": "advisor_message", "model": "claude-opus-5-5", "input_tokens": 0, "output_tokens": 0,
                  "cache_creation_input_tokens": 9, "cache_read_input_tokens": 0,
                  "cache_creation": { "ephemeral_5m_input_tokens": 0, "ephemeral_1h_input_tokens": 9 } },
            ])
        );
        for mistake in [
            json!([{}]),
            json!([{ "type": "thinking" }]),
            json!([{ "type": "message", "tokens": 1 }]),
            json!([{ "type": "message", "input_tokens": -1 }]),
            json!({ "type": "message" }),
        ] {
            let over = json!({ "iterations": mistake });
            assert!(of_prompt(&json!({})).overridden(over.as_object().unwrap()).is_err(), "{over}");
        }
    }
}
