//! Headroom: the unused part of the platform's own rate limits at an AI provider, from the `anthropic-ratelimit-*`
//! headers of its answers.
//!
//! It concerns the traffic of all accounts together, so it is never shown to callers. It goes into metrics, and to the
//! board through Redis, which keeps the newest figures of each provider for two minutes.

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

/// Minimum interval between an environment's writes of one provider's figures.
const WRITE_EVERY: Duration = Duration::from_secs(5);
/// Lifetime of figures in Redis. Providers' limits are per minute, so older figures are meaningless.
const KEPT: Duration = Duration::from_secs(120);

/// Remaining part of the platform's limits at a provider. A field is `None` if the answer has no such header.
#[metrics(subfield_owned)]
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Headroom {
    /// Requests left in the present minute.
    #[metrics(name = "ProviderRequestsLeft", unit = Count)]
    pub requests_left: Option<u64>,
    /// Input tokens left in the present minute.
    #[metrics(name = "ProviderInputTokensLeft", unit = Count)]
    pub input_tokens_left: Option<u64>,
    /// Output tokens left in the present minute.
    #[metrics(name = "ProviderOutputTokensLeft", unit = Count)]
    pub output_tokens_left: Option<u64>,
    /// Smallest remaining part of any limit, 0 to 100 percent.
    #[metrics(name = "ProviderHeadroom", unit = Percent)]
    pub least_percent: Option<u64>,
}

impl Headroom {
    /// Reads the headers of a provider's answer. Ignores values that are not whole numbers.
    pub fn read(upstream: &HeaderMap) -> Self {
        let number = |kind: &str, part: &str| {
            let value = upstream.get(format!("anthropic-ratelimit-{kind}-{part}"))?;
            value.to_str().ok()?.parse::<u64>().ok()
        };
        let remaining = |kind| number(kind, "remaining");
        // Cap the remainder at the limit, in case a provider reports more.
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

/// Store of the newest figures of each provider, shared by all environments.
pub struct Headrooms {
    redis: Arc<Redis>,
    /// Moment of this environment's last write, by provider.
    written: Mutex<HashMap<String, Instant>>,
}

impl Headrooms {
    /// Returns the store in `redis`.
    pub fn new(redis: Arc<Redis>) -> Self {
        Self { redis, written: Mutex::default() }
    }

    /// Writes the headroom of `provider`, at most once per [`WRITE_EVERY`]. Does nothing if Redis is unavailable.
    pub async fn keep(&self, provider: &str, headroom: Headroom) {
        // Skip answers without figures, and figures that follow soon after others.
        if headroom == Headroom::default() || !self.is_due(provider) {
            return;
        }
        let Ok(json) = serde_json::to_string(&headroom) else { return };
        // Replace the provider's figures.
        let mut write = redis::cmd("SET");
        write.arg(key(provider)).arg(json).arg("EX").arg(KEPT.as_secs());
        let write = &write;
        // The Redis handle reports an outage itself.
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

    /// Returns the figures of `providers`, in their order, or `None` for a provider without figures of the last two
    /// minutes.
    ///
    /// # Errors
    /// Returns [`Unavailable`] if Redis does not answer.
    pub async fn read(&self, providers: &[String]) -> Result<Vec<Option<Headroom>>, Unavailable> {
        // Read all providers at once.
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
    format!("{{levee}}:headroom:{provider}")
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
