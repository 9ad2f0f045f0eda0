//! Reads untrusted JSON in parts: an unexpected part does not affect the others.

use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

/// A JSON object. It holds only its text, however many fields it has. Each access parses the text again.
#[derive(Debug, Clone, Copy)]
pub(super) struct Object<'a>(&'a str);

impl Default for Object<'_> {
    fn default() -> Self {
        Self("{}")
    }
}

impl<'a> Object<'a> {
    /// Parses an object; `None` if `json` is not one.
    pub(super) fn parse(json: &'a str) -> Option<Self> {
        let mut deserializer = serde_json::Deserializer::from_str(json);
        deserializer.deserialize_map(Field("")).and_then(|_| deserializer.end()).ok()?;
        Some(Self(json))
    }

    /// Returns the JSON of a field, the last one if it is duplicated; `None` if it is missing or null.
    pub(super) fn field(&self, name: &str) -> Option<&'a str> {
        let value = serde_json::Deserializer::from_str(self.0).deserialize_map(Field(name)).ok()??.get();
        (value != "null").then_some(value)
    }

    /// Returns a field that is an object; an empty object if it is not.
    pub(super) fn object(&self, name: &str) -> Object<'a> {
        self.field(name).and_then(Object::parse).unwrap_or_default()
    }

    /// Returns the text of a field; `None` if it is not a string.
    pub(super) fn text(&self, name: &str) -> Option<String> {
        serde_json::from_str(self.field(name)?).ok()
    }

    /// Returns the length of a field's text in bytes of UTF-8; 0 if it is not a string.
    pub(super) fn text_length(&self, name: &str) -> usize {
        match self.field(name) {
            // Text with half a surrogate pair has no UTF-8. The length of its JSON is close enough.
            Some(json) if json.starts_with('"') => self.text(name).map_or(json.len() - 2, |text| text.len()),
            _ => 0,
        }
    }
}

/// Returns the JSON of the first `most` elements of an array, and true if there are more; `None` if `json` is not an
/// array.
pub(super) fn elements(json: &str, most: usize) -> Option<(Vec<&str>, bool)> {
    let mut deserializer = serde_json::Deserializer::from_str(json);
    let (elements, has_more) = deserializer.deserialize_seq(Elements(most)).ok()?;
    deserializer.end().ok()?;
    Some((elements.into_iter().map(RawValue::get).collect(), has_more))
}

/// Keeps this many elements of an array and skips the rest.
struct Elements(usize);

impl<'de> Visitor<'de> for Elements {
    type Value = (Vec<&'de RawValue>, bool);

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("an array")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut array: A) -> Result<Self::Value, A::Error> {
        let mut elements = Vec::new();
        while elements.len() < self.0 {
            match array.next_element()? {
                Some(element) => elements.push(element),
                None => return Ok((elements, false)),
            }
        }
        // Skip the rest, but read it to its end to know that it is an array.
        let mut has_more = false;
        while array.next_element::<IgnoredAny>()?.is_some() {
            has_more = true;
        }
        Ok((elements, has_more))
    }
}

/// Finds the value of the field with this name.
struct Field<'n>(&'n str);

impl<'de> Visitor<'de> for Field<'_> {
    type Value = Option<&'de RawValue>;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut fields: A) -> Result<Self::Value, A::Error> {
        // Go through all fields: the last of two with the same name counts, as it does for official SDKs.
        let mut found = None;
        while let Some(is_it) = fields.next_key_seed(IsName(self.0))? {
            if is_it {
                found = Some(fields.next_value()?);
            } else {
                fields.next_value::<IgnoredAny>()?;
            }
        }
        Ok(found)
    }
}

/// Compares a field's name with this one, as bytes, because a name may not be valid UTF-8.
struct IsName<'n>(&'n str);

impl<'de> DeserializeSeed<'de> for IsName<'_> {
    type Value = bool;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<bool, D::Error> {
        deserializer.deserialize_bytes(self)
    }
}

impl Visitor<'_> for IsName<'_> {
    type Value = bool;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("the name of a field")
    }

    fn visit_bytes<E: Error>(self, name: &[u8]) -> Result<bool, E> {
        Ok(name == self.0.as_bytes())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_of_two_fields_counts_as_it_does_for_official_sdks() {
        let object = Object::parse(r#"{"a":1,"a":2}"#).unwrap();
        assert_eq!(object.field("a"), Some("2"));
    }

    #[test]
    fn null_is_absent_and_other_types_spoil_nothing() {
        let object = Object::parse(r#"{"a":null,"b":[1],"c":{"d":"e"},"f":7}"#).unwrap();
        assert_eq!((object.field("a"), object.text("b"), object.text("f")), (None, None, None));
        assert_eq!(object.object("c").text("d").as_deref(), Some("e"));
        assert_eq!(object.object("f").field("d"), None);
    }

    #[test]
    fn names_may_be_escaped_or_no_text_at_all() {
        let object = Object::parse(r#"{"\ud83d":1,"\u0061":2,"":3}"#).unwrap();
        assert_eq!((object.field("a"), object.field("")), (Some("2"), Some("3")));
    }

    #[test]
    fn deep_nesting_is_passed_over() {
        let deep = "[".repeat(1 << 17) + &"]".repeat(1 << 17);
        let json = format!(r#"{{"a":{deep},"b":1}}"#);
        let object = Object::parse(&json).unwrap();
        assert_eq!((object.field("b"), object.text("a"), object.text_length("a")), (Some("1"), None, 0));
        assert!(object.object("a").field("b").is_none());
    }

    #[test]
    fn what_is_no_object_has_no_fields() {
        for json in ["", "[]", "7", "null", "{", "{}x", r#"{"a":}"#] {
            assert!(Object::parse(json).is_none(), "{json}");
        }
    }

    #[test]
    fn an_array_is_read_up_to_a_bound() {
        let two = Some((vec!["1", r#"{"a":[2]}"#], false));
        assert_eq!(elements(r#"[1, {"a":[2]} ]"#, 2), two);
        assert_eq!(elements(r#"[1, {"a":[2]}, 3, 4]"#, 2), two.map(|(elements, _)| (elements, true)));
        assert_eq!(elements("[]", 2), Some((vec![], false)));
        for json in ["", "{}", "7", "[", "[1,]", "[]x", "[1,2,3"] {
            assert_eq!(elements(json, 2), None, "{json}");
        }
    }

    #[test]
    fn text_is_as_long_as_its_utf_8() {
        let object = Object::parse(r#"{"a":"x\né\u00e9","b":"\ud83d","c":5,"d":""}"#).unwrap();
        assert_eq!(["a", "b", "c", "d", "e"].map(|name| object.text_length(name)), [6, 6, 0, 0, 0]);
    }
}
