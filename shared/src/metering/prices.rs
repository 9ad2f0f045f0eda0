//! What tokens cost, from a table in the configuration. Money is whole picodollars (10^-12 USD). A price a token is a whole
//! number of them; one that is multiplied is rounded to one, which is a millionth of a dollar in a million tokens. Nothing
//! else is rounded, and a cost that cannot be known is absent. No I/O.

mod table;
mod usd;

use std::collections::BTreeMap;

pub use self::usd::Usd;

use self::table::{Entry, Unique};
use super::model::LONGEST_LISTED;
use super::months::Line;
use super::usage::{Service, Tier, without_date};
use crate::accounts::terms::LONGEST_PROVIDER;
use crate::config::Reader;

/// The most entries that a table may have.
const MOST_ENTRIES: usize = 256;
/// A dollar, in the unit that prices are read in.
const ONE: u64 = 1_000_000;
/// One, in the unit that multipliers are read in.
const WHOLE: u64 = 100;

/// Prices of models.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Prices {
    /// Entries for any provider.
    any: Entries,
    /// Entries for one provider, by its name.
    by_provider: BTreeMap<String, Entries>,
}

/// Entries by the model that they are for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Entries {
    named: BTreeMap<String, Price>,
    /// By the beginning of a model's name, the longest first.
    beginning: Vec<(String, Price)>,
}

/// Prices of one model, and what they are multiplied by; `None` where a price is not known.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Price {
    /// Picodollars a token.
    input: Option<u64>,
    output: Option<u64>,
    cache_read: Option<u64>,
    cache_write_5m: Option<u64>,
    cache_write_1h: Option<u64>,
    /// Millionths of a dollar a search.
    web_search: Option<u64>,
    /// Hundredths, by the name of the tier, the speed or the region.
    tier: BTreeMap<String, u64>,
    speed: BTreeMap<String, u64>,
    geo: BTreeMap<String, u64>,
    long: Option<Long>,
}

/// What prices are multiplied by where a prompt is long.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Long {
    /// The tokens of the prompt that have to be exceeded.
    above: u64,
    /// Hundredths, for the tokens of the prompt.
    input: u64,
    /// Hundredths, for the output.
    output: u64,
}

impl Price {
    /// Returns true for an entry that has nothing but multipliers, so that prices come from a broader entry.
    fn is_multipliers_only(&self) -> bool {
        let Self { input, output, cache_read, cache_write_5m, cache_write_1h, web_search, tier, speed, geo, long } =
            self;
        let prices = [input, output, cache_read, cache_write_5m, cache_write_1h, web_search];
        let has_multiplier = long.is_some() || [tier, speed, geo].iter().any(|names| !names.is_empty());
        has_multiplier && prices.iter().all(|price| price.is_none())
    }
}

impl Prices {
    /// `AI_PRICES`: what models cost, as JSON: a model's name to `input`, `output`, `cache_read`, `cache_write_5m` and
    /// `cache_write_1h` in USD per million tokens and `web_search` in USD per search, each of them optional, a number or a
    /// text of at most 1,000,000 with at most 6 decimals. A name that ends in `*` stands for all that begin so; the longest
    /// that fits holds. `provider#model` is an entry for one provider. `tier`, `speed`, `geo` and `long` are multipliers.
    /// Default: none, costs are not told.
    pub fn read(reader: &mut Reader<'_>) -> Self {
        reader.parsed("AI_PRICES", Self::parse).unwrap_or_default()
    }

    fn parse(text: &str) -> Result<Self, String> {
        let Unique::<Entry>(entries) =
            serde_json::from_str(text).map_err(|error| format!("is not a table of prices: {error}"))?;
        if entries.len() > MOST_ENTRIES {
            return Err(format!("has more than {MOST_ENTRIES} models"));
        }
        let mut prices = Self::default();
        for (key, entry) in entries {
            // No model's name has a number sign.
            let (provider, model) = match key.split_once('#') {
                Some((provider, model)) => (Some(provider), model),
                None => (None, key.as_str()),
            };
            if provider.is_some_and(|name| name.is_empty() || name.len() > LONGEST_PROVIDER) {
                return Err(format!("has '{key}'; before the # is a provider's name of 1 to {LONGEST_PROVIDER} bytes"));
            }
            let beginning = model.strip_suffix('*');
            if model.is_empty() || model.len() > LONGEST_LISTED || beginning.unwrap_or(model).contains('*') {
                return Err(format!(
                    "has '{key}'; a model's name has 1 to {LONGEST_LISTED} bytes and a * at most at its end"
                ));
            }
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
        for entries in std::iter::once(&mut prices.any).chain(prices.by_provider.values_mut()) {
            entries.beginning.sort_by_key(|(beginning, _)| std::cmp::Reverse(beginning.len()));
        }
        Ok(prices)
    }

    /// Returns true where no model has a price.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Returns what the usage of `line` costs: at the prices of the model that served, or, where that is not known, of the one
    /// that was asked for. `None` where something that was used has no price, or where it was served at a tier, a speed or in a
    /// region that has another price and no multiplier. What the provider fetched from the web costs the tokens that it
    /// became, and nothing else.
    pub fn cost(&self, line: &Line) -> Option<Usd> {
        let Line { provider, service, tally, .. } = line;
        // Earlier versions kept how many calls were served at other tiers, and not at which.
        if provider.is_empty() && tally.other_tier_calls != 0 {
            return None;
        }
        let model = if service.model.is_empty() { &line.model } else { &service.model };
        let entries: Vec<&Price> = self.of(provider, model).collect();
        let price = *entries.iter().find(|entry| !entry.is_multipliers_only())?;
        let [input, output] = multipliers(&entries, service)?;
        let each = |price: Option<u64>, by: &[u64]| Some(times(price?, by));
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

    /// Returns the entries that are about `model` at `provider`, the closest first: those for the provider before those for
    /// any, a whole name before a beginning, and a name without the date of a snapshot for all its snapshots.
    fn of<'a>(&'a self, provider: &str, model: &'a str) -> impl Iterator<Item = &'a Price> {
        let groups = self.by_provider.get(provider).into_iter().chain([&self.any]);
        groups.flat_map(move |entries| {
            let undated = without_date(model);
            let snapshot = (undated != model).then(|| entries.named.get(undated)).flatten();
            let beginning = entries.beginning.iter().filter(move |(beginning, _)| model.starts_with(beginning));
            entries.named.get(model).into_iter().chain(snapshot).chain(beginning.map(|(_, price)| price))
        })
    }
}

/// Returns what the prices of the prompt and of the output are multiplied by; `None` where a multiplier is missing.
fn multipliers(entries: &[&Price], service: &Service) -> Option<[[u64; 4]; 2]> {
    let find = |names: fn(&Price) -> &BTreeMap<String, u64>, name: &str| {
        entries.iter().find_map(|entry| names(entry).get(name)).copied()
    };
    let or_whole = |found: Option<u64>, is_usual: bool| found.or(is_usual.then_some(WHOLE));
    let Service { tier, speed, geo, prompt_above, .. } = service;
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
