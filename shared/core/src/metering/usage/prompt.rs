//! Estimates the tokens of a prompt, for calls whose provider never reports them.

use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
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
    let mut deserializer = serde_json::Deserializer::from_slice(body);
    if files.deserialize(&mut deserializer).is_err() {
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

impl<'de> DeserializeSeed<'de> for &mut Files {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for &mut Files {
    type Value = ();

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("JSON")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut fields: A) -> Result<(), A::Error> {
        // A source is an object with the type `base64`, a media type and data.
        let (mut is_base64, mut is_image, mut bytes) = (false, false, 0);
        while let Some(name) = fields.next_key::<Name>()? {
            match name {
                Name::Type => is_base64 = fields.next_value::<&RawValue>()?.get() == "\"base64\"",
                Name::MediaType => is_image = fields.next_value::<&RawValue>()?.get().starts_with("\"image/"),
                Name::Data => bytes = fields.next_value::<&RawValue>()?.get().len() as u64,
                // Only these fields lead to a source. Everything else is text.
                Name::Messages | Name::Content | Name::Source => fields.next_value_seed(&mut *self)?,
                Name::Other => {
                    fields.next_value::<IgnoredAny>()?;
                }
            }
        }
        // Take the data out of the text, and estimate it by its kind.
        if is_base64 {
            self.bytes += bytes;
            self.tokens += if is_image { TOKENS_AN_IMAGE } else { bytes.div_ceil(DOCUMENT_BYTES_PER_TOKEN) };
        }
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut array: A) -> Result<(), A::Error> {
        while array.next_element_seed(&mut *self)?.is_some() {}
        Ok(())
    }

    fn visit_bool<E>(self, _: bool) -> Result<(), E> {
        Ok(())
    }

    fn visit_u64<E>(self, _: u64) -> Result<(), E> {
        Ok(())
    }

    fn visit_i64<E>(self, _: i64) -> Result<(), E> {
        Ok(())
    }

    fn visit_f64<E>(self, _: f64) -> Result<(), E> {
        Ok(())
    }

    fn visit_str<E>(self, _: &str) -> Result<(), E> {
        Ok(())
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }
}

/// The fields of a source, and the fields that lead to one. The data of a text source counts as text, because its type
/// is different.
#[derive(serde::Deserialize)]
#[serde(rename_all = "snake_case")]
enum Name {
    Type,
    MediaType,
    Data,
    Messages,
    Content,
    Source,
    #[serde(other)]
    Other,
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
