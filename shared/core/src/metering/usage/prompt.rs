//! Estimates the tokens of a prompt, for calls whose provider never reports them.

use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

use super::BYTES_PER_TOKEN;

/// Tokens of an image of any size.
const TOKENS_AN_IMAGE: u64 = 1_600;
/// Average bytes of a document in base64 per token.
const DOCUMENT_BYTES_PER_TOKEN: u64 = 32;

/// Estimates the input tokens of a call from its body, at four bytes a token. Images and documents in base64 have far
/// fewer tokens than that, so they are estimated separately: an image as 1,600 tokens, a document at 32 bytes a token.
/// They are recognized only in the content of messages. The same fields in a tool's schema or input are text.
pub fn estimate_prompt(body: &[u8]) -> u64 {
    let mut files = Files::default();
    if serde_json::Deserializer::from_slice(body).deserialize_map(Body(&mut files)).is_err() {
        // Count a body that is not JSON as text.
        files = Files::default();
    }
    let text = (body.len() as u64).saturating_sub(files.bytes);
    text.div_ceil(BYTES_PER_TOKEN).saturating_add(files.tokens)
}

/// Images and documents found in a body.
#[derive(Debug, Default)]
struct Files {
    /// Bytes of their data.
    bytes: u64,
    /// Tokens that they are estimated to have.
    tokens: u64,
}

/// The most levels of sources within sources that are read.
const MOST_LEVELS: u8 = 4;

/// Reads the body of a call: its messages.
struct Body<'f>(&'f mut Files);

/// Reads a list of messages or of content blocks. Text in its place has no files.
struct List<'f> {
    files: &'f mut Files,
    level: u8,
}

/// Reads a message or a content block.
struct Block<'f> {
    files: &'f mut Files,
    level: u8,
}

/// Reads a source: an object with the type `base64`, a media type and the data, or with further content.
struct Source<'f> {
    files: &'f mut Files,
    level: u8,
}

impl<'de> Visitor<'de> for Body<'_> {
    type Value = ();

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut fields: A) -> Result<(), A::Error> {
        // Pass over everything but the messages.
        while let Some(name) = fields.next_key_seed(KnownName)? {
            if name == Name::Messages {
                fields.next_value_seed(List { files: &mut *self.0, level: 0 })?;
            } else {
                fields.next_value::<IgnoredAny>()?;
            }
        }
        Ok(())
    }
}

impl<'de> DeserializeSeed<'de> for List<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        // Ask for bytes, because text may be no UTF-8. serde_json offers a list as a sequence all the same.
        deserializer.deserialize_bytes(self)
    }
}

impl<'de> Visitor<'de> for List<'_> {
    type Value = ();

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("text or a list")
    }

    fn visit_bytes<E: Error>(self, _: &[u8]) -> Result<(), E> {
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<(), A::Error> {
        // Every entry must be an object. Another one makes the body text.
        while items.next_element_seed(Block { files: &mut *self.files, level: self.level })?.is_some() {}
        Ok(())
    }
}

impl<'de> DeserializeSeed<'de> for Block<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for Block<'_> {
    type Value = ();

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut fields: A) -> Result<(), A::Error> {
        while let Some(name) = fields.next_key_seed(KnownName)? {
            match name {
                // Results of tools have blocks of their own.
                Name::Content => fields.next_value_seed(List { files: &mut *self.files, level: self.level })?,
                Name::Source => {
                    // Some blocks have a source that is text.
                    let source = fields.next_value::<&RawValue>()?.get();
                    if source.starts_with('{') && self.level < MOST_LEVELS {
                        let reader = Source { files: &mut *self.files, level: self.level + 1 };
                        let read = serde_json::Deserializer::from_str(source).deserialize_map(reader);
                        read.map_err(A::Error::custom)?;
                    }
                }
                Name::Type | Name::MediaType | Name::Data | Name::Messages | Name::Other => {
                    fields.next_value::<IgnoredAny>()?;
                }
            }
        }
        Ok(())
    }
}

impl<'de> Visitor<'de> for Source<'_> {
    type Value = ();

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut fields: A) -> Result<(), A::Error> {
        // Names and values may be escaped. The data is never decoded, for it is large.
        let text = |value: &RawValue| serde_json::from_str::<String>(value.get()).unwrap_or_default();
        let (mut is_base64, mut is_image, mut bytes) = (false, false, 0);
        while let Some(name) = fields.next_key_seed(KnownName)? {
            match name {
                Name::Type => is_base64 = text(fields.next_value()?) == "base64",
                Name::MediaType => is_image = text(fields.next_value()?).starts_with("image/"),
                Name::Data => bytes = fields.next_value::<&RawValue>()?.get().len() as u64,
                Name::Content => fields.next_value_seed(List { files: &mut *self.files, level: self.level })?,
                Name::Messages | Name::Source | Name::Other => {
                    fields.next_value::<IgnoredAny>()?;
                }
            }
        }
        // Take the data out of the text, and add its own estimate.
        if is_base64 {
            self.files.bytes += bytes;
            self.files.tokens += if is_image { TOKENS_AN_IMAGE } else { bytes.div_ceil(DOCUMENT_BYTES_PER_TOKEN) };
        }
        Ok(())
    }
}

/// The fields of a source, and those that lead to one. The data of a text source is counted as text, because its type is
/// another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Name {
    Type,
    MediaType,
    Data,
    Messages,
    Content,
    Source,
    Other,
}

/// Reads the name of a field. It asks for bytes, because a name may be no UTF-8.
struct KnownName;

impl<'de> DeserializeSeed<'de> for KnownName {
    type Value = Name;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Name, D::Error> {
        deserializer.deserialize_bytes(self)
    }
}

impl Visitor<'_> for KnownName {
    type Value = Name;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("the name of a field")
    }

    fn visit_bytes<E: Error>(self, name: &[u8]) -> Result<Name, E> {
        Ok(match name {
            b"type" => Name::Type,
            b"media_type" => Name::MediaType,
            b"data" => Name::Data,
            b"messages" => Name::Messages,
            b"content" => Name::Content,
            b"source" => Name::Source,
            _ => Name::Other,
        })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn text_is_four_bytes_a_token() {
        let body =
            json!({ "model": "m", "messages": [{ "role": "user", "content": "x".repeat(200_000) }] }).to_string();
        assert_eq!(estimate_prompt(body.as_bytes()), body.len().div_ceil(4) as u64);
        assert_eq!(estimate_prompt(b""), 0);
        assert_eq!(estimate_prompt(b"\xffno json"), 2);
        assert_eq!(estimate_prompt(b"{\"a\":\"b"), 2);
    }

    #[test]
    fn an_image_is_a_fixed_number_of_tokens_and_a_document_is_counted_by_its_size() {
        let file = |media_type: &str, data: &str| {
            let source = json!({ "type": "base64", "media_type": media_type, "data": data });
            let result = json!({ "type": "tool_result", "content": [{ "type": "image", "source": source }] });
            json!({ "messages": [{ "role": "user", "content": [result] }] })
        };
        let empty = estimate_prompt(file("image/png", "").to_string().as_bytes());
        let image = estimate_prompt(file("image/png", &"A".repeat(4_000_000)).to_string().as_bytes());
        assert_eq!(image, empty);
        assert!((1_600..1_640).contains(&image), "{image}");
        let document = estimate_prompt(file("application/pdf", &"A".repeat(320_000)).to_string().as_bytes());
        assert!((10_000..10_060).contains(&document), "{document}");
    }

    #[test]
    fn data_that_is_no_file_is_text_and_deep_nesting_is_no_problem() {
        let source = json!({ "type": "text", "media_type": "text/plain", "data": "x".repeat(4_000) }).to_string();
        assert_eq!(estimate_prompt(source.as_bytes()), source.len().div_ceil(4) as u64);
        let odd = r#"{"type":7,"data":[1,{"type":"base64"}],"media_type":null,"n":[1,-1,1.5,true,null]}"#;
        assert_eq!(estimate_prompt(odd.as_bytes()), odd.len().div_ceil(4) as u64);
        let deep = "[".repeat(100_000) + &"]".repeat(100_000);
        assert_eq!(estimate_prompt(deep.as_bytes()), 50_000);
    }

    #[test]
    fn a_file_is_known_however_it_is_written_and_whatever_stands_beside_it() {
        let data = "A".repeat(400_000);
        let with = |source: &str, beside: &str| {
            let image = format!(r#"{{"type":"image","source":{source}}}"#);
            format!(r#"{{"messages":[{{"role":"user","content":{beside}}},{{"role":"user","content":[{image}]}}]}}"#)
        };
        let source = format!(r#"{{"type":"base64","media_type":"image/png","data":"{data}"}}"#);
        let search = r#"[{"type":"search_result","source":"https://example.com","content":[{"text":"\ud83d"}]}]"#;
        for body in [
            with(&source, r#""plain""#),
            with(&source.replace("image/png", r"image\/png"), r#""plain""#),
            with(&source.replace("base64", r"base\u00364"), r#""plain""#),
            with(&source.replace("media_type", r"media\u005ftype"), r#""plain""#),
            with(&source, r#""\ud83d""#),
            with(&source, search),
            with(&format!(r#"{{"type":"content","content":[{{"type":"image","source":{source}}}]}}"#), r#""plain""#),
        ] {
            let tokens = estimate_prompt(body.as_bytes());
            assert!((1_600..1_700).contains(&tokens), "{tokens}: {body:.120}");
        }
    }

    #[test]
    fn sources_within_sources_are_read_up_to_a_bound() {
        let nested = r#"{"type":"content","content":[{"source":"#.repeat(50) + "{}" + &"}]}".repeat(50);
        let body = format!(r#"{{"messages":[{{"content":[{{"source":{nested}}}]}}]}}"#);
        assert_eq!(estimate_prompt(body.as_bytes()), body.len().div_ceil(4) as u64);
    }

    #[test]
    fn what_only_looks_like_a_file_is_text() {
        let source = json!({ "type": "base64", "media_type": "image/png", "data": "A".repeat(40_000) });
        for body in [
            json!({ "tools": [{ "name": "t", "input_schema": source }] }),
            json!({ "tools": [{ "name": "t", "input_examples": [{ "source": source }] }] }),
            json!({ "messages": [{ "content": [{ "type": "tool_use", "input": { "content": source } }] }] }),
            json!({ "metadata": { "source": source } }),
            json!({ "system": [{ "type": "text", "text": "x", "source_of": source }] }),
        ] {
            let body = body.to_string();
            assert_eq!(estimate_prompt(body.as_bytes()), body.len().div_ceil(4) as u64, "{body:.60}");
        }
    }
}
