//! Limits as HTTP header values.
//!
//! `RateLimit-Policy` and `RateLimit` follow draft-ietf-httpapi-ratelimit-headers-10: lists of structured fields
//! (RFC 9651), one item per policy. The `X-RateLimit-*` fields that older clients know tell of the tightest policy
//! alone; their Reset is in Unix seconds. The global pool is in none of them.

use serde::{Deserialize, Serialize};
use sfv::{KeyRef, ListSerializer, StringRef};

use super::decide::Reading;
use crate::clock::Timestamp;

/// The header values that tell a caller where their limits stand. Absent where there is nothing to tell.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct LimitHeaders {
    /// `RateLimit-Policy`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rate_limit_policy: Option<String>,
    /// `RateLimit`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rate_limit: Option<String>,
    /// `X-RateLimit-Limit`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub x_limit: Option<String>,
    /// `X-RateLimit-Remaining`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub x_remaining: Option<String>,
    /// `X-RateLimit-Reset`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub x_reset: Option<String>,
    /// `X-RateLimit-Warning`: the tightest policy's name once 80 % of it are used.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub x_warning: Option<String>,
    /// `X-RateLimit-Degraded`: `redis` while limits cannot be checked.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub x_degraded: Option<String>,
}

impl LimitHeaders {
    /// The values for calls whose limits could not be checked.
    pub fn degraded() -> Self {
        Self { x_degraded: Some("redis".to_owned()), ..Self::default() }
    }

    /// The values for the given readings.
    pub fn of(readings: &[Reading], now: Timestamp) -> Self {
        let public: Vec<&Reading> = readings.iter().filter(|reading| reading.policy.is_public()).collect();
        let Some(tightest) = public.iter().min_by_key(|reading| reading.remaining()) else { return Self::default() };
        Self {
            rate_limit_policy: list(&public, |reading| {
                [("q", reading.policy.limit), ("w", reading.policy.window_secs)]
            }),
            rate_limit: list(&public, |reading| [("r", reading.remaining()), ("t", now.secs_until(reading.resets_at))]),
            x_limit: Some(tightest.policy.limit.to_string()),
            x_remaining: Some(tightest.remaining().to_string()),
            x_reset: Some(tightest.resets_at.as_secs().to_string()),
            x_warning: tightest.is_near().then(|| tightest.policy.name.to_owned()),
            x_degraded: None,
        }
    }

    /// Header names with the values that are there.
    pub fn pairs(&self) -> impl Iterator<Item = (&'static str, &str)> {
        [
            ("ratelimit-policy", &self.rate_limit_policy),
            ("ratelimit", &self.rate_limit),
            ("x-ratelimit-limit", &self.x_limit),
            ("x-ratelimit-remaining", &self.x_remaining),
            ("x-ratelimit-reset", &self.x_reset),
            ("x-ratelimit-warning", &self.x_warning),
            ("x-ratelimit-degraded", &self.x_degraded),
        ]
        .into_iter()
        .filter_map(|(name, value)| Some((name, value.as_deref()?)))
    }
}

/// A structured-fields list with one string per policy and two integer parameters each.
fn list(readings: &[&Reading], parameters: impl Fn(&Reading) -> [(&'static str, u64); 2]) -> Option<String> {
    let mut list = ListSerializer::new();
    for reading in readings {
        let mut item = list.bare_item(StringRef::from_str(reading.policy.name).ok()?);
        for (name, value) in parameters(reading) {
            item = item.parameter(KeyRef::from_str(name).ok()?, sfv::Integer::try_from(value).ok()?);
        }
        let _ = item.finish();
    }
    list.finish()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits::{Decision, LimitsConfig, Subject, decide};

    #[test]
    fn every_policy_but_the_pool_is_told_and_the_tightest_fills_the_older_fields() {
        let now = Timestamp::from_millis(1_700_000_030_500);
        let limits = LimitsConfig {
            ai_per_address: 30,
            integration_per_minute: 300,
            account_per_minute: 600,
            global_per_minute: 6_000,
        };
        let charges = limits.ai_call(Some(Subject("a1b2".to_owned())), "acme", "crm");
        let Decision::Allowed(readings) = decide(charges, &[1, 24, 10, 11, 12], now) else { panic!("refused") };

        let headers = LimitHeaders::of(&readings, now);
        assert_eq!(
            headers.pairs().collect::<Vec<_>>(),
            [
                ("ratelimit-policy", r#""ai-address";q=30;w=60, "integration";q=300;w=60, "account";q=600;w=60"#),
                ("ratelimit", r#""ai-address";r=6;t=10, "integration";r=290;t=10, "account";r=589;t=10"#),
                ("x-ratelimit-limit", "30"),
                ("x-ratelimit-remaining", "6"),
                ("x-ratelimit-reset", "1700000040"),
                ("x-ratelimit-warning", "ai-address"),
            ]
        );
    }

    #[test]
    fn while_limits_cannot_be_checked_the_headers_say_only_that() {
        let headers = LimitHeaders::degraded();
        assert_eq!(headers.pairs().collect::<Vec<_>>(), [("x-ratelimit-degraded", "redis")]);
    }
}
