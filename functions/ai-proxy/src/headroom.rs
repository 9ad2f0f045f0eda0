//! What a provider leaves of the platform's rate limits, as its answers' `anthropic-ratelimit-*` headers say. It is about the
//! traffic of all accounts together, so it goes into metrics and no further.

use http::HeaderMap;
use metrique::unit::{Count, Percent};
use metrique::unit_of_work::metrics;

/// What a provider leaves of the platform's limits; `None` where the answer says nothing about one.
#[metrics(subfield_owned)]
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Headroom {
    /// Requests of the present minute.
    #[metrics(name = "ProviderRequestsLeft", unit = Count)]
    requests: Option<u64>,
    /// Input tokens of the present minute.
    #[metrics(name = "ProviderInputTokensLeft", unit = Count)]
    input_tokens: Option<u64>,
    /// Output tokens of the present minute.
    #[metrics(name = "ProviderOutputTokensLeft", unit = Count)]
    output_tokens: Option<u64>,
    /// The smallest remaining part of any limit.
    #[metrics(name = "ProviderHeadroom", unit = Percent)]
    least: Option<u64>,
}

impl Headroom {
    /// Reads the headers of a provider's answer. Values that are no whole numbers are left out.
    pub fn read(upstream: &HeaderMap) -> Self {
        let number = |kind: &str, part: &str| {
            let value = upstream.get(format!("anthropic-ratelimit-{kind}-{part}"))?;
            value.to_str().ok()?.parse::<u64>().ok()
        };
        let remaining = |kind| number(kind, "remaining");
        let percent = |kind| {
            let limit = number(kind, "limit").filter(|limit| *limit > 0)?;
            Some(remaining(kind)?.min(limit).saturating_mul(100) / limit)
        };
        Self {
            requests: remaining("requests"),
            input_tokens: remaining("input-tokens"),
            output_tokens: remaining("output-tokens"),
            least: ["requests", "tokens", "input-tokens", "output-tokens"].into_iter().filter_map(percent).min(),
        }
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn read(pairs: &[(&'static str, &'static str)]) -> Headroom {
        Headroom::read(
            &pairs.iter().map(|(name, value)| (name.parse().unwrap(), HeaderValue::from_static(value))).collect(),
        )
    }

    #[test]
    fn what_is_left_is_read_and_the_scarcest_limit_is_the_headroom() {
        let read = read(&[
            ("anthropic-ratelimit-requests-limit", "4000"),
            ("anthropic-ratelimit-requests-remaining", "3999"),
            ("anthropic-ratelimit-input-tokens-limit", "2000000"),
            ("anthropic-ratelimit-input-tokens-remaining", "150000"),
            ("anthropic-ratelimit-output-tokens-limit", "400000"),
            ("anthropic-ratelimit-output-tokens-remaining", "400000"),
        ]);
        let expected = Headroom {
            requests: Some(3_999),
            input_tokens: Some(150_000),
            output_tokens: Some(400_000),
            least: Some(7),
        };
        assert_eq!(read, expected);
    }

    #[test]
    fn what_is_missing_or_no_number_is_left_out() {
        assert_eq!(read(&[]), Headroom::default());
        let odd = read(&[
            ("anthropic-ratelimit-requests-limit", "0"),
            ("anthropic-ratelimit-requests-remaining", "7"),
            ("anthropic-ratelimit-input-tokens-limit", "10"),
            ("anthropic-ratelimit-input-tokens-remaining", "-1"),
            ("anthropic-ratelimit-output-tokens-limit", "soon"),
            ("anthropic-ratelimit-output-tokens-remaining", "18446744073709551616"),
        ]);
        assert_eq!(odd, Headroom { requests: Some(7), ..Headroom::default() });
        let more = [("anthropic-ratelimit-tokens-limit", "10"), ("anthropic-ratelimit-tokens-remaining", "11")];
        assert_eq!(read(&more).least, Some(100));
    }
}
