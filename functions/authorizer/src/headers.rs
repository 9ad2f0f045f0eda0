//! Headers of the request, as API Gateway passes them to an authorizer.
//!
//! The event holds them twice: once with all values, and once with the last value of each name. Names are spelled as
//! the client sent them, so one header may appear under several spellings, in no particular order. A header that
//! decides about the caller is therefore read from all of its spellings, and is ambiguous if they disagree.

use std::collections::BTreeMap;

use serde::Deserialize;

/// The two maps of headers. Either is `None` if the request has no headers. A `null` value counts as none.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Headers {
    headers: Option<BTreeMap<String, Option<String>>>,
    multi_value_headers: Option<BTreeMap<String, Option<Vec<Option<String>>>>>,
}

/// Error of a request that states two different things about its caller. The message is public and repeats no value.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Ambiguous {
    /// One header has several values.
    #[error("The header {0} was sent more than once, with different values. Send it once.")]
    Header(&'static str),
    /// Two headers hold different API keys.
    #[error("x-api-key and Authorization: Bearer hold two different API keys. Send one of them.")]
    Keys,
}

impl Headers {
    /// Returns the values of the header `name` for each spelling, in the order in which they were sent.
    fn spellings(&self, name: &str) -> impl Iterator<Item = Vec<&str>> {
        // Take spellings from the map with all values; the other map only adds those that are missing there.
        let all = self.multi_value_headers.iter().flatten();
        let of_lines = all.map(|(key, values)| (key, values.iter().flatten().flatten().map(String::as_str).collect()));
        let is_listed = |key: &String| self.multi_value_headers.as_ref().is_some_and(|all| all.contains_key(key));
        let single = self.headers.iter().flatten().filter(move |(key, _)| !is_listed(key));
        let of_lines = of_lines.chain(single.map(|(key, value)| (key, value.iter().map(String::as_str).collect())));
        of_lines.filter(move |(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, values)| values)
    }

    /// Returns every non-empty value of the header `name`.
    pub fn all(&self, name: &str) -> Vec<&str> {
        self.spellings(name).flatten().map(str::trim).filter(|value| !value.is_empty()).collect()
    }

    /// Returns the value of the header `name`. Ignores empty values, and counts equal values once.
    ///
    /// # Errors
    /// Returns [`Ambiguous`] if it has several different values.
    pub fn one(&self, name: &'static str) -> Result<Option<&str>, Ambiguous> {
        let values = self.all(name);
        let Some(first) = values.first() else { return Ok(None) };
        if values.iter().any(|value| value != first) {
            return Err(Ambiguous::Header(name));
        }
        Ok(Some(*first))
    }

    /// Returns the lines of the header `name`, which is a list and may be sent in several lines.
    ///
    /// # Errors
    /// Returns [`Ambiguous`] if two spellings hold different lines, because their order is not known.
    pub fn lines(&self, name: &'static str) -> Result<Vec<&str>, Ambiguous> {
        let mut spellings = self.spellings(name);
        let lines = spellings.next().unwrap_or_default();
        if spellings.any(|others| others != lines) {
            return Err(Ambiguous::Header(name));
        }
        Ok(lines)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn headers(single: serde_json::Value, all: serde_json::Value) -> Headers {
        serde_json::from_value(json!({ "headers": single, "multiValueHeaders": all })).unwrap()
    }

    #[test]
    fn a_header_is_found_in_any_spelling_and_in_either_map() {
        let of_null = headers(json!({ "x-k": null, "x-l": "a" }), json!({ "x-m": null, "x-n": [null, "b"] }));
        let read = ["x-k", "x-l", "x-m", "x-n"].map(|name| of_null.one(name).unwrap());
        assert_eq!(read, [None, Some("a"), None, Some("b")]);
        let of_one = headers(json!({ "X-API-Key": "a" }), json!(null));
        let of_all = headers(json!(null), json!({ "x-Api-key": ["a"] }));
        for headers in [of_one, of_all, headers(json!({ "X-Key": "b", "x-api-key": "a" }), json!({ "X-Key": ["b"] }))] {
            assert_eq!(headers.one("x-api-key"), Ok(Some("a")), "{headers:?}");
        }
        assert_eq!(Headers::default().one("x-api-key"), Ok(None));
    }

    #[test]
    fn equal_values_are_one_and_empty_ones_are_none() {
        let same = headers(json!({ "x-k": "a" }), json!({ "X-K": ["a", " a"], "x-k": ["", "a"] }));
        assert_eq!(same.one("x-k"), Ok(Some("a")));
        assert_eq!(headers(json!({ "x-k": "" }), json!({ "x-k": ["", " "] })).one("x-k"), Ok(None));
    }

    #[test]
    fn different_values_are_ambiguous_in_several_lines_and_in_several_spellings() {
        let lines = headers(json!({ "x-k": "b" }), json!({ "x-k": ["a", "b"] }));
        let spellings = headers(json!({ "x-k": "a", "X-K": "b" }), json!({ "x-k": ["a"], "X-K": ["b"] }));
        let single = headers(json!({ "x-k": "a", "X-K": "b" }), json!(null));
        for headers in [lines, spellings, single] {
            assert_eq!(headers.one("x-k"), Err(Ambiguous::Header("x-k")), "{headers:?}");
        }
    }

    #[test]
    fn a_list_keeps_its_lines_in_order_unless_two_spellings_disagree() {
        let list = headers(json!({ "X-F": "c" }), json!({ "X-F": ["a, b", "c"] }));
        assert_eq!(list.lines("x-f"), Ok(vec!["a, b", "c"]));
        assert_eq!(list.lines("x-g"), Ok(Vec::new()));
        let twice = headers(json!(null), json!({ "X-F": ["a"], "x-f": ["a"] }));
        assert_eq!(twice.lines("x-f"), Ok(vec!["a"]));
        let apart = headers(json!(null), json!({ "X-F": ["a"], "x-f": ["b"] }));
        assert_eq!(apart.lines("x-f"), Err(Ambiguous::Header("x-f")));
    }
}
