//! Selection of the tool that an answer calls, and of its input.

use serde_json::{Map, Value, json};

use super::request::Ask;
use super::seed::Seed;

/// Depth to which an input follows its schema.
const DEEPEST: usize = 8;

/// Returns the client tool to call: one that the request requires, or one that the last message names.
pub(super) fn called(ask: &Ask) -> Option<&Value> {
    let tools = ask.body["tools"].as_array()?;
    let mut own = tools.iter().filter(|tool| !runs_at_provider(tool));
    let choice = &ask.body["tool_choice"];
    match choice["type"].as_str() {
        Some("none") => None,
        Some("any") => own.next(),
        Some("tool") => own.find(|tool| tool["name"] == choice["name"]),
        _ => {
            let text = ask.last_user_text();
            own.find(|tool| tool["name"].as_str().is_some_and(|name| text.contains(name)))
        }
    }
}

/// Returns true if the request offers a server tool, given by the start of its type: `web_search_`, `web_fetch_`.
pub(super) fn offers(ask: &Ask, kind: &str) -> bool {
    let is_kind = |tool: &Value| tool["type"].as_str().is_some_and(|name| name.starts_with(kind));
    ask.body["tool_choice"]["type"] != "none"
        && ask.body["tools"].as_array().is_some_and(|tools| tools.iter().any(is_kind))
}

/// Generates an input that fits a tool's schema: every property, with a value of its type.
pub(super) fn input(tool: &Value, mut seed: Seed) -> Value {
    let schema = &tool["input_schema"];
    if schema["properties"].is_object() { value(schema, &mut seed, DEEPEST) } else { json!({}) }
}

/// Returns true for tools that run at the provider. Client tools have the type `custom` or none. Tools that Anthropic
/// defines for the client to run have no schema, but are called as well.
fn runs_at_provider(tool: &Value) -> bool {
    const KINDS: [&str; 4] = ["web_search_", "web_fetch_", "code_execution_", "tool_search_"];
    tool["type"].as_str().is_some_and(|kind| KINDS.iter().any(|prefix| kind.starts_with(prefix)))
}

fn value(schema: &Value, seed: &mut Seed, depth: usize) -> Value {
    if let Some(given) = schema.get("const").or_else(|| schema["enum"].get(0)).or_else(|| schema.get("default")) {
        return given.clone();
    }
    let kind = match &schema["type"] {
        Value::Array(kinds) => kinds.first().and_then(Value::as_str),
        kind => kind.as_str(),
    };
    match kind {
        _ if depth == 0 => Value::Null,
        Some("integer") => json!(schema["minimum"].as_i64().unwrap_or(7)),
        Some("number") => json!(schema["minimum"].as_f64().unwrap_or(1.5)),
        Some("boolean") => json!(true),
        Some("null") => Value::Null,
        Some("array") => json!([value(&schema["items"], seed, depth - 1)]),
        Some("object") => {
            let properties = schema["properties"].as_object().into_iter().flatten();
            let values = properties.map(|(name, schema)| (name.clone(), value(schema, seed, depth - 1)));
            Value::Object(values.collect::<Map<_, _>>())
        }
        _ => json!(seed.word()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_input_has_every_property_with_its_type() {
        let tool = json!({ "name": "t", "input_schema": { "type": "object", "properties": {
            "city": { "type": "string" },
            "unit": { "enum": ["celsius", "fahrenheit"] },
            "days": { "type": "integer", "minimum": 3 },
            "tags": { "type": "array", "items": { "type": "boolean" } },
            "at": { "type": ["object", "null"], "properties": { "x": { "type": "number" } } },
        } } });
        let input = input(&tool, Seed::from_parts(&[b"x"]));
        assert!(input["city"].is_string());
        assert_eq!(input["unit"], "celsius");
        assert_eq!(input["days"], 3);
        assert_eq!(input["tags"], json!([true]));
        assert_eq!(input["at"], json!({ "x": 1.5 }));
    }
}
