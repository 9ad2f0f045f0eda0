//! Replaces the model's name in a call's body.

use std::fmt;

use bytes::Bytes;
use serde::de::{MapAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;

/// Returns `body` with the value of its top-level `model` replaced by `name`.
///
/// Keys keep their order and spelling, and all other values keep their bytes: a tool's schema in another order would
/// be another prompt. A body that is not a JSON object is returned unchanged, because judging it is the provider's
/// part.
pub fn rename_model(body: &Bytes, name: &str) -> Bytes {
    let Ok(Members(members)) = serde_json::from_slice(body) else { return body.clone() };
    // A string can always be serialized.
    let name = serde_json::to_string(name).unwrap_or_default();
    // Write the members again in their order, as they were written.
    let mut renamed = Vec::with_capacity(body.len() + name.len());
    renamed.push(b'{');
    for (place, (key, value)) in members.into_iter().enumerate() {
        if place > 0 {
            renamed.push(b',');
        }
        renamed.extend_from_slice(key.get().as_bytes());
        renamed.push(b':');
        let value = if is_model(key) { &name } else { value.get() };
        renamed.extend_from_slice(value.as_bytes());
    }
    renamed.push(b'}');
    renamed.into()
}

/// Returns true if the key as written spells `model`. Any of its letters may be an escape.
fn is_model(key: &RawValue) -> bool {
    serde_json::from_str::<String>(key.get()).is_ok_and(|key| key == "model")
}

/// The members of a JSON object: keys and values as written, in order.
struct Members<'a>(Vec<(&'a RawValue, &'a RawValue)>);

impl<'de: 'a, 'a> Deserialize<'de> for Members<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct InOrder;

        impl<'de> Visitor<'de> for InOrder {
            type Value = Vec<(&'de RawValue, &'de RawValue)>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut members = Vec::new();
                while let Some(member) = map.next_entry()? {
                    members.push(member);
                }
                Ok(members)
            }
        }

        deserializer.deserialize_map(InOrder).map(Self)
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    fn renamed(body: &str) -> String {
        let body = rename_model(&Bytes::copy_from_slice(body.as_bytes()), "na\"me");
        String::from_utf8(body.to_vec()).unwrap()
    }

    #[rstest]
    #[case::the_order_of_keys(r#"{"z":1,"model":"m","a":2}"#, r#"{"z":1,"model":"na\"me","a":2}"#)]
    #[case::the_bytes_of_values(
        r#"{"model":"m","a":{"y":"\u00e9", "x":12345678901234567890123},"z":1.0e2}"#,
        r#"{"model":"na\"me","a":{"y":"\u00e9", "x":12345678901234567890123},"z":1.0e2}"#
    )]
    #[case::escapes_in_another_key(
        r#"{"max\u005ftokens":16,"model":"m"}"#,
        r#"{"max\u005ftokens":16,"model":"na\"me"}"#
    )]
    #[case::escapes_in_its_own_key(r#"{"mod\u0065l":"m"}"#, r#"{"mod\u0065l":"na\"me"}"#)]
    #[case::half_a_character("{\"\\ud800\":1,\"model\":\"m\"}", "{\"\\ud800\":1,\"model\":\"na\\\"me\"}")]
    #[case::a_key_that_is_there_twice(r#"{"model":"m","a":1,"a":2}"#, r#"{"model":"na\"me","a":1,"a":2}"#)]
    #[case::a_model_within_a_value(r#"{"a":{"model":"m"},"model":"m"}"#, r#"{"a":{"model":"m"},"model":"na\"me"}"#)]
    #[case::space_between_members("{ \"model\" : \"m\" ,\n\"a\" : [ 1 ] }", r#"{"model":"na\"me","a":[ 1 ]}"#)]
    #[case::no_model(r#"{"a":1}"#, r#"{"a":1}"#)]
    #[case::nothing("{}", "{}")]
    fn the_model_alone_changes(#[case] body: &str, #[case] expected: &str) {
        assert_eq!(renamed(body), expected);
    }

    #[rstest]
    #[case::an_array(r#"["m",true]"#)]
    #[case::a_string(r#""model""#)]
    #[case::a_number("7")]
    #[case::nothing("")]
    #[case::no_json("{\"model\":")]
    #[case::more_than_json("{\"model\":\"m\"} x")]
    fn what_is_no_object_stays_as_it_is(#[case] body: &str) {
        assert_eq!(renamed(body), body);
    }
}
