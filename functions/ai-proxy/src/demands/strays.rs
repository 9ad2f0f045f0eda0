//! Finds names that guards limit, such as `model`, in places in which [`Demands`](super::Demands) does not read them. No I/O.
//!
//! The API may give a meaning to such a place at any time: a tool that summarizes with a model of its own, say. The whole body
//! is searched, but for what the caller and its tools write freely: schemas, inputs and examples.

use serde::Deserialize as _;
use serde_json::value::RawValue;

use super::object::{Object, is_null, join};

/// Names that stand for a model, a ceiling of tokens, or another thing that guards limit.
const LIMITED: [&str; 10] = [
    "budget_tokens",
    "definition",
    "fallbacks",
    "inference_geo",
    "max_output_tokens",
    "max_tokens",
    "mcp_servers",
    "model",
    "service_tier",
    "speed",
];

/// Names below which callers and tools write freely.
const FREE: [&str; 4] = ["input", "input_examples", "input_schema", "schema"];

/// Places in which limited names are read, or mean nothing. `[]` stands for any entry of a list.
const KNOWN: [&str; 20] = [
    "fallbacks",
    "fallbacks[].max_tokens",
    "fallbacks[].model",
    "fallbacks[].speed",
    "fallbacks[].thinking.budget_tokens",
    "inference_geo",
    "max_tokens",
    "mcp_servers",
    "messages[].content[].from.model",
    "messages[].content[].to.model",
    "messages[].content[].tool.definition",
    "messages[].content[].tool_changes[].tool.definition",
    "model",
    "service_tier",
    "speed",
    "thinking.budget_tokens",
    "tools[].max_tokens",
    "tools[].model",
    // Below a definition, as in a tool.
    "definition.max_tokens",
    "definition.model",
];

/// The most levels of objects and lists that are searched. Bodies of the API have about ten.
const MOST_LEVELS: usize = 24;

/// A place in the body.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stray {
    /// The path of the object, such as `tools[0].summarizer`.
    pub place: String,
    /// The name of its field; `None` if the place is too deep to be searched.
    pub name: Option<String>,
}

/// Searches `body`.
///
/// # Errors
/// If an object in it has a duplicate field, or a name that is no text.
pub fn find(body: &[u8]) -> Result<Vec<Stray>, serde_json::Error> {
    let mut search = Search::default();
    let body: &RawValue = serde_json::from_slice(body)?;
    search.value("", "", 0, body)?;
    Ok(search.0)
}

#[derive(Debug, Default)]
struct Search(Vec<Stray>);

impl Search {
    /// Searches the value at `place`, whose path without indices is `path`.
    fn value(&mut self, place: &str, path: &str, level: usize, value: &RawValue) -> Result<(), serde_json::Error> {
        // Text, numbers and the like have no names.
        let value = value.get();
        if !value.starts_with(['{', '[']) {
            return Ok(());
        }
        // Give up on bodies that are deeper than any of the API.
        if level == MOST_LEVELS {
            self.0.push(Stray { place: place.to_owned(), name: None });
            return Ok(());
        }
        // Search the entries of a list.
        if value.starts_with('[') {
            let items = Vec::<&RawValue>::deserialize(&mut serde_json::Deserializer::from_str(value))?;
            for (index, item) in items.into_iter().enumerate() {
                self.value(&format!("{place}[{index}]"), &format!("{path}[]"), level + 1, item)?;
            }
            return Ok(());
        }
        // Report limited names in unknown places, and search below all others.
        let object: Object<'_> = serde_json::from_str(value)?;
        for (name, value) in object.0 {
            let (place_of_field, path) = (join(place, &name), join(path, &name));
            if LIMITED.contains(&name.as_str()) && !is_null(value) && !is_known(&path) {
                self.0.push(Stray { place: place.to_owned(), name: Some(name) });
            } else if !FREE.contains(&name.as_str()) {
                self.value(&place_of_field, &path, level + 1, value)?;
            }
        }
        Ok(())
    }
}

/// Returns true if a limited name at `path` is read elsewhere.
fn is_known(path: &str) -> bool {
    let below_definition =
        path.rsplit_once(".definition.").map(|(above, field)| (above, format!("definition.{field}")));
    match below_definition {
        Some((above, field)) => {
            KNOWN.contains(&format!("{above}.definition").as_str()) && KNOWN.contains(&field.as_str())
        }
        None => KNOWN.contains(&path),
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case::nothing(r#"{"model":"m","max_tokens":1,"messages":[{"role":"user","content":"model"}]}"#, &[])]
    #[case::fallbacks(r#"{"fallbacks":[{"model":"m","max_tokens":1,"speed":"fast","thinking":{"budget_tokens":1}}]}"#, &[])]
    #[case::a_tool(r#"{"tools":[{"type":"advisor_20260301","model":"m","max_tokens":1}]}"#, &[])]
    #[case::a_schema(r#"{"tools":[{"input_schema":{"properties":{"model":{"type":"string"}}}}]}"#, &[])]
    #[case::an_input(r#"{"messages":[{"content":[{"type":"tool_use","input":{"model":"T"}}]}]}"#, &[])]
    #[case::a_fallback_block(r#"{"messages":[{"content":[{"type":"fallback","from":{"model":"m"},"to":{"model":"n"}}]}]}"#, &[])]
    #[case::a_definition(
        r#"{"messages":[{"content":[{"tool":{"definition":{"model":"m","max_tokens":1,"input_schema":{"model":1}}}}]}]}"#,
        &[]
    )]
    #[case::null(r#"{"thinking":{"model":null}}"#, &[])]
    #[case::within_a_tool(r#"{"tools":[{},{"summarizer":{"model":"m","max_tokens":1}}]}"#, &["tools[1].summarizer max_tokens", "tools[1].summarizer model"])]
    #[case::an_edit(r#"{"context_management":{"edits":[{"model":"m"}]}}"#, &["context_management.edits[0] model"])]
    #[case::thinking(r#"{"thinking":{"model":"m"}}"#, &["thinking model"])]
    #[case::tool_choice(r#"{"tool_choice":{"model":"m"}}"#, &["tool_choice model"])]
    #[case::a_text_block(r#"{"messages":[{"content":[{"type":"text","model":"m"}]}]}"#, &["messages[0].content[0] model"])]
    #[case::content_that_is_an_object(
        r#"{"messages":[{"content":{"tool":{"definition":{"model":"m"}}}}]}"#,
        &["messages[0].content.tool definition"]
    )]
    #[case::system(r#"{"system":[{"tool":{"definition":{"model":"m"}}}]}"#, &["system[0].tool definition"])]
    #[case::deep_in_a_definition(
        r#"{"messages":[{"content":[{"tool":{"definition":{"helper":{"model":"m"}}}}]}]}"#,
        &["messages[0].content[0].tool.definition.helper model"]
    )]
    #[case::escaped(r#"{"thinking":{"mod\u0065l":"m"}}"#, &["thinking model"])]
    fn limited_names_are_found_wherever_they_are_not_read(#[case] body: &str, #[case] expected: &[&str]) {
        let found = find(body.as_bytes()).unwrap();
        let found: Vec<_> =
            found.iter().map(|it| format!("{} {}", it.place, it.name.as_deref().unwrap_or("-"))).collect();
        assert_eq!(found, expected);
    }

    #[test]
    fn what_is_too_deep_is_found_too_and_text_may_be_no_utf_8() {
        let deep = "[".repeat(100_000) + &"]".repeat(100_000);
        let found = find(format!(r#"{{"system":{deep}}}"#).as_bytes()).unwrap();
        assert_eq!((found.len(), found[0].name.as_deref()), (1, None));
        assert_eq!(find(br#"{"system":"\ud83d","messages":["\ud83d"]}"#).unwrap(), []);
        assert!(find(br#"{"thinking":{"a":1,"a":2}}"#).is_err());
    }
}
