//! Parser of the table of prices in the configuration.

use std::collections::BTreeMap;
use std::fmt;
use std::marker::PhantomData;

use serde::Deserialize;
use serde::de::{self, Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;

use super::{Long, Price};
use crate::metering::usage::{PROMPT_STEPS, Tier};
use crate::models::is_of_a_name;

/// Maximum number of decimals of a price. The last one of a price per million tokens is a picodollar per token.
const DECIMALS: usize = 6;
/// Largest price, USD.
const LARGEST_PRICE: u64 = 1_000_000;

/// Maximum number of decimals of a multiplier.
const MULTIPLIER_DECIMALS: usize = 2;
/// Largest multiplier.
const LARGEST_MULTIPLIER: u64 = 1_000;
/// Longest name of a speed or a region, bytes.
const LONGEST_LABEL: usize = 32;
/// Tiers that may have a multiplier.
const TIERS: [Tier; 3] = [Tier::Standard, Tier::Priority, Tier::Batch];

/// JSON object in which a repeated name is an error, instead of the last one being used.
pub(super) struct Unique<T>(pub(super) BTreeMap<String, T>);

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Unique<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Members<T>(PhantomData<T>);

        impl<'de, T: Deserialize<'de>> Visitor<'de> for Members<T> {
            type Value = Unique<T>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Unique<T>, A::Error> {
                let mut members = BTreeMap::new();
                while let Some((name, member)) = map.next_entry::<String, T>()? {
                    if members.contains_key(&name) {
                        return Err(de::Error::custom(format_args!("'{name}' is there twice")));
                    }
                    members.insert(name, member);
                }
                Ok(Unique(members))
            }
        }

        deserializer.deserialize_map(Members(PhantomData))
    }
}

impl<T> Default for Unique<T> {
    fn default() -> Self {
        Self(BTreeMap::new())
    }
}

/// Number in its original text, because a float would change it.
type Written = Box<RawValue>;

/// Prices and multipliers of a model, not validated yet.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct PriceEntry {
    input: Option<Written>,
    output: Option<Written>,
    cache_read: Option<Written>,
    cache_write_5m: Option<Written>,
    cache_write_1h: Option<Written>,
    web_search: Option<Written>,
    #[serde(default)]
    tier: Unique<Written>,
    #[serde(default)]
    speed: Unique<Written>,
    #[serde(default)]
    geo: Unique<Written>,
    long: Option<WrittenLong>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct WrittenLong {
    above: u64,
    input: Written,
    output: Written,
}

impl PriceEntry {
    /// Returns the validated prices and multipliers.
    ///
    /// # Errors
    /// Returns a description of the first mistake.
    pub(super) fn price(&self) -> Result<Price, String> {
        let amount = |name: &str, written: &Option<Written>| {
            let parse = |written: &RawValue| {
                decimal(&text(written), DECIMALS, LARGEST_PRICE).ok_or_else(|| {
                    format!(
                        "the price '{name}' {}: not an amount up to {LARGEST_PRICE} with at most {DECIMALS} decimals",
                        written.get()
                    )
                })
            };
            written.as_deref().map(parse).transpose()
        };
        // Check the names of tiers, speeds and regions.
        let is_label = |name: &str| !name.is_empty() && name.len() <= LONGEST_LABEL && is_of_a_name(name);
        if let Some(tier) = self.tier.0.keys().find(|name| !TIERS.iter().any(|tier| tier.name() == name.as_str())) {
            return Err(format!("the tier '{tier}': not standard, priority or batch"));
        }
        for (kind, names) in [("speed", &self.speed), ("geo", &self.geo)] {
            if let Some(name) = names.0.keys().find(|name| !is_label(name)) {
                return Err(format!("the {kind} '{name}': not a name of 1 to {LONGEST_LABEL} bytes"));
            }
        }
        // Parse prices and multipliers.
        Ok(Price {
            input: amount("input", &self.input)?,
            output: amount("output", &self.output)?,
            cache_read: amount("cache_read", &self.cache_read)?,
            cache_write_5m: amount("cache_write_5m", &self.cache_write_5m)?,
            cache_write_1h: amount("cache_write_1h", &self.cache_write_1h)?,
            web_search: amount("web_search", &self.web_search)?,
            tier: multipliers("tier", &self.tier)?,
            speed: multipliers("speed", &self.speed)?,
            geo: multipliers("geo", &self.geo)?,
            long: self.long.as_ref().map(WrittenLong::read).transpose()?,
        })
    }
}

impl WrittenLong {
    fn read(&self) -> Result<Long, String> {
        if !PROMPT_STEPS.contains(&self.above) {
            let steps = PROMPT_STEPS.map(|step| step.to_string()).join(", ");
            return Err(format!("a threshold for long prompts whose 'above' is {}: it may be {steps}", self.above));
        }
        let input = multiplier("long", "input", &self.input)?;
        Ok(Long { above: self.above, input, output: multiplier("long", "output", &self.output)? })
    }
}

fn multipliers(kind: &str, names: &Unique<Written>) -> Result<BTreeMap<String, u64>, String> {
    let read = |(name, written): (&String, &Written)| Ok((name.clone(), multiplier(kind, name, written)?));
    names.0.iter().map(read).collect()
}

/// Returns a multiplier in hundredths.
fn multiplier(kind: &str, name: &str, written: &RawValue) -> Result<u64, String> {
    decimal(&text(written), MULTIPLIER_DECIMALS, LARGEST_MULTIPLIER).ok_or_else(|| {
        format!(
            "the {kind} '{name}' {}: not a multiplier up to {LARGEST_MULTIPLIER} with at most {MULTIPLIER_DECIMALS} decimals",
            written.get()
        )
    })
}

/// Returns the text of a number that is written as a JSON number or string.
fn text(written: &RawValue) -> String {
    serde_json::from_str(written.get()).unwrap_or_else(|_| written.get().to_owned())
}

/// Parses digits with at most `decimals` decimals, in units of the last decimal. Returns `None` if `text` is anything
/// else or more than `largest`.
fn decimal(text: &str, decimals: usize, largest: u64) -> Option<u64> {
    let (whole, fraction) = match text.split_once('.') {
        Some((_, "")) => return None,
        Some(parts) => parts,
        None => (text, ""),
    };
    // Refuse signs, exponents and too many decimals.
    let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    if whole.is_empty() || !digits(whole) || !digits(fraction) || fraction.len() > decimals {
        return None;
    }
    // Pad the fraction to the full number of decimals, so that it counts in the smallest unit.
    let one = 10_u64.pow(u32::try_from(decimals).ok()?);
    let whole = whole.parse::<u64>().ok().filter(|whole| *whole <= largest)?;
    let number = whole * one + format!("{fraction:0<decimals$}").parse::<u64>().ok()?;
    (number <= largest * one).then_some(number)
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
            assert_eq!(decimal(text, DECIMALS, LARGEST_PRICE), expected, "{text}");
        }
    }
}
