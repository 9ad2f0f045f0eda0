//! Tests of tables of prices and of the costs that follow from them.

use std::str::FromStr;

use bigdecimal::BigDecimal;
use proptest::prelude::*;

use super::*;
use crate::accounts::IntegrationKind;
use crate::config::from_lookup;
use crate::metering::Tally;

fn prices(table: &str) -> Result<Prices, String> {
    from_lookup(|_| Some(table.to_owned()), Prices::read).map_err(|error| error.to_string())
}

/// Returns a line of an earlier version, which has no provider and no way of serving.
fn earlier(model: &str, tally: &Tally) -> UsageLine {
    UsageLine {
        day: 1,
        integration: "crm".to_owned(),
        kind: IntegrationKind::Customer,
        model: model.to_owned(),
        provider: String::new(),
        service: Service::default(),
        tally: *tally,
    }
}

fn cost(table: &str, model: &str, tally: &Tally) -> Option<String> {
    prices(table).unwrap().cost(&earlier(model, tally)).map(|cost| cost.to_string())
}

/// Returns the cost of a million tokens each of input, output and cache reads, served as `service` and asked for as
/// `asked`.
fn cost_of(table: &str, provider: &str, asked: &str, service: Service) -> Option<String> {
    let tally = Tally { input: 1_000_000, output: 1_000_000, cache_read: 1_000_000, ..Tally::default() };
    let line = UsageLine { provider: provider.to_owned(), service, ..earlier(asked, &tally) };
    prices(table).unwrap().cost(&line).map(|cost| cost.to_string())
}

fn served(model: &str) -> Service {
    Service { model: model.to_owned(), ..Service::default() }
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
    assert_eq!(cost(SONNET, "claude-haiku-5-5-20261013", &some(0, 0)).as_deref(), Some("0.000001"), "a snapshot");
    assert_eq!(cost(SONNET, "claude-haiku-5-5-fast", &some(0, 0)), None);
    assert_eq!(cost(SONNET, "claude-sonnet-5-5", &Tally { input: -1, ..Tally::default() }), None);
    assert_eq!(Prices::default().cost(&earlier("claude-haiku-5-5", &Tally::default())), None);
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
        (r#"{"m":{"tier":{"slow":2}}}"#, "has for 'm' the tier 'slow': not standard, priority or batch"),
        (r#"{"m":{"speed":{"fast":1.234}}}"#, "the speed 'fast' 1.234: not a multiplier up to 1000 with at most 2"),
        (r#"{"m":{"geo":{"us":1.1,"us":2}}}"#, "'us' is there twice"),
        (r#"{"m":{"geo":{"a b":1}}}"#, "has for 'm' the geo 'a b': not a name of 1 to 32"),
        (r#"{"m":{"long":{"above":100000,"input":2,"output":1.5}}}"#, "'above' is 100000: it may be 128000, 200000"),
        (r#"{"m":{"long":{"above":200000,"output":1.5}}}"#, "missing field `input`"),
        (r##"{"#m":{}}"##, "has '#m'; before the # is a provider's name"),
        (r##"{"backup#":{}}"##, "has 'backup#'; a model's name"),
        (r#"{"cl*de":{}}"#, "has 'cl*de'; a model's name"),
        (r#"{"":{}}"#, "has ''; a model's name"),
    ] {
        let mistake = prices(table).unwrap_err();
        assert!(mistake.contains(expected), "{mistake}");
    }
    let many: Vec<_> = (0..=MOST_ENTRIES).map(|at| format!(r#""m{at}":{{}}"#)).collect();
    assert!(prices(&format!("{{{}}}", many.join(","))).unwrap_err().contains("more than 256 models"));
    assert!(prices("").unwrap().is_empty());
}

const EXTENDED: &str = r#"{"claude-*":{"input":3,"output":15,"cache_read":0.3,
        "long":{"above":200000,"input":2,"output":"1.5"}},
    "claude-opus-*":{"input":5,"output":25,"cache_read":0.5},
    "backup#claude-opus-*":{"input":6,"output":30,"cache_read":0.6,"geo":{"us":1}},
    "*":{"tier":{"batch":0.5},"speed":{"fast":"6"},"geo":{"us":1.1}}}"#;

#[test]
fn a_price_is_of_the_model_that_served_and_of_its_provider() {
    for (provider, asked, model, expected) in [
        ("primary", "claude-sonnet-5-5", "claude-sonnet-5-5-20260915", Some("18.30")),
        ("primary", "claude-sonnet-5-5", "claude-opus-4-8", Some("30.50")),
        ("backup", "claude-sonnet-5-5", "claude-opus-4-8", Some("36.60")),
        ("backup", "claude-sonnet-5-5", "claude-sonnet-5-5", Some("18.30")),
        ("primary", "fast-and-cheap", "claude-sonnet-5-5", Some("18.30")),
        ("primary", "claude-sonnet-5-5", "other", None),
        ("primary", "claude-sonnet-5-5", "", Some("18.30")),
    ] {
        assert_eq!(
            cost_of(EXTENDED, provider, asked, served(model)).as_deref(),
            expected,
            "{provider} {asked} {model}"
        );
    }
}

#[test]
fn a_price_is_multiplied_by_tier_speed_region_and_length_of_the_prompt() {
    let sonnet = || served("claude-sonnet-5-5");
    let (fast, us) = (|| "fast".to_owned(), || "us".to_owned());
    for (service, expected) in [
        (Service { tier: Tier::Batch, ..sonnet() }, Some("9.15")),
        (Service { speed: fast(), ..sonnet() }, Some("109.80")),
        (Service { speed: "standard".to_owned(), geo: "global".to_owned(), ..sonnet() }, Some("18.30")),
        (Service { geo: us(), ..sonnet() }, Some("20.13")),
        (Service { geo: "not_available".to_owned(), ..sonnet() }, Some("18.30")),
        (Service { prompt_above: 128_000, ..sonnet() }, Some("18.30")),
        (Service { prompt_above: 200_000, ..sonnet() }, Some("29.10")),
        (Service { prompt_above: 512_000, ..sonnet() }, Some("29.10")),
        (Service { prompt_above: 256_000, geo: us(), speed: fast(), ..sonnet() }, Some("192.06")),
        (Service { tier: Tier::Priority, ..sonnet() }, None),
        (Service { tier: Tier::Other, ..sonnet() }, None),
        (Service { speed: "turbo".to_owned(), ..sonnet() }, None),
        (Service { geo: "eu".to_owned(), ..sonnet() }, None),
    ] {
        assert_eq!(cost_of(EXTENDED, "primary", "x", service.clone()).as_deref(), expected, "{service:?}");
    }
    // The multiplier of a closer entry takes precedence.
    let opus = Service { geo: us(), ..served("claude-opus-5-5") };
    assert_eq!(cost_of(EXTENDED, "primary", "x", opus.clone()).as_deref(), Some("33.55"));
    assert_eq!(cost_of(EXTENDED, "backup", "x", opus).as_deref(), Some("36.60"));
}

#[test]
fn a_multiplied_price_is_rounded_to_the_picodollar_a_token() {
    let table = r#"{"m":{"input":"0.000001","geo":{"us":1.5}}}"#;
    let tally = Tally { input: 3, ..Tally::default() };
    let service = Service { geo: "us".to_owned(), ..served("m") };
    let line = UsageLine { provider: "primary".to_owned(), service, ..earlier("m", &tally) };
    assert_eq!(prices(table).unwrap().cost(&line).unwrap().to_string(), "0.000000000006");
}

#[test]
fn an_entry_without_prices_or_multipliers_says_that_a_model_has_none() {
    let table = r#"{"*":{"input":1,"output":1,"cache_read":1},"claude-opus-5":{},"claude-haiku-*":{"geo":{"us":2}}}"#;
    assert_eq!(cost_of(table, "primary", "x", served("claude-opus-5")), None);
    assert_eq!(cost_of(table, "primary", "x", served("claude-haiku-5")).as_deref(), Some("3.00"));
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
        let told = prices.cost(&earlier("m", &tally)).unwrap().to_string();
        prop_assert_eq!(BigDecimal::from_str(&told).unwrap(), expected);
    }
}
