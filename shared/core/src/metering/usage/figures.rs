//! Reads the counts of the `usage` objects of Anthropic's API.

use super::json::Object;
use super::{Figures, Tier, Usage};

/// Largest token count. A larger figure is not a count.
const LARGEST_COUNT: f64 = 1e9;

/// Counts of a `usage` object, or of several that replace each other.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Counted {
    /// Figures as reported.
    pub(super) figures: Figures,
    /// Name of the first field that was left out ([`Figures::is_absurd`]). Never its value.
    pub(super) absurd: Option<&'static str>,
    /// True if any figure of the input was reported.
    pub(super) has_input: bool,
    /// True if the figure of the output was reported.
    pub(super) has_output: bool,
}

impl Counted {
    /// Merges the JSON of a `usage` object into the counts. Missing fields keep their values. Returns true if it has
    /// the number of output tokens.
    pub(super) fn replace_with(&mut self, usage: &str) -> bool {
        let Some(reported) = Object::parse(usage) else {
            self.refuse("usage");
            return false;
        };
        // Read the input, apart from cache writes.
        let has_input = self.raise(|usage| &mut usage.input, &reported, "input_tokens");
        self.raise(|usage| &mut usage.cache_read, &reported, "cache_read_input_tokens");

        // Read the split of cache writes by lifetime, then the total.
        let split = self.object(&reported, "cache_creation");
        self.replace(|usage| &mut usage.cache_write_5m, &split, "ephemeral_5m_input_tokens");
        self.replace(|usage| &mut usage.cache_write_1h, &split, "ephemeral_1h_input_tokens");
        // The total counts, even if the split came earlier. Tokens not known to be for an hour have the default
        // lifetime of 5 minutes.
        let cache_writes = self.count(&reported, "cache_creation_input_tokens");
        self.has_input |= has_input;
        if let Some(total) = cache_writes {
            let usage = &mut self.figures.usage;
            usage.cache_write_1h = usage.cache_write_1h.min(total);
            usage.cache_write_5m = total - usage.cache_write_1h;
        }

        // Read the requests to server tools, and the tier.
        let tools = self.object(&reported, "server_tool_use");
        self.replace(|usage| &mut usage.web_searches, &tools, "web_search_requests");
        self.replace(|usage| &mut usage.web_fetches, &tools, "web_fetch_requests");

        if reported.field("service_tier").is_some() {
            self.figures.tier = match reported.text("service_tier").as_deref() {
                Some("standard") => Tier::Standard,
                Some("priority") => Tier::Priority,
                Some("batch") => Tier::Batch,
                _ => Tier::Other,
            };
        }
        let has_output = self.replace(|usage| &mut usage.output, &reported, "output_tokens");
        self.has_output |= has_output;
        has_output
    }

    /// Stores a count. Returns false if there is none.
    fn replace(&mut self, figure: fn(&mut Usage) -> &mut u64, reported: &Object<'_>, field: &'static str) -> bool {
        let count = self.count(reported, field);
        if let Some(count) = count {
            *figure(&mut self.figures.usage) = count;
        }
        count.is_some()
    }

    /// Takes over a count unless it is smaller: the figures of a stream are cumulative, and a provider that repeats them as
    /// 0 has not taken the prompt back. Returns false if there is none.
    fn raise(&mut self, figure: fn(&mut Usage) -> &mut u64, reported: &Object<'_>, field: &'static str) -> bool {
        let count = self.count(reported, field);
        let figure = figure(&mut self.figures.usage);
        *figure = count.map_or(*figure, |count| count.max(*figure));
        count.is_some()
    }

    /// Returns a field that is a valid count; `None` if it is missing or invalid. Marks an invalid one.
    fn count(&mut self, reported: &Object<'_>, field: &'static str) -> Option<u64> {
        // Every JSON number parses as `f64`, and every count within the limit is exact.
        let number = reported.field(field)?.parse::<f64>().ok();
        let count = number.filter(|number| (0.0..=LARGEST_COUNT).contains(number) && number.fract() == 0.0);
        if count.is_none() {
            self.refuse(field);
        }
        count.map(|count| count as u64)
    }

    /// Returns a field that is an object; an empty object if it is missing or invalid. Marks an invalid one.
    fn object<'a>(&mut self, reported: &Object<'a>, field: &'static str) -> Object<'a> {
        let Some(json) = reported.field(field) else { return Object::default() };
        Object::parse(json).unwrap_or_else(|| {
            self.refuse(field);
            Object::default()
        })
    }

    /// Marks the figures as incomplete because of `field`.
    pub(super) fn refuse(&mut self, field: &'static str) {
        self.figures.is_absurd = true;
        self.absurd.get_or_insert(field);
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    /// Reads `usage` objects one after the other.
    fn read(reports: &[&str]) -> Figures {
        reading(reports).figures
    }

    fn reading(reports: &[&str]) -> Counted {
        let mut reading = Counted::default();
        for report in reports {
            reading.replace_with(report);
        }
        reading
    }

    #[rstest]
    #[case::zero("0", 0)]
    #[case::the_largest("1000000000", 1_000_000_000)]
    #[case::written_as_a_fraction("25.0", 25)]
    #[case::written_with_an_exponent("1e3", 1000)]
    fn a_count_may_be_written_in_any_way(#[case] json: &str, #[case] expected: u64) {
        let figures = read(&[&format!(r#"{{"input_tokens":{json}}}"#)]);
        assert_eq!((figures.usage.input, figures.is_absurd), (expected, false));
    }

    #[rstest]
    fn an_absurd_figure_is_refused_and_all_others_are_read(
        #[values("-1", "1.5", "1000000001", "1e10", "1e999", "18446744073709551616", "\"5\"", "true", "[]", "{}")]
        absurd: &str,
        #[values(
            "input_tokens",
            "output_tokens",
            "cache_read_input_tokens",
            "cache_creation_input_tokens",
            "ephemeral_1h_input_tokens",
            "web_fetch_requests"
        )]
        field: &str,
    ) {
        let valid = r#"{"input_tokens":1,"output_tokens":2,"cache_read_input_tokens":3,"cache_creation_input_tokens":9,
            "cache_creation":{"ephemeral_5m_input_tokens":4,"ephemeral_1h_input_tokens":5},
            "server_tool_use":{"web_search_requests":6,"web_fetch_requests":7},"service_tier":"batch"}"#;
        let mut expected = read(&[valid]);
        expected.is_absurd = true;
        match field {
            "input_tokens" => expected.usage.input = 0,
            "output_tokens" => expected.usage.output = 0,
            "cache_read_input_tokens" => expected.usage.cache_read = 0,
            // The split has the whole figure.
            "cache_creation_input_tokens" => {}
            // The total is valid, and no tokens are known to be for an hour.
            "ephemeral_1h_input_tokens" => (expected.usage.cache_write_1h, expected.usage.cache_write_5m) = (0, 9),
            _ => expected.usage.web_fetches = 0,
        }
        let (head, tail) = valid.split_once(&format!("\"{field}\":")).unwrap();
        let body = format!("{head}\"{field}\":{absurd}{}", tail.trim_start_matches(|c: char| c.is_ascii_digit()));
        assert_eq!(read(&[&body]), expected, "{body}");
    }

    #[test]
    fn what_should_be_an_object_and_is_none_is_absurd() {
        for usage in ["5", "\"x\"", "[]", "true"] {
            assert_eq!(read(&[usage]), Figures { is_absurd: true, ..Figures::default() });
        }
        for field in ["cache_creation", "server_tool_use"] {
            let usage = Usage { output: 2, ..Usage::default() };
            let report = format!(r#"{{"{field}":5,"output_tokens":2}}"#);
            assert_eq!(read(&[&report]), Figures { usage, is_absurd: true, ..Figures::default() }, "{field}");
        }
    }

    #[rstest]
    #[case::none(&[r#"{"input_tokens":1}"#, r#"{"output_tokens":2}"#], None)]
    #[case::of_one_report(&[r#"{"output_tokens":-1,"cache_read_input_tokens":0.5}"#], Some("cache_read_input_tokens"))]
    #[case::of_two_reports(&[r#"{"output_tokens":-1}"#, r#"{"input_tokens":-1}"#], Some("output_tokens"))]
    #[case::made_up_for(&[r#"{"input_tokens":2000000000}"#, r#"{"input_tokens":2}"#], Some("input_tokens"))]
    #[case::all_of_it(&["7"], Some("usage"))]
    fn the_first_field_that_is_refused_is_told_by_its_name(
        #[case] reports: &[&str],
        #[case] absurd: Option<&'static str>,
    ) {
        let reading = reading(reports);
        assert_eq!((reading.absurd, reading.figures.is_absurd), (absurd, absurd.is_some()));
    }

    #[rstest]
    #[case::only_a_total(&[r#"{"cache_creation_input_tokens":300}"#], (300, 0))]
    #[case::only_a_split(&[r#"{"cache_creation":{"ephemeral_5m_input_tokens":100,"ephemeral_1h_input_tokens":200}}"#], (100, 200))]
    #[case::half_a_split(&[r#"{"cache_creation_input_tokens":300,"cache_creation":{"ephemeral_1h_input_tokens":200}}"#], (100, 200))]
    #[case::the_split_and_later_its_sum(&[SPLIT, r#"{"cache_creation_input_tokens":300}"#], (100, 200))]
    #[case::the_split_and_later_more(&[SPLIT, r#"{"cache_creation_input_tokens":450}"#], (250, 200))]
    #[case::the_split_and_later_less(&[SPLIT, r#"{"cache_creation_input_tokens":250}"#], (50, 200))]
    #[case::the_split_and_later_less_than_an_hours(&[SPLIT, r#"{"cache_creation_input_tokens":150}"#], (0, 150))]
    #[case::the_split_and_later_nothing(&[SPLIT, r#"{"output_tokens":1}"#], (100, 200))]
    #[case::the_split_and_later_null(&[SPLIT, r#"{"cache_creation_input_tokens":null,"cache_creation":null}"#], (100, 200))]
    #[case::more_and_more(&[SPLIT, r#"{"cache_creation_input_tokens":400}"#, r#"{"cache_creation_input_tokens":500}"#], (300, 200))]
    #[case::a_total_and_later_the_split(&[r#"{"cache_creation_input_tokens":300}"#, SPLIT], (100, 200))]
    #[case::a_split_that_is_less_than_the_total(&[r#"{"cache_creation_input_tokens":500,"cache_creation":{"ephemeral_5m_input_tokens":100,"ephemeral_1h_input_tokens":200}}"#], (300, 200))]
    #[case::the_order_of_fields(&[r#"{"cache_creation":{"ephemeral_1h_input_tokens":200,"ephemeral_5m_input_tokens":100},"cache_creation_input_tokens":500}"#], (300, 200))]
    fn cache_writes_are_split_by_lifetime_as_far_as_that_is_known(
        #[case] reports: &[&str],
        #[case] expected: (u64, u64),
    ) {
        let Usage { cache_write_5m, cache_write_1h, .. } = read(reports).usage;
        assert_eq!((cache_write_5m, cache_write_1h), expected);
    }

    const SPLIT: &str = r#"{"cache_creation_input_tokens":300,
        "cache_creation":{"ephemeral_5m_input_tokens":100,"ephemeral_1h_input_tokens":200}}"#;

    #[rstest]
    #[case(&["{}"], Tier::Standard)]
    #[case(&[r#"{"service_tier":null}"#], Tier::Standard)]
    #[case(&[r#"{"service_tier":"standard"}"#], Tier::Standard)]
    #[case(&[r#"{"service_tier":"priority"}"#], Tier::Priority)]
    #[case(&[r#"{"service_tier":"batch"}"#], Tier::Batch)]
    #[case(&[r#"{"service_tier":"scale"}"#], Tier::Other)]
    #[case(&[r#"{"service_tier":7}"#], Tier::Other)]
    #[case(&[r#"{"service_tier":"priority"}"#, r#"{"output_tokens":1}"#], Tier::Priority)]
    #[case(&[r#"{"service_tier":"priority"}"#, r#"{"service_tier":"standard"}"#], Tier::Standard)]
    fn the_tier_is_what_was_said_last_and_standard_where_nothing_was(#[case] reports: &[&str], #[case] tier: Tier) {
        assert_eq!(read(reports), Figures { tier, usage: read(reports).usage, is_absurd: false });
    }
}
