//! The limits: what holds by default, how much of the platform's pool is used, and who is near a limit.

use std::collections::BTreeMap;

use levee::clock::Timestamp;
use levee::limits::{Charge, LimitsConfig, Reading, Scope, Subject};
use redis::aio::MultiplexedConnection;
use serde::Serialize;

use super::Parts;

/// Limits and who is near them.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct LimitsReport {
    /// The default limits by policy; a policy that is turned off is not there.
    pub defaults: BTreeMap<&'static str, DefaultLimit>,
    /// The platform's pool in this minute; `None` where it is turned off.
    pub global: Option<Pool>,
    /// The accounts that have used 80 % or more of a limit, the nearest first; `None` where that could not be read.
    pub near: Option<Vec<Near>>,
}

/// One default limit.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct DefaultLimit {
    /// Calls per window.
    pub limit: u64,
    /// Length of the window.
    pub window_seconds: u64,
    /// Whose calls are counted together.
    pub scope: String,
}

/// The platform's pool.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Pool {
    /// Calls per window.
    pub limit: u64,
    /// Length of the window.
    pub window_seconds: u64,
    /// Calls in this window; `None` where they could not be read.
    pub used: Option<u64>,
    /// How much of the limit that is.
    pub percent: Option<f64>,
}

/// An account that is near a limit.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Near {
    /// The account's id.
    pub account: String,
    /// The policy.
    pub policy: &'static str,
    /// Calls per window.
    pub limit: u64,
    /// Length of the window.
    pub window_seconds: u64,
    /// Calls in this window.
    pub used: u64,
    /// How much of the limit that is.
    pub percent: f64,
}

/// Reads the counters of `accounts` in one round trip; `None` where nobody knows which accounts there are.
pub(super) async fn read(parts: &Parts<'_>, accounts: Option<&[&str]>) -> LimitsReport {
    let (state, now) = (parts.call.state, parts.call.now);
    let charges = charges(&state.limits, accounts.unwrap_or_default());
    let counts = if charges.is_empty() {
        Some(Vec::new())
    } else {
        let keys: Vec<String> = charges.iter().map(|charge| charge.key(now)).collect();
        let keys = &keys;
        let count = async |mut connection: MultiplexedConnection| {
            redis::cmd("MGET").arg(keys).query_async::<Vec<Option<u64>>>(&mut connection).await
        };
        parts.read("limits", state.redis.run(count)).await
    };
    if accounts.is_none() {
        parts.failed("limits", "the accounts are not known");
    }
    report(&state.limits, charges, counts, accounts.is_some(), now)
}

/// What is looked at: the pool, and every account's own policies.
fn charges(limits: &LimitsConfig, accounts: &[&str]) -> Vec<Charge> {
    let of = |account: &str, scope: Scope| {
        limits.ai_call(None, account, "").into_iter().filter(move |charge| charge.policy.scope == scope)
    };
    of("", Scope::Global).chain(accounts.iter().flat_map(|account| of(account, Scope::Account))).collect()
}

fn report(
    limits: &LimitsConfig,
    charges: Vec<Charge>,
    counts: Option<Vec<Option<u64>>>,
    are_accounts_known: bool,
    now: Timestamp,
) -> LimitsReport {
    let anyone = || Some(Subject(String::new()));
    let policies = limits.ai_call(anyone(), "", "").into_iter().chain(limits.login(anyone()));
    let defaults = policies.map(|Charge { policy, .. }| {
        let (limit, window_seconds) = (policy.limit, policy.window_secs);
        (policy.name, DefaultLimit { limit, window_seconds, scope: policy.scope.to_string() })
    });

    let is_known = counts.is_some();
    let counts = counts.unwrap_or_default().into_iter().map(Option::unwrap_or_default).chain(std::iter::repeat(0));
    let (mut global, mut near) = (None, Vec::new());
    for (Charge { policy, subject: Subject(account) }, used) in charges.into_iter().zip(counts) {
        let (name, limit, window_seconds) = (policy.name, policy.limit, policy.window_secs);
        let is_pool = policy.scope == Scope::Global;
        let reading = Reading { resets_at: policy.resets_at(now), policy, used };
        let percent = reading.used_permille() as f64 / 10.0;
        if is_pool {
            let (used, percent) = if is_known { (Some(used), Some(percent)) } else { (None, None) };
            global = Some(Pool { limit, window_seconds, used, percent });
        } else if reading.is_near() {
            near.push(Near { account, policy: name, limit, window_seconds, used, percent });
        }
    }
    near.sort_by(|one, other| other.percent.total_cmp(&one.percent));
    LimitsReport { defaults: defaults.collect(), global, near: (is_known && are_accounts_known).then_some(near) }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp::from_secs(1_700_000_030);

    fn limits() -> LimitsConfig {
        LimitsConfig {
            account_per_minute: 100,
            account_per_day: 1_000,
            global_per_minute: 200,
            ..LimitsConfig::default()
        }
    }

    fn report_of(counts: Option<Vec<Option<u64>>>) -> LimitsReport {
        report(&limits(), charges(&limits(), &["acme", "globex"]), counts, true, NOW)
    }

    #[test]
    fn accounts_from_80_percent_on_are_near_the_nearest_first() {
        let report = report_of(Some(vec![Some(50), Some(80), Some(790), Some(79), Some(990)]));
        assert_eq!(report.global.as_ref().map(|pool| (pool.used, pool.percent)), Some((Some(50), Some(25.0))));
        let near = report.near.unwrap();
        let near: Vec<_> = near.iter().map(|near| (near.account.as_str(), near.policy, near.percent)).collect();
        assert_eq!(near, [("globex", "account-day", 99.0), ("acme", "account", 80.0)]);
    }

    #[test]
    fn without_redis_the_limits_are_known_and_their_use_is_not() {
        let report = report_of(None);
        assert_eq!((report.near, report.global.unwrap().used), (None, None));
        assert_eq!(report.defaults["account"].limit, 100);
        assert_eq!(report.defaults["login-address"].window_seconds, 60);
    }

    #[test]
    fn a_policy_that_is_turned_off_is_not_there() {
        let off = LimitsConfig { account_per_day: 0, global_per_minute: 0, login_per_address: 0, ..limits() };
        let report = report(&off, charges(&off, &["acme"]), Some(vec![None]), true, NOW);
        assert_eq!(report.global, None);
        assert_eq!(report.defaults.into_keys().collect::<Vec<_>>(), ["account", "ai-address", "integration"]);
    }
}
