//! The table of prices as it is written in the configuration.

use std::collections::BTreeMap;
use std::fmt;

use serde::Deserialize;
use serde::de::{self, Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;

use super::{ONE, Price};

/// A price has at most so many decimals. Per million tokens, the last one is a picodollar per token.
const DECIMALS: usize = 6;
/// The largest price, USD.
const LARGEST_PRICE: u64 = 1_000_000;

/// The table as it is written. A model that is there twice is a mistake, not the last of both.
pub(super) struct Table(pub(super) BTreeMap<String, Entry>);

impl<'de> Deserialize<'de> for Table {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Entries;

        impl<'de> Visitor<'de> for Entries {
            type Value = Table;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object of models")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Table, A::Error> {
                let mut entries = BTreeMap::new();
                while let Some((model, entry)) = map.next_entry::<String, Entry>()? {
                    if entries.contains_key(&model) {
                        return Err(de::Error::custom(format_args!("'{model}' is there twice")));
                    }
                    entries.insert(model, entry);
                }
                Ok(Table(entries))
            }
        }

        deserializer.deserialize_map(Entries)
    }
}

/// A model's prices as they are written. The texts are kept, as a float would not be what was written.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Entry {
    input: Option<Box<RawValue>>,
    output: Option<Box<RawValue>>,
    cache_read: Option<Box<RawValue>>,
    cache_write_5m: Option<Box<RawValue>>,
    cache_write_1h: Option<Box<RawValue>>,
    web_search: Option<Box<RawValue>>,
}

impl Entry {
    /// The prices that it says, or what is wrong with them.
    pub(super) fn price(&self) -> Result<Price, String> {
        let amount = |name: &str, written: &Option<Box<RawValue>>| {
            let parse = |written: &RawValue| {
                let text = serde_json::from_str(written.get()).unwrap_or_else(|_| written.get().to_owned());
                amount(&text).ok_or_else(|| {
                    format!(
                        "the price '{name}' {}: not an amount up to {LARGEST_PRICE} with at most {DECIMALS} decimals",
                        written.get()
                    )
                })
            };
            written.as_deref().map(parse).transpose()
        };
        Ok(Price {
            input: amount("input", &self.input)?,
            output: amount("output", &self.output)?,
            cache_read: amount("cache_read", &self.cache_read)?,
            cache_write_5m: amount("cache_write_5m", &self.cache_write_5m)?,
            cache_write_1h: amount("cache_write_1h", &self.cache_write_1h)?,
            web_search: amount("web_search", &self.web_search)?,
        })
    }
}

/// `text` in millionths: digits, and after a point at most six more.
fn amount(text: &str) -> Option<u64> {
    let (whole, decimals) = match text.split_once('.') {
        Some((_, "")) => return None,
        Some(parts) => parts,
        None => (text, ""),
    };
    let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    if whole.is_empty() || !digits(whole) || !digits(decimals) || decimals.len() > DECIMALS {
        return None;
    }
    let whole = whole.parse::<u64>().ok().filter(|whole| *whole <= LARGEST_PRICE)?;
    let amount = whole * ONE + format!("{decimals:0<DECIMALS$}").parse::<u64>().ok()?;
    (amount <= LARGEST_PRICE * ONE).then_some(amount)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_amount_is_digits_and_at_most_six_decimals() {
        for (text, expected) in [
            ("3", Some(3_000_000)),
            ("0.30", Some(300_000)),
            ("0.000001", Some(1)),
            ("1000000", Some(1_000_000_000_000)),
            ("1000000.000001", None),
            ("0.0000001", None),
            ("99999999999999999999999", None),
            ("1e3", None),
            ("-1", None),
            ("+1", None),
            (".5", None),
            ("5.", None),
            ("1.2.3", None),
            ("3 USD", None),
            ("", None),
        ] {
            assert_eq!(amount(text), expected, "{text}");
        }
    }
}
