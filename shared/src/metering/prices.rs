//! What tokens cost, from a table in the configuration. Money is whole picodollars (10^-12 USD), so that nothing is ever
//! rounded; a cost that cannot be known is absent. No I/O.

mod table;

use std::collections::BTreeMap;
use std::fmt;

use serde::{Serialize, Serializer};

use self::table::Table;
use super::call::Tally;
use super::model::LONGEST_LISTED;
use crate::config::Reader;

/// The most models that may have prices.
const MOST_MODELS: usize = 256;
/// A dollar, in the unit that prices are read in.
const ONE: u64 = 1_000_000;
/// Picodollars in a dollar.
const PER_DOLLAR: u128 = 1_000_000_000_000;

/// An amount of US dollars, exact to the picodollar. Written as a decimal with at least two and at most twelve decimals.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Usd(u128);

impl Usd {
    /// Nothing.
    pub const ZERO: Self = Self(0);

    /// Both together; `None` where that is more than can be counted.
    #[must_use]
    pub fn plus(self, other: Self) -> Option<Self> {
        self.0.checked_add(other.0).map(Self)
    }
}

impl fmt::Display for Usd {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let decimals = format!("{:012}", self.0 % PER_DOLLAR);
        let significant = decimals.trim_end_matches('0').len().max(2);
        write!(f, "{}.{}", self.0 / PER_DOLLAR, &decimals[..significant])
    }
}

impl Serialize for Usd {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// What models cost.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Prices {
    named: BTreeMap<String, Price>,
    /// By how a model's name begins, the longest beginnings first.
    beginning: Vec<(String, Price)>,
}

/// What one model costs; `None` where that is not known.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Price {
    /// Picodollars a token.
    input: Option<u64>,
    output: Option<u64>,
    cache_read: Option<u64>,
    cache_write_5m: Option<u64>,
    cache_write_1h: Option<u64>,
    /// Millionths of a dollar a search.
    web_search: Option<u64>,
}

impl Prices {
    /// `AI_PRICES`: what models cost, as JSON: a model's name to `input`, `output`, `cache_read`, `cache_write_5m` and
    /// `cache_write_1h` in USD per million tokens and `web_search` in USD per search, each of them optional, a number or a
    /// text of at most 1,000,000 with at most 6 decimals. A name that ends in `*` stands for all that begin so; the longest
    /// that fits holds. Default: none, costs are not told.
    pub fn read(reader: &mut Reader<'_>) -> Self {
        reader.parsed("AI_PRICES", Self::parse).unwrap_or_default()
    }

    fn parse(text: &str) -> Result<Self, String> {
        let Table(entries) =
            serde_json::from_str(text).map_err(|error| format!("is not a table of prices: {error}"))?;
        if entries.len() > MOST_MODELS {
            return Err(format!("has more than {MOST_MODELS} models"));
        }
        let mut prices = Self::default();
        for (model, entry) in entries {
            let beginning = model.strip_suffix('*');
            if model.is_empty() || model.len() > LONGEST_LISTED || beginning.unwrap_or(&model).contains('*') {
                return Err(format!(
                    "has '{model}'; a model's name has 1 to {LONGEST_LISTED} bytes and a * at most at its end"
                ));
            }
            let price = entry.price().map_err(|mistake| format!("has for '{model}' {mistake}"))?;
            match beginning {
                Some(beginning) => prices.beginning.push((beginning.to_owned(), price)),
                None => drop(prices.named.insert(model, price)),
            }
        }
        prices.beginning.sort_by_key(|(beginning, _)| std::cmp::Reverse(beginning.len()));
        Ok(prices)
    }

    /// Whether no model has a price.
    pub fn is_empty(&self) -> bool {
        self.named.is_empty() && self.beginning.is_empty()
    }

    /// What `tally`'s calls of `model` cost. `None` where something that was used has no price, or where calls were served
    /// at another tier than the standard one, which the table knows no prices of. What the provider fetched from the web
    /// costs the tokens that it became, and nothing else.
    pub fn cost(&self, model: &str, tally: &Tally) -> Option<Usd> {
        if tally.other_tier_calls != 0 {
            return None;
        }
        let price = self.of(model)?;
        let figures = [
            (tally.input, price.input, 1),
            (tally.output, price.output, 1),
            (tally.cache_read, price.cache_read, 1),
            (tally.cache_write_5m, price.cache_write_5m, 1),
            (tally.cache_write_1h, price.cache_write_1h, 1),
            (tally.web_searches, price.web_search, ONE),
        ];
        let used = figures.into_iter().filter(|(figure, ..)| *figure != 0);
        used.map(|(figure, price, unit)| {
            let each = u128::from(price?) * u128::from(unit);
            u128::try_from(figure).ok()?.checked_mul(each).map(Usd)
        })
        .try_fold(Usd::ZERO, |sum, cost| sum.plus(cost?))
    }

    fn of(&self, model: &str) -> Option<&Price> {
        let beginning = || self.beginning.iter().find(|(beginning, _)| model.starts_with(beginning));
        self.named.get(model).or_else(|| beginning().map(|(_, price)| price))
    }
}

#[cfg(test)]
mod tests {
    use std::str::FromStr;

    use bigdecimal::BigDecimal;
    use proptest::prelude::*;

    use super::*;
    use crate::config::from_lookup;

    fn prices(table: &str) -> Result<Prices, String> {
        from_lookup(|_| Some(table.to_owned()), Prices::read).map_err(|error| error.to_string())
    }

    fn cost(table: &str, model: &str, tally: &Tally) -> Option<String> {
        prices(table).unwrap().cost(model, tally).map(|cost| cost.to_string())
    }

    const SONNET: &str = r#"{"claude-sonnet-5-5*":{"input":"3","output":15,"cache_read":0.30,"cache_write_5m":"3.75",
        "cache_write_1h":"6","web_search":"0.01"},"claude-haiku-5-5":{"input":1,"output":5}}"#;

    #[test]
    fn a_cost_is_exact_and_its_text_has_cents_at_least() {
        let tally = Tally { calls: 1, input: 1, output: 1, cache_read: 1, ..Tally::default() };
        assert_eq!(cost(SONNET, "claude-sonnet-5-5", &tally).as_deref(), Some("0.0000183"));
        let tally = Tally { cache_write_5m: 100_000, cache_write_1h: 200_000, web_searches: 3, ..Tally::default() };
        assert_eq!(cost(SONNET, "claude-sonnet-5-5", &tally).as_deref(), Some("1.605"));
        let tally = Tally { input: 1_000_000, ..Tally::default() };
        assert_eq!(cost(SONNET, "claude-sonnet-5-5", &tally).as_deref(), Some("3.00"));
        assert_eq!(cost(SONNET, "claude-sonnet-5-5", &Tally::default()).as_deref(), Some("0.00"));
    }

    #[test]
    fn what_has_no_price_costs_what_nobody_knows() {
        let some = |cache_read, other_tier_calls| Tally { input: 1, cache_read, other_tier_calls, ..Tally::default() };
        assert_eq!(cost(SONNET, "claude-haiku-5-5", &some(0, 0)).as_deref(), Some("0.000001"));
        assert_eq!(cost(SONNET, "claude-haiku-5-5", &some(1, 0)), None, "no price for what the cache holds");
        assert_eq!(cost(SONNET, "claude-haiku-5-5", &some(0, 1)), None, "another tier has other prices");
        assert_eq!(cost(SONNET, "claude-haiku-5-5-20261013", &some(0, 0)), None);
        assert_eq!(cost(SONNET, "claude-sonnet-5-5", &Tally { input: -1, ..Tally::default() }), None);
        assert_eq!(Prices::default().cost("claude-haiku-5-5", &Tally::default()), None);
    }

    #[test]
    fn the_longest_name_that_fits_holds_and_a_whole_name_before_all() {
        let table = r#"{"*":{"input":1},"claude-*":{"input":2},"claude-opus-*":{"input":3},"claude-opus-5":{"input":4},
            "claude-opus-5*":{"input":5}}"#;
        let million = Tally { input: 1_000_000, ..Tally::default() };
        for (model, expected) in [
            ("gpt", "1.00"),
            ("claude-haiku", "2.00"),
            ("claude-opus-3", "3.00"),
            ("claude-opus-5", "4.00"),
            ("claude-opus-5-5", "5.00"),
        ] {
            assert_eq!(cost(table, model, &million).as_deref(), Some(expected), "{model}");
        }
    }

    #[test]
    fn a_mistake_in_the_table_is_named() {
        for (table, expected) in [
            ("[]", "AI_PRICES is not a table of prices: "),
            (r#"{"m":{"input":1},"m":{"input":2}}"#, "'m' is there twice"),
            (r#"{"m":{"inputs":1}}"#, "unknown field `inputs`"),
            (r#"{"m":{"input":"3 USD"}}"#, r#"AI_PRICES has for 'm' the price 'input' "3 USD": not an amount"#),
            (r#"{"m":{"output":-1}}"#, "the price 'output' -1: not an amount"),
            (r#"{"m":{"output":1e2}}"#, "the price 'output' 1e2: not an amount"),
            (r#"{"m":{"web_search":[]}}"#, "the price 'web_search' []: not an amount"),
            (r#"{"cl*de":{}}"#, "has 'cl*de'; a model's name"),
            (r#"{"":{}}"#, "has ''; a model's name"),
        ] {
            let mistake = prices(table).unwrap_err();
            assert!(mistake.contains(expected), "{mistake}");
        }
        let many: Vec<_> = (0..=MOST_MODELS).map(|at| format!(r#""m{at}":{{}}"#)).collect();
        assert!(prices(&format!("{{{}}}", many.join(","))).unwrap_err().contains("more than 256 models"));
        assert!(prices("").unwrap().is_empty());
    }

    proptest! {
        #[test]
        fn a_cost_is_what_decimals_of_any_length_come_to(
            figures in proptest::array::uniform6(0..=i64::MAX),
            written in proptest::array::uniform6((0_u64..=999_999, 0_u64..=999_999, 0_usize..=6)),
        ) {
            let text = |(whole, decimals, length): (u64, u64, usize)| match length {
                0 => whole.to_string(),
                _ => format!("{whole}.{}", &format!("{decimals:06}")[..length]),
            };
            let written = written.map(text);
            let names = ["input", "output", "cache_read", "cache_write_5m", "cache_write_1h", "web_search"];
            let entries: Vec<_> = names.iter().zip(&written).map(|(name, text)| format!(r#""{name}":{text}"#)).collect();
            let prices = prices(&format!(r#"{{"m":{{{}}}}}"#, entries.join(","))).unwrap();
            let [input, output, cache_read, cache_write_5m, cache_write_1h, web_searches] = figures;
            let tally = Tally { input, output, cache_read, cache_write_5m, cache_write_1h, web_searches, ..Tally::default() };

            let mut expected = BigDecimal::from(0);
            for (at, (figure, price)) in figures.iter().zip(&written).enumerate() {
                let of = BigDecimal::from(if at < 5 { 1_000_000 } else { 1 });
                expected += BigDecimal::from(*figure) * BigDecimal::from_str(price).unwrap() / of;
            }
            let told = prices.cost("m", &tally).unwrap().to_string();
            prop_assert_eq!(BigDecimal::from_str(&told).unwrap(), expected);
        }
    }
}
