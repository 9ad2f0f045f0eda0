//! Limits as HTTP header values.
//!
//! `RateLimit-Policy` and `RateLimit` follow draft-ietf-httpapi-ratelimit-headers-10: lists of structured fields (RFC
//! 9651), one item per policy. Policies on calls in flight have a unit instead of a window and a reset. The
//! `X-RateLimit-*` fields, which older clients know, describe the tightest policy only; their Reset is in Unix
//! seconds. None of the headers shows the global pool, shares of it, or policies in shadow mode.

use serde::{Deserialize, Serialize};
use sfv::{KeyRef, ListSerializer, StringRef};

use super::decide::{Reading, Refusal};
use super::policy::Algorithm;
use crate::clock::Timestamp;

/// Header values that describe the state of a caller's limits. Absent values are `None`.
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
    /// `X-RateLimit-Warning`: name of the policy with the largest used share, if that is at least 80 %.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub x_warning: Option<String>,
    /// `X-RateLimit-Degraded`: `redis` if limits could not be checked.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub x_degraded: Option<String>,
}

impl LimitHeaders {
    /// Returns the values for calls whose limits could not be checked.
    pub fn degraded() -> Self {
        Self { x_degraded: Some("redis".to_owned()), ..Self::default() }
    }

    /// Returns the values after a call that passed. The older fields describe the policy with the least left, and the
    /// warning names the one with the largest used share.
    pub fn from_readings(readings: &[Reading], now: Timestamp) -> Self {
        let public: Vec<&Reading> = readings.iter().filter(|reading| reading.policy.is_public()).collect();
        let tightest = tightest(&public);
        let near = public.iter().filter(|reading| reading.is_near()).max_by_key(|reading| reading.used_permille());
        Self { x_warning: near.map(|reading| reading.policy.name.clone()), ..Self::about(&public, tightest, now) }
    }

    /// Returns the values after a refusal. The older fields describe the policy to wait for. All values that the
    /// gateway response maps are set, and empty if they may not be shown, because it is not documented how an absent
    /// value renders.
    pub fn of_refusal(refusal: &Refusal, now: Timestamp) -> Self {
        let public: Vec<&Reading> = refusal.readings.iter().filter(|reading| reading.policy.is_public()).collect();
        let tightest = if refusal.binding.policy.is_public() { Some(&refusal.binding) } else { tightest(&public) };
        let told = Self::about(&public, tightest, now);
        let or_empty = |value: Option<String>| Some(value.unwrap_or_default());
        Self {
            rate_limit_policy: or_empty(told.rate_limit_policy),
            rate_limit: or_empty(told.rate_limit),
            x_limit: or_empty(told.x_limit),
            x_remaining: or_empty(told.x_remaining),
            x_reset: or_empty(told.x_reset),
            x_warning: None,
            x_degraded: None,
        }
    }

    fn about(public: &[&Reading], tightest: Option<&Reading>, now: Timestamp) -> Self {
        Self {
            rate_limit_policy: list(public, |reading| {
                let window = (!is_in_flight(reading)).then(|| ("w", reading.policy.window.secs(now)));
                [Some(("q", reading.policy.limit)), window]
            }),
            rate_limit: list(public, |reading| {
                let reset = (!is_in_flight(reading)).then(|| ("t", now.secs_until(reading.resets_at)));
                [Some(("r", reading.remaining())), reset]
            }),
            x_limit: tightest.map(|reading| reading.policy.limit.to_string()),
            x_remaining: tightest.map(|reading| reading.remaining().to_string()),
            x_reset: tightest.map(|reading| reading.resets_at.as_millis().div_ceil(1000).to_string()),
            x_warning: None,
            x_degraded: None,
        }
    }

    /// Returns the names and values of the headers that are set.
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

/// Returns the policy with the least left in its window. Calls in flight are left out, because places in flight
/// become free at any moment.
fn tightest<'a>(public: &[&'a Reading]) -> Option<&'a Reading> {
    public.iter().filter(|reading| !is_in_flight(reading)).min_by_key(|reading| reading.remaining()).copied()
}

fn is_in_flight(reading: &Reading) -> bool {
    reading.policy.algorithm == Algorithm::Concurrency
}

/// Serializes a structured-fields list with one string per policy and up to two integer parameters each.
fn list(readings: &[&Reading], parameters: impl Fn(&Reading) -> [Option<(&'static str, u64)>; 2]) -> Option<String> {
    let mut list = ListSerializer::new();
    for reading in readings {
        let mut item = list.bare_item(StringRef::from_str(&reading.policy.name).ok()?);
        for (name, value) in parameters(reading).into_iter().flatten() {
            item = item.parameter(KeyRef::from_str(name).ok()?, sfv::Integer::try_from(value).ok()?);
            // Calls in flight are counted in another unit than requests.
            if name == "q" && is_in_flight(reading) {
                item = item.parameter(KeyRef::from_str("qu").ok()?, StringRef::from_str("concurrent-requests").ok()?);
            }
        }
        let _ = item.finish();
    }
    list.finish()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits::{ChargedCall, Class, Decision, LimitsConfig, Mode, Overrides, Party, decide};

    const NOW: Timestamp = Timestamp::from_millis(1_700_000_030_500);

    /// Returns the readings of an AI call with these counts: address, integration, account, share, pool, and three in
    /// flight.
    fn readings(limits: &LimitsConfig, counts: [i64; 8]) -> Vec<Reading> {
        let none = Overrides::new();
        let (of_account, of_integration, of_key) = (&none, &none, &none);
        let party = Some(Party { account: "acme", integration: "crm", key: "k", of_account, of_integration, of_key });
        let asked = ChargedCall { class: Class::Ai, resource: "/", address: Some("a1b2"), party, platform: &none };
        let Decision::Allowed(readings) = decide(&limits.charges(&asked, NOW), true, &counts, NOW) else {
            panic!("refused")
        };
        readings
    }

    #[test]
    fn every_policy_but_the_pool_is_told_and_the_tightest_fills_the_older_fields() {
        let headers =
            LimitHeaders::from_readings(&readings(&LimitsConfig::default(), [24, 10, 11, 12, 13, 1, 1, 1]), NOW);
        assert_eq!(
            headers.pairs().collect::<Vec<_>>(),
            [
                (
                    "ratelimit-policy",
                    r#""ai-address";q=30;w=60, "integration";q=300;w=60, "account";q=600;w=60, "in-flight";q=20;qu="concurrent-requests""#
                ),
                (
                    "ratelimit",
                    r#""ai-address";r=6;t=10, "integration";r=290;t=10, "account";r=589;t=10, "in-flight";r=19"#
                ),
                ("x-ratelimit-limit", "30"),
                ("x-ratelimit-remaining", "6"),
                ("x-ratelimit-reset", "1700000040"),
                ("x-ratelimit-warning", "ai-address"),
            ]
        );
    }

    #[test]
    fn a_policy_that_is_nearly_used_up_is_warned_of_even_where_another_has_less_left() {
        let headers = LimitHeaders::from_readings(&readings(&LimitsConfig::default(), [0, 0, 540, 0, 0, 0, 0, 0]), NOW);
        assert_eq!((headers.x_limit.as_deref(), headers.x_warning.as_deref()), (Some("30"), Some("account")));
    }

    #[test]
    fn a_policy_that_warns_is_warned_of_and_one_in_the_shadow_is_not_told_at_all() {
        let mut limits = LimitsConfig::default();
        for policy in &mut limits.policies {
            let policy = std::sync::Arc::make_mut(policy);
            policy.mode = match policy.name.as_str() {
                "integration" => Mode::Warn,
                "account" => Mode::Shadow,
                _ => Mode::Enforce,
            };
        }
        let headers = LimitHeaders::from_readings(&readings(&limits, [29, 400, 9_000, 0, 0, 0, 0, 0]), NOW);
        assert_eq!(headers.x_warning.as_deref(), Some("integration"));
        assert!(!headers.rate_limit.unwrap().contains("account"));
    }

    #[test]
    fn while_limits_cannot_be_checked_the_headers_say_only_that() {
        let headers = LimitHeaders::degraded();
        assert_eq!(headers.pairs().collect::<Vec<_>>(), [("x-ratelimit-degraded", "redis")]);
    }
}
