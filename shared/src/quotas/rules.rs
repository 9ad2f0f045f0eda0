//! Rules by which requests are granted without an admin.

use serde::Deserialize;

use crate::config::Reader;

/// Rules of automatic grants.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct QuotaRules {
    /// True if requests may be granted without an admin. Default true.
    pub automatic: bool,
    /// Youngest account, in days. Default 14: a new account has shown nothing yet.
    pub min_age_days: u64,
    /// Largest raise, in percent of the present limit, 100 to 1,000. Default 200: twice as much.
    pub max_raise_percent: u64,
    /// Largest granted limit, in percent of the limit that all accounts have, 100 to 10,000. Default 400.
    pub ceiling_percent: u64,
    /// Used part of the limit, in percent, that the demand of 95 % of the windows with calls must reach over 7 days.
    /// Default 60.
    pub demand_percent: u64,
    /// Days of the last 7 with refusals that prove demand as well. Default 3.
    pub refused_days: u64,
    /// Part of today's calls that was refused, in percent, that proves demand as well. Default 5.
    pub refused_today_percent: u64,
    /// Largest part of the pool, in percent, that may be used with the raise. Default 80.
    pub pool_percent: u64,
    /// Days between two automatic grants of the same policy. Default 30.
    pub cooldown_days: u64,
    /// Longest short grant, in hours. A short grant needs one refusal as its evidence. Default 72.
    pub short_hours: u64,
    /// Days between a short grant and the automatic grant before it. Default 7.
    pub short_cooldown_days: u64,
    /// Longest automatic grant, in days; one without an end is granted for this time. Default 90.
    pub longest_days: u64,
}

impl Default for QuotaRules {
    fn default() -> Self {
        Self {
            automatic: true,
            min_age_days: 14,
            max_raise_percent: 200,
            ceiling_percent: 400,
            demand_percent: 60,
            refused_days: 3,
            refused_today_percent: 5,
            pool_percent: 80,
            cooldown_days: 30,
            short_hours: 72,
            short_cooldown_days: 7,
            longest_days: 90,
        }
    }
}

impl QuotaRules {
    /// Reads `QUOTA_RULES`: a JSON object with the rules that differ from their defaults, such as
    /// `{"max_raise_percent":150}`.
    pub fn read(reader: &mut Reader<'_>) -> Self {
        reader.parsed("QUOTA_RULES", Self::parse).unwrap_or_default()
    }

    fn parse(text: &str) -> Result<Self, String> {
        // Parse an object first: the fields of a struct would be read from an array as well.
        let fields: Result<serde_json::Map<String, serde_json::Value>, _> = serde_json::from_str(text);
        let rules = fields.and_then(|fields| serde_json::from_value(fields.into()));
        let rules: Self = rules.map_err(|error| format!("is no object of rules: {error}"))?;
        // Check the ranges in which the rules make sense.
        for (name, value, low, high) in [
            ("min_age_days", rules.min_age_days, 0, 3_650),
            ("max_raise_percent", rules.max_raise_percent, 100, 1_000),
            ("ceiling_percent", rules.ceiling_percent, 100, 10_000),
            ("demand_percent", rules.demand_percent, 1, 100),
            ("refused_days", rules.refused_days, 1, 7),
            ("refused_today_percent", rules.refused_today_percent, 1, 100),
            ("pool_percent", rules.pool_percent, 1, 100),
            ("cooldown_days", rules.cooldown_days, 0, 365),
            ("short_hours", rules.short_hours, 0, 720),
            ("short_cooldown_days", rules.short_cooldown_days, 0, 365),
            ("longest_days", rules.longest_days, 1, 366),
        ] {
            if !(low..=high).contains(&value) {
                return Err(format!("has a rule '{name}' that is not {low} to {high}"));
            }
        }
        Ok(rules)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rules_change_one_by_one_and_wrong_ones_are_refused() {
        let changed = QuotaRules { max_raise_percent: 150, ..QuotaRules::default() };
        assert_eq!(QuotaRules::parse(r#"{"max_raise_percent":150}"#), Ok(changed));
        for text in ["", "[]", r#"{"max_raise":150}"#, r#"{"max_raise_percent":99}"#, r#"{"longest_days":0}"#] {
            assert!(QuotaRules::parse(text).is_err(), "{text}");
        }
    }
}
