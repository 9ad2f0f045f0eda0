//! Judgement of a request by its evidence. Pure: time is an argument. Start reading at [`judge`].

use serde::{Deserialize, Serialize};

use super::evidence::Evidence;
use super::rules::QuotaRules;
use crate::clock::Timestamp;
use crate::limits::{AppliedLimit, LimitSource};
use crate::text::grouped;

const HOUR_SECS: u64 = 3600;
const DAY_SECS: u64 = 24 * HOUR_SECS;

/// Rule that decided about a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Rule {
    /// Granted: the demand has reached the limit.
    Demand,
    /// Granted for a short time: calls were refused.
    Short,
    /// An admin decides: requests are never granted automatically here.
    Manual,
    /// An admin decides: an admin has set this limit.
    AdminLimit,
    /// An admin decides: the account is young, or its age is not known.
    Age,
    /// An admin decides: the raise is too large.
    Raise,
    /// An admin decides: the limit would be above the ceiling.
    Ceiling,
    /// An admin decides: the pool has no room for the raise, or its use is not known.
    Pool,
    /// An admin decides: the policy was raised a short time ago.
    Cooldown,
    /// An admin decides: the demand has not reached the limit.
    NoDemand,
}

impl Rule {
    /// Every rule.
    pub const ALL: [Self; 10] = [
        Self::Demand,
        Self::Short,
        Self::Manual,
        Self::AdminLimit,
        Self::Age,
        Self::Raise,
        Self::Ceiling,
        Self::Pool,
        Self::Cooldown,
        Self::NoDemand,
    ];

    /// Returns the rule's name, as stored and shown.
    pub fn name(self) -> &'static str {
        match self {
            Self::Demand => "demand",
            Self::Short => "short",
            Self::Manual => "manual",
            Self::AdminLimit => "admin-limit",
            Self::Age => "age",
            Self::Raise => "raise",
            Self::Ceiling => "ceiling",
            Self::Pool => "pool",
            Self::Cooldown => "cooldown",
            Self::NoDemand => "no-demand",
        }
    }
}

/// Judgement of a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Judgement {
    /// End of the grant, Unix seconds; `None` if the request waits for an admin.
    pub granted_until: Option<u64>,
    /// Rule that decided.
    pub rule: Rule,
    /// Public sentences: the reason, and what would change the judgement.
    pub explanation: String,
}

/// Judges a request for `limit` until `until` (Unix seconds). The first rule that does not hold decides.
pub fn judge(limit: u64, until: Option<u64>, evidence: &Evidence, rules: &QuotaRules, now: Timestamp) -> Judgement {
    let wait = |rule: Rule, sentence: String| Judgement {
        granted_until: None,
        rule,
        explanation: format!("An admin decides about this request: {sentence}"),
    };
    let present = evidence.present;

    // Rules about the account and the policy.
    if !rules.automatic {
        return wait(Rule::Manual, "requests are not granted automatically.".to_owned());
    }
    if evidence.source == LimitSource::Override {
        return wait(Rule::AdminLimit, "an admin has set this limit for you.".to_owned());
    }
    let age_days = evidence.account_created_at.map(|at| now.as_secs().saturating_sub(at) / DAY_SECS);
    if age_days.is_none_or(|days| days < rules.min_age_days) {
        let least = rules.min_age_days;
        return wait(Rule::Age, format!("your account is younger than {least} days. QuotaAsk again once it is older."));
    }

    // Rules about the size of the raise.
    let largest = present.saturating_mul(rules.max_raise_percent) / 100;
    if limit > largest {
        let most = grouped(largest);
        return wait(
            Rule::Raise,
            format!("the raise is larger than those granted automatically. Up to {most} may be."),
        );
    }
    let ceiling = ceiling(present, evidence.standard, rules);
    if limit > ceiling {
        let most = grouped(ceiling);
        return wait(Rule::Ceiling, format!("limits above {most} are not granted automatically."));
    }
    if let Some(pool) = evidence.pool {
        let with_raise = pool.used.map(|used| used.saturating_add(limit.saturating_sub(present)));
        let room = u128::from(pool.limit) * u128::from(rules.pool_percent) / 100;
        if limit > pool.share || with_raise.is_none_or(|used| u128::from(used) > room) {
            return wait(
                Rule::Pool,
                "the platform may not have the capacity at the moment. QuotaAsk again later.".to_owned(),
            );
        }
    }

    // Rules about the time: a short grant needs less.
    let longest = now.as_secs().saturating_add(rules.longest_days * DAY_SECS);
    let end = until.unwrap_or(longest).min(longest);
    let is_short = end <= now.as_secs().saturating_add(rules.short_hours * HOUR_SECS);
    let cooldown = if is_short { rules.short_cooldown_days } else { rules.cooldown_days };
    let again_at = evidence.last_granted_at.map(|at| at.saturating_add(cooldown * DAY_SECS));
    if let Some(again_at) = again_at.filter(|again_at| now.as_secs() < *again_at) {
        let day = Timestamp::from_secs(again_at).to_rfc3339();
        return wait(
            Rule::Cooldown,
            format!("this limit was raised less than {cooldown} days ago. From {day} on it may be raised again."),
        );
    }

    // Rules about the demand.
    let refused_today = is_part(evidence.refused_today, evidence.used_today, rules.refused_today_percent);
    let is_reached = evidence
        .demand_p95
        .is_some_and(|demand| u128::from(demand) * 100 >= u128::from(present) * u128::from(rules.demand_percent));
    if is_reached || evidence.days_refused >= rules.refused_days || refused_today {
        return Judgement {
            granted_until: Some(end),
            rule: Rule::Demand,
            explanation: "Granted: your calls have reached this limit.".to_owned(),
        };
    }
    if is_short && evidence.days_refused > 0 {
        return Judgement {
            granted_until: Some(end),
            rule: Rule::Short,
            explanation: "Granted for a short time: calls were refused within the last 7 days.".to_owned(),
        };
    }
    let (demand, days, today) = (rules.demand_percent, rules.refused_days, rules.refused_today_percent);
    wait(
        Rule::NoDemand,
        format!(
            "your calls have not reached this limit. It is raised automatically once 95 % of the busy windows of 7 days \
             use {demand} % of it, once it has refused calls on {days} of 7 days, or once it refuses {today} % of a day's \
             calls; for at most {} hours, one refusal is enough.",
            rules.short_hours
        ),
    )
}

/// Returns the largest limit that is granted automatically, whatever the demand; `standard` is the limit of all accounts.
fn ceiling(present: u64, standard: u64, rules: &QuotaRules) -> u64 {
    // A policy that only an override has turned on has no limit for all accounts to compare with.
    let standard = if standard == 0 { present } else { standard };
    standard.saturating_mul(rules.ceiling_percent) / 100
}

/// Returns the largest limit that may be granted automatically if the demand proves it; `share` is the most that one
/// account may take of the pool. `None` if an admin decides in any case.
pub fn largest_automatic(limit: &AppliedLimit, share: Option<u64>, rules: &QuotaRules) -> Option<u64> {
    if !rules.automatic || !limit.policy().is_raisable() || limit.source == LimitSource::Override {
        return None;
    }
    let present = limit.policy().limit;
    let raise = present.saturating_mul(rules.max_raise_percent) / 100;
    let most = raise.min(ceiling(present, limit.standard, rules)).min(share.unwrap_or(u64::MAX));
    Some(most).filter(|most| *most > present)
}

/// Returns true if `refused` is at least `percent` of all calls.
fn is_part(refused: u64, used: u64, percent: u64) -> bool {
    let all = u128::from(refused) + u128::from(used);
    refused > 0 && u128::from(refused) * 100 >= all * u128::from(percent)
}

#[cfg(test)]
mod tests;
