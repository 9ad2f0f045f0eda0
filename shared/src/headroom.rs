//! What an AI provider leaves of the platform's own rate limits, as its answers' `anthropic-ratelimit-*` headers say.
//!
//! It is about the traffic of all accounts together, so it stays inside: it goes into metrics, and to the board through
//! Redis, where the newest figures of each provider are kept for two minutes.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use http::HeaderMap;
use metrique::unit::{Count, Percent};
use metrique::unit_of_work::metrics;
use serde::{Deserialize, Serialize};
use tokio::time::Instant;

use crate::stores::redis::{Redis, Unavailable};
use crate::sync::lock;

/// The time after which an environment writes a provider's figures again.
const WRITE_EVERY: Duration = Duration::from_secs(5);
/// The time for which figures are kept. Providers' limits are per minute: older figures say nothing.
const KEPT: Duration = Duration::from_secs(120);

/// What a provider leaves of the platform's limits; `None` where the answer says nothing about one.
#[metrics(subfield_owned)]
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Headroom {
    /// Requests of the present minute.
    #[metrics(name = "ProviderRequestsLeft", unit = Count)]
    pub requests_left: Option<u64>,
    /// Input tokens of the present minute.
    #[metrics(name = "ProviderInputTokensLeft", unit = Count)]
    pub input_tokens_left: Option<u64>,
    /// Output tokens of the present minute.
    #[metrics(name = "ProviderOutputTokensLeft", unit = Count)]
    pub output_tokens_left: Option<u64>,
    /// The smallest remaining part of any limit, 0 to 100.
    #[metrics(name = "ProviderHeadroom", unit = Percent)]
    pub least_percent: Option<u64>,
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
            requests_left: remaining("requests"),
            input_tokens_left: remaining("input-tokens"),
            output_tokens_left: remaining("output-tokens"),
            least_percent: ["requests", "tokens", "input-tokens", "output-tokens"]
                .into_iter()
                .filter_map(percent)
                .min(),
        }
    }
}

/// The newest figures of each provider, for the whole fleet.
pub struct Headrooms {
    redis: Arc<Redis>,
    /// When this environment wrote a provider's figures last.
    written: Mutex<HashMap<String, Instant>>,
}

impl Headrooms {
    /// Returns the figures that are kept in `redis`.
    pub fn new(redis: Arc<Redis>) -> Self {
        Self { redis, written: Mutex::default() }
    }

    /// Keeps what `provider` leaves, at most every [`WRITE_EVERY`]. Where Redis is away, nothing is kept.
    pub async fn keep(&self, provider: &str, headroom: Headroom) {
        if headroom == Headroom::default() || !self.is_due(provider) {
            return;
        }
        let Ok(json) = serde_json::to_string(&headroom) else { return };
        let mut write = redis::cmd("SET");
        write.arg(key(provider)).arg(json).arg("EX").arg(KEPT.as_secs());
        let write = &write;
        // Redis says itself when it is away.
        let _written: Result<(), _> =
            self.redis.run(|mut connection| async move { write.query_async(&mut connection).await }).await;
    }

    fn is_due(&self, provider: &str) -> bool {
        let mut written = lock(&self.written);
        let is_due = written.get(provider).is_none_or(|at| at.elapsed() >= WRITE_EVERY);
        if is_due {
            written.insert(provider.to_owned(), Instant::now());
        }
        is_due
    }

    /// Returns the figures of `providers`, in their order; `None` where there are none of the last two minutes.
    ///
    /// # Errors
    /// [`Unavailable`], where Redis does not answer.
    pub async fn read(&self, providers: &[String]) -> Result<Vec<Option<Headroom>>, Unavailable> {
        let mut read = redis::cmd("MGET");
        for provider in providers {
            read.arg(key(provider));
        }
        let read = &read;
        let kept: Vec<Option<String>> =
            self.redis.run(|mut connection| async move { read.query_async(&mut connection).await }).await?;
        Ok(kept.into_iter().map(|json| serde_json::from_str(&json?).ok()).collect())
    }
}

fn key(provider: &str) -> String {
    format!("headroom:{provider}")
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
            requests_left: Some(3_999),
            input_tokens_left: Some(150_000),
            output_tokens_left: Some(400_000),
            least_percent: Some(7),
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
        assert_eq!(odd, Headroom { requests_left: Some(7), ..Headroom::default() });
        let more = [("anthropic-ratelimit-tokens-limit", "10"), ("anthropic-ratelimit-tokens-remaining", "11")];
        assert_eq!(read(&more).least_percent, Some(100));
    }
}
