//! Parses a request for a message, and refuses an invalid one as Anthropic does.

use serde_json::Value;

use super::errors::Problem;
use super::models;

/// A valid request, with the fields that shape the answer.
#[derive(Debug)]
pub(super) struct Ask {
    /// The whole body.
    pub(super) body: Value,
    /// Model that answers, with aliases resolved.
    pub(super) model: String,
    pub(super) max_tokens: u64,
    pub(super) stream: bool,
    pub(super) thinks: bool,
    pub(super) stop_sequences: Vec<String>,
}

/// API version in `anthropic-version` (<https://platform.claude.com/docs/en/api/versioning>). Answers do not depend
/// on it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Version {
    /// `2023-06-01`.
    Of2023,
    /// `2026-10-21`, which the SDKs send since that day: no sampling parameters, no documents in the assistant's
    /// messages, no citations in the user's.
    Of2026,
}

impl Ask {
    pub(super) fn read(body: &[u8], version: Version) -> Result<Self, Problem> {
        let body = prompt(body, version)?;
        // Check the fields that only messages have.
        let max_tokens = match &body["max_tokens"] {
            Value::Null => return Err(Problem::invalid("max_tokens: Field required")),
            value => integer("max_tokens", value)?,
        };
        let stream = match &body["stream"] {
            Value::Null => false,
            Value::Bool(stream) => *stream,
            _ => return Err(Problem::invalid("stream: Input should be a valid boolean")),
        };
        if body["temperature"].as_f64().is_some_and(|value| !(0.0..=1.0).contains(&value)) {
            return Err(Problem::invalid("temperature: range: 0..1"));
        }
        let stop_sequences = body["stop_sequences"].as_array().into_iter().flatten();
        let stop_sequences = stop_sequences.filter_map(|stop| stop.as_str().map(str::to_owned)).collect();
        Ok(Self {
            model: model(&body)?,
            max_tokens,
            stream,
            thinks: thinks(&body["thinking"], max_tokens)?,
            stop_sequences,
            body,
        })
    }

    /// Returns the user id that the caller sent in `metadata`.
    pub(super) fn user(&self) -> Option<String> {
        self.body["metadata"]["user_id"].as_str().map(str::to_owned)
    }

    /// Returns the text of the last message, if its role is `user`.
    pub(super) fn last_user_text(&self) -> String {
        let last = self.body["messages"].as_array().and_then(|messages| messages.last());
        match last.filter(|message| message["role"] == "user").map(|message| &message["content"]) {
            Some(Value::String(text)) => text.clone(),
            Some(Value::Array(blocks)) => blocks.iter().filter_map(|block| block["text"].as_str()).collect(),
            _ => String::new(),
        }
    }
}

/// Validates the fields that messages and token counts have in common, and returns the body.
pub(super) fn prompt(body: &[u8], version: Version) -> Result<Value, Problem> {
    let body: Value = serde_json::from_slice(body)
        .map_err(|error| Problem::invalid(format!("The request body is not valid JSON: {error}")))?;
    if !body.is_object() {
        return Err(Problem::invalid("Input should be a valid dictionary"));
    }
    model(&body)?;
    messages(&body["messages"])?;
    if !matches!(body["system"], Value::Null | Value::String(_) | Value::Array(_)) {
        return Err(Problem::invalid("system: Input should be a valid list"));
    }
    tools(&body)?;
    if version == Version::Of2026 {
        removed(&body)?;
    }
    Ok(body)
}

/// Refuses fields and blocks that version 2026-10-21 has removed.
fn removed(body: &Value) -> Result<(), Problem> {
    if let Some(name) = ["temperature", "top_p", "top_k"].into_iter().find(|name| body.get(name).is_some()) {
        return Err(Problem::invalid(format!("{name}: not supported in API version 2026-10-21")));
    }
    for (number, message) in body["messages"].as_array().into_iter().flatten().enumerate() {
        let blocks = message["content"].as_array().into_iter().flatten();
        for (place, block) in blocks.enumerate() {
            let is_cited = block["citations"].as_array().is_some_and(|citations| !citations.is_empty());
            let what = match (message["role"].as_str(), block["type"].as_str()) {
                (Some("assistant"), Some("document")) => "document blocks are not supported in assistant messages",
                (Some("user"), Some("text")) if is_cited => "citations are not supported in user messages",
                _ => continue,
            };
            return Err(Problem::invalid(format!("messages.{number}.content.{place}: {what}")));
        }
    }
    Ok(())
}

fn model(body: &Value) -> Result<String, Problem> {
    match &body["model"] {
        Value::Null => Err(Problem::invalid("model: Field required")),
        Value::String(asked) if asked.is_empty() => {
            Err(Problem::invalid("model: String should have at least 1 character"))
        }
        Value::String(asked) => models::serving(asked),
        _ => Err(Problem::invalid("model: Input should be a valid string")),
    }
}

fn messages(messages: &Value) -> Result<(), Problem> {
    let messages = match messages {
        Value::Null => return Err(Problem::invalid("messages: Field required")),
        Value::Array(messages) if messages.is_empty() => {
            return Err(Problem::invalid("messages: at least one message is required"));
        }
        Value::Array(messages) => messages,
        _ => return Err(Problem::invalid("messages: Input should be a valid list")),
    };
    for (number, message) in messages.iter().enumerate() {
        if !message.is_object() {
            return Err(Problem::invalid(format!("messages.{number}: Input should be a valid dictionary")));
        }
        // Each message needs a role, and content that is text or a list of typed blocks.
        match message["role"].as_str() {
            None => return Err(Problem::invalid(format!("messages.{number}.role: Field required"))),
            Some("user" | "assistant" | "system") => {}
            Some(_) => {
                return Err(Problem::invalid(format!("messages.{number}.role: Input should be 'user' or 'assistant'")));
            }
        }
        match &message["content"] {
            Value::Null => return Err(Problem::invalid(format!("messages.{number}.content: Field required"))),
            Value::String(_) => {}
            Value::Array(blocks) => {
                if let Some(place) = blocks.iter().position(|block| !block["type"].is_string()) {
                    return Err(Problem::invalid(format!("messages.{number}.content.{place}.type: Field required")));
                }
            }
            _ => return Err(Problem::invalid(format!("messages.{number}.content: Input should be a valid list"))),
        }
    }
    Ok(())
}

fn tools(body: &Value) -> Result<(), Problem> {
    let tools = match &body["tools"] {
        Value::Null => &[][..],
        Value::Array(tools) => tools,
        _ => return Err(Problem::invalid("tools: Input should be a valid list")),
    };
    if let Some(number) = tools.iter().position(|tool| !tool["name"].is_string()) {
        return Err(Problem::invalid(format!("tools.{number}.name: Field required")));
    }
    let choice = &body["tool_choice"];
    if choice["type"] == "tool" && !tools.iter().any(|tool| tool["name"] == choice["name"]) {
        let name = choice["name"].as_str().unwrap_or_default();
        return Err(Problem::invalid(format!("tool_choice.tool: Tool '{name}' not found in provided tools")));
    }
    Ok(())
}

fn thinks(thinking: &Value, max_tokens: u64) -> Result<bool, Problem> {
    match (thinking, thinking["type"].as_str()) {
        (Value::Null, _) | (_, Some("disabled" | "between_tools")) => Ok(false),
        (_, Some("adaptive")) => Ok(true),
        (_, Some("enabled")) => match thinking["budget_tokens"].as_u64() {
            Some(..1024) => {
                Err(Problem::invalid("thinking.enabled.budget_tokens: Input should be greater than or equal to 1024"))
            }
            Some(budget) if budget >= max_tokens => {
                Err(Problem::invalid("`max_tokens` must be greater than `thinking.budget_tokens`."))
            }
            _ => Ok(true),
        },
        _ => Err(Problem::invalid("thinking.type: Input should be 'enabled', 'adaptive' or 'disabled'")),
    }
}

fn integer(field: &str, value: &Value) -> Result<u64, Problem> {
    match value.as_u64() {
        Some(integer) => Ok(integer),
        None if value.is_i64() => Err(Problem::invalid(format!("{field}: Input should be greater than or equal to 0"))),
        None => Err(Problem::invalid(format!("{field}: Input should be a valid integer"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_mistake_is_named_as_anthropic_names_it() {
        let valid = json!({ "model": models::EXAMPLE_MODEL, "max_tokens": 10,
                            "messages": [{ "role": "user", "content": "hi" }] });
        let read = |field: &str, value: Value| {
            let mut body = valid.clone();
            body[field] = value;
            Ask::read(body.to_string().as_bytes(), Version::Of2023)
        };
        assert!(read("max_tokens", json!(0)).is_ok());
        assert!(read("x_unknown", json!({})).is_ok());
        for (field, value, message) in [
            ("model", json!(null), "model: Field required"),
            ("model", json!("gpt-4"), "model: gpt-4"),
            ("max_tokens", json!(null), "max_tokens: Field required"),
            ("max_tokens", json!("10"), "max_tokens: Input should be a valid integer"),
            ("max_tokens", json!(-1), "max_tokens: Input should be greater than or equal to 0"),
            ("messages", json!(null), "messages: Field required"),
            ("messages", json!([]), "messages: at least one message is required"),
            ("messages", json!([{ "role": "user" }]), "messages.0.content: Field required"),
            ("messages", json!([{ "content": "hi" }]), "messages.0.role: Field required"),
            ("stream", json!("yes"), "stream: Input should be a valid boolean"),
            ("tools", json!([{}]), "tools.0.name: Field required"),
            (
                "tool_choice",
                json!({ "type": "tool", "name": "t" }),
                "tool_choice.tool: Tool 't' not found in provided tools",
            ),
        ] {
            assert_eq!(read(field, value).unwrap_err().message, message);
        }
    }

    #[test]
    fn the_version_of_2026_refuses_what_it_removed() {
        let document = json!([{ "type": "document", "source": {} }]);
        let cited = json!([{ "type": "text", "text": "hi", "citations": [{}] }]);
        for (changes, mistake) in [
            (json!({ "temperature": 1.0 }), "temperature: "),
            (json!({ "top_k": 5 }), "top_k: "),
            (json!({ "messages": [{ "role": "assistant", "content": document }] }), "messages.0.content.0: document"),
            (json!({ "messages": [{ "role": "user", "content": cited }] }), "messages.0.content.0: citations"),
        ] {
            let mut body = json!({ "model": models::EXAMPLE_MODEL, "max_tokens": 1,
                                   "messages": [{ "role": "user", "content": "hi" }] });
            body.as_object_mut().unwrap().extend(changes.as_object().unwrap().clone());
            let body = body.to_string();
            assert!(Ask::read(body.as_bytes(), Version::Of2023).is_ok(), "{body}");
            let problem = Ask::read(body.as_bytes(), Version::Of2026).unwrap_err();
            assert!(problem.message.starts_with(mistake), "{}", problem.message);
        }
    }
}
