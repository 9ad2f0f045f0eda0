//! Sums over calls. No I/O.

use serde::{Deserialize, Serialize};

use super::usage::Usage;

/// Sums over calls, or a change to them. The sum over all shards is never negative; the part in one shard may be.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Tally {
    /// Calls that used tokens, however many attempts they took.
    pub calls: i64,
    /// Attempts that used tokens, beyond the first of each call. Earlier versions counted every attempt as a call, so
    /// `calls` plus `further_attempts` is the number of attempts in sums of any version.
    pub further_attempts: i64,
    /// Calls with estimated figures.
    pub estimated_calls: i64,
    /// Attempts that were served at another service tier than the standard one.
    pub other_tier_calls: i64,
    /// Input tokens that were neither read from nor written to the cache.
    pub input: i64,
    /// Output tokens.
    pub output: i64,
    /// Input tokens read from the cache.
    pub cache_read: i64,
    /// Input tokens written to the cache for 5 minutes.
    pub cache_write_5m: i64,
    /// Input tokens written to the cache for an hour.
    pub cache_write_1h: i64,
    /// Web searches that the provider made.
    pub web_searches: i64,
    /// Web pages that the provider fetched.
    pub web_fetches: i64,
}

impl Tally {
    /// Names of the sums in the table.
    pub const NAMES: [&str; 11] = [
        "calls",
        "further_attempts",
        "estimated_calls",
        "other_tier_calls",
        "input",
        "output",
        "cache_read",
        "cache_write_5m",
        "cache_write_1h",
        "web_searches",
        "web_fetches",
    ];

    /// Returns the sums in the order of [`Tally::NAMES`].
    pub fn values(&self) -> [i64; 11] {
        [
            self.calls,
            self.further_attempts,
            self.estimated_calls,
            self.other_tier_calls,
            self.input,
            self.output,
            self.cache_read,
            self.cache_write_5m,
            self.cache_write_1h,
            self.web_searches,
            self.web_fetches,
        ]
    }

    /// Returns the sums of `usage`, without counting a call.
    pub fn from_usage(usage: &Usage) -> Self {
        let figure = |figure: u64| i64::try_from(figure).unwrap_or(i64::MAX);
        Self {
            input: figure(usage.input),
            output: figure(usage.output),
            cache_read: figure(usage.cache_read),
            cache_write_5m: figure(usage.cache_write_5m),
            cache_write_1h: figure(usage.cache_write_1h),
            web_searches: figure(usage.web_searches),
            web_fetches: figure(usage.web_fetches),
            ..Self::default()
        }
    }

    /// Returns the number of attempts that used tokens.
    pub fn attempts(&self) -> i64 {
        self.calls.saturating_add(self.further_attempts)
    }

    /// Returns the sum of both tallies, saturating.
    #[must_use]
    pub fn plus(&self, other: &Self) -> Self {
        self.with(other, i64::saturating_add)
    }

    /// Returns this tally minus `other`, saturating.
    #[must_use]
    pub fn less(&self, other: &Self) -> Self {
        self.with(other, i64::saturating_sub)
    }

    fn with(&self, other: &Self, each: impl Fn(i64, i64) -> i64) -> Self {
        Self {
            calls: each(self.calls, other.calls),
            further_attempts: each(self.further_attempts, other.further_attempts),
            estimated_calls: each(self.estimated_calls, other.estimated_calls),
            other_tier_calls: each(self.other_tier_calls, other.other_tier_calls),
            input: each(self.input, other.input),
            output: each(self.output, other.output),
            cache_read: each(self.cache_read, other.cache_read),
            cache_write_5m: each(self.cache_write_5m, other.cache_write_5m),
            cache_write_1h: each(self.cache_write_1h, other.cache_write_1h),
            web_searches: each(self.web_searches, other.web_searches),
            web_fetches: each(self.web_fetches, other.web_fetches),
        }
    }

    /// Returns true if all sums are 0.
    pub fn is_zero(&self) -> bool {
        *self == Self::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_sum_has_its_name() {
        let names = serde_json::to_value(Tally::default()).unwrap();
        assert!(Tally::NAMES.iter().all(|name| names[name] == 0));
        assert_eq!(names.as_object().unwrap().len(), Tally::NAMES.len());
    }

    #[test]
    fn what_an_earlier_version_counted_as_calls_are_attempts() {
        let earlier: Tally = serde_json::from_str(r#"{"calls":3,"input":7}"#).unwrap();
        assert_eq!((earlier.calls, earlier.attempts()), (3, 3));
        let both = earlier.plus(&Tally { calls: 1, further_attempts: 1, ..Tally::default() });
        assert_eq!((both.calls, both.attempts()), (4, 5));
    }
}
