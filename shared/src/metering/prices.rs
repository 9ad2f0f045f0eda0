//! Costs of tokens, from a table of prices in the configuration. No I/O.
//!
//! Money is counted in whole picodollars (10^-12 USD). A price per token is a whole number of them. A multiplied price
//! is rounded to one picodollar per token, which is a millionth of a dollar per million tokens. Nothing else is
//! rounded. A cost that cannot be known is absent.

mod table;
mod usd;

use std::collections::BTreeMap;

pub use self::usd::Usd;

use self::table::{PriceEntry, Unique};
use super::months::UsageLine;
use super::usage::{Service, Tier, without_date};
use crate::accounts::terms::LONGEST_PROVIDER;
use crate::config::Reader;
use crate::models::LONGEST_LISTED;

/// Maximum number of entries in a table.
const MOST_ENTRIES: usize = 256;
/// One dollar in millionths, the unit in which prices are parsed. It is also the number of picodollars in a millionth.
const ONE: u64 = 1_000_000;
/// The multiplier 1 in hundredths, the unit in which multipliers are parsed.
const WHOLE: u64 = 100;

/// Table of prices.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Prices {
    /// Entries for all providers.
    any: Entries,
    /// Entries for single providers, by the provider's name.
    by_provider: BTreeMap<String, Entries>,
}

/// Entries by the model or models that they are for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Entries {
    named: BTreeMap<String, Price>,
    /// Entries for all models whose name has this prefix, the longest prefix first.
    beginning: Vec<(String, Price)>,
}

/// Prices of one model and their multipliers. A price that is not known is `None`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Price {
    /// Picodollars per token, as are the next four.
    input: Option<u64>,
    output: Option<u64>,
    cache_read: Option<u64>,
    cache_write_5m: Option<u64>,
    cache_write_1h: Option<u64>,
    /// Millionths of a dollar per search.
    web_search: Option<u64>,
    /// Multipliers in hundredths, by the name of the tier, the speed or the region.
    tier: BTreeMap<String, u64>,
    speed: BTreeMap<String, u64>,
    geo: BTreeMap<String, u64>,
    long: Option<Long>,
}

/// Multipliers of prices for long prompts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Long {
    /// Tokens that a prompt has to exceed.
    above: u64,
    /// Multiplier for input tokens, hundredths.
    input: u64,
    /// Multiplier for output tokens, hundredths.
    output: u64,
}

impl Price {
    /// Returns true if the entry has nothing but multipliers, so that prices come from a broader entry.
    fn is_multipliers_only(&self) -> bool {
        let Self { input, output, cache_read, cache_write_5m, cache_write_1h, web_search, tier, speed, geo, long } =
            self;
        let prices = [input, output, cache_read, cache_write_5m, cache_write_1h, web_search];
        let has_multiplier = long.is_some() || [tier, speed, geo].iter().any(|names| !names.is_empty());
        has_multiplier && prices.iter().all(|price| price.is_none())
    }
}

impl Prices {
    /// Reads `AI_PRICES`: a JSON object from a model's name to its prices. `input`, `output`, `cache_read`,
    /// `cache_write_5m` and `cache_write_1h` are in USD per million tokens, `web_search` in USD per search. Each is
    /// optional: a number or a text of at most 1,000,000 with at most 6 decimals. A name that ends in `*` stands for
    /// all models that begin so; the longest match is used. `provider#model` is an entry for one provider. `tier`,
    /// `speed`, `geo` and `long` are multipliers. Default: no prices, and reports show no costs.
    pub fn read(reader: &mut Reader<'_>) -> Self {
        reader.parsed("AI_PRICES", Self::parse).unwrap_or_default()
    }

    fn parse(text: &str) -> Result<Self, String> {
        let Unique::<PriceEntry>(entries) =
            serde_json::from_str(text).map_err(|error| format!("is not a table of prices: {error}"))?;
        if entries.len() > MOST_ENTRIES {
            return Err(format!("has more than {MOST_ENTRIES} models"));
        }
        let mut prices = Self::default();
        for (key, entry) in entries {
            // A key may begin with a provider and `#`, which no model's name contains.
            let (provider, model) = match key.split_once('#') {
                Some((provider, model)) => (Some(provider), model),
                None => (None, key.as_str()),
            };
            if provider.is_some_and(|name| name.is_empty() || name.len() > LONGEST_PROVIDER) {
                return Err(format!("has '{key}'; before the # is a provider's name of 1 to {LONGEST_PROVIDER} bytes"));
            }
            // Check the model: a full name, or a prefix with a `*` at its end.
            let beginning = model.strip_suffix('*');
            if model.is_empty() || model.len() > LONGEST_LISTED || beginning.unwrap_or(model).contains('*') {
                return Err(format!(
                    "has '{key}'; a model's name has 1 to {LONGEST_LISTED} bytes and a * at most at its end"
                ));
            }
            // Convert the entry and file it by provider and model.
            let price = entry.price().map_err(|mistake| format!("has for '{key}' {mistake}"))?;
            let entries = match provider {
                Some(provider) => prices.by_provider.entry(provider.to_owned()).or_default(),
                None => &mut prices.any,
            };
            match beginning {
                Some(beginning) => entries.beginning.push((beginning.to_owned(), price)),
                None => drop(entries.named.insert(model.to_owned(), price)),
            }
        }
        // Sort prefixes, so that the longest match comes first.
        for entries in std::iter::once(&mut prices.any).chain(prices.by_provider.values_mut()) {
            entries.beginning.sort_by_key(|(beginning, _)| std::cmp::Reverse(beginning.len()));
        }
        Ok(prices)
    }

    /// Returns true if the table has no entries.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Returns the cost of the usage of `line`, at the prices of the model that served or, if that is not known, of the
    /// requested one. Returns `None` if something that was used has no price, or if the tier, the speed or the region
    /// has another price and no multiplier. Pages that the provider fetched from the web cost only the tokens that they
    /// became.
    pub fn cost(&self, line: &UsageLine) -> Option<Usd> {
        let UsageLine { provider, service, tally, .. } = line;
        // Earlier versions recorded how many calls were served at other tiers, but not the tiers.
        if provider.is_empty() && tally.other_tier_calls != 0 {
            return None;
        }
        // Find the closest entry with prices; multipliers may come from any matching entry.
        let model = if service.model.is_empty() { &line.model } else { &service.model };
        let entries: Vec<&Price> = self.matching(provider, model).collect();
        let price = *entries.iter().find(|entry| !entry.is_multipliers_only())?;
        let [input, output] = multipliers(&entries, service)?;
        let each = |price: Option<u64>, by: &[u64]| Some(times(price?, by));
        // Multiply each figure by its price. A figure of 0 needs no price.
        let figures = [
            (tally.input, each(price.input, &input)),
            (tally.output, each(price.output, &output)),
            (tally.cache_read, each(price.cache_read, &input)),
            (tally.cache_write_5m, each(price.cache_write_5m, &input)),
            (tally.cache_write_1h, each(price.cache_write_1h, &input)),
            (tally.web_searches, price.web_search.map(|price| u128::from(price) * u128::from(ONE))),
        ];
        let used = figures.into_iter().filter(|(figure, _)| *figure != 0);
        used.map(|(figure, price)| u128::try_from(figure).ok()?.checked_mul(price?).map(Usd))
            .try_fold(Usd::ZERO, |sum, cost| sum.plus(cost?))
    }

    /// Returns the entries that match `model` at `provider`, the closest first: entries for the provider before entries
    /// for all providers, and a full name before a prefix. A name without a snapshot's date also matches its dated
    /// snapshots.
    fn matching<'a>(&'a self, provider: &str, model: &'a str) -> impl Iterator<Item = &'a Price> {
        let groups = self.by_provider.get(provider).into_iter().chain([&self.any]);
        groups.flat_map(move |entries| {
            let undated = without_date(model);
            let snapshot = (undated != model).then(|| entries.named.get(undated)).flatten();
            let beginning = entries.beginning.iter().filter(move |(beginning, _)| model.starts_with(beginning));
            entries.named.get(model).into_iter().chain(snapshot).chain(beginning.map(|(_, price)| price))
        })
    }
}

/// Returns the multipliers of prices for input and for output, or `None` if one is missing.
fn multipliers(entries: &[&Price], service: &Service) -> Option<[[u64; 4]; 2]> {
    let find = |names: fn(&Price) -> &BTreeMap<String, u64>, name: &str| {
        entries.iter().find_map(|entry| names(entry).get(name)).copied()
    };
    let or_whole = |found: Option<u64>, is_usual: bool| found.or(is_usual.then_some(WHOLE));
    let Service { tier, speed, geo, prompt_above, .. } = service;
    // Without an entry, only the usual tier, speed and region have the multiplier 1.
    let tier = or_whole(find(|entry| &entry.tier, tier.name()), *tier == Tier::Standard)?;
    let speed = or_whole(find(|entry| &entry.speed, speed), matches!(speed.as_str(), "" | "standard"))?;
    let geo = or_whole(find(|entry| &entry.geo, geo), matches!(geo.as_str(), "" | "global" | "not_available"))?;
    let long = entries.iter().find_map(|entry| entry.long).filter(|long| *prompt_above >= long.above);
    let (input, output) = long.map_or((WHOLE, WHOLE), |long| (long.input, long.output));
    Some([[tier, speed, geo, input], [tier, speed, geo, output]])
}

/// Returns `price` multiplied by all of `by`, rounded to a whole number.
fn times(price: u64, by: &[u64]) -> u128 {
    let (product, scale) = by
        .iter()
        .filter(|by| **by != WHOLE)
        .fold((u128::from(price), 1), |(product, scale), by| (product * u128::from(*by), scale * u128::from(WHOLE)));
    (product + scale / 2) / scale
}

#[cfg(test)]
mod tests;
