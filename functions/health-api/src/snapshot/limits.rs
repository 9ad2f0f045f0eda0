//! Limits: the defaults, the use of the platform's pools, and the accounts near a limit.

use std::collections::BTreeMap;

use levee::accounts::Account;
use levee::clock::Timestamp;
use levee::limits::{
    Algorithm, Charge, ChargedCall, Class, Decision, LimitsConfig, Mode, Overrides, Party, Policy, PolicyScope,
    Reading, decide,
};
use redis::aio::MultiplexedConnection;
use serde::Serialize;

use super::Parts;

/// Limits, and the accounts near a limit.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct LimitsReport {
    /// Limits without an override of an account, integration or key, by policy. A policy that is turned off is left
    /// out.
    pub defaults: BTreeMap<String, DefaultLimit>,
    /// The platform's pools by policy. A pool that is turned off is left out.
    pub pools: BTreeMap<String, Pool>,
    /// Accounts that have used 80 % or more of a limit, nearest first; `None` if that could not be read.
    pub near: Option<Vec<Near>>,
}

/// One default limit.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct DefaultLimit {
    /// Calls per window, or in flight.
    pub limit: u64,
    /// Length of the present window in seconds; `None` for calls in flight.
    pub window_seconds: Option<u64>,
    /// PolicyScope within which calls are counted together.
    pub scope: String,
    /// Algorithm that counts the calls.
    pub algorithm: Algorithm,
    /// Handling of a call beyond the limit.
    pub mode: Mode,
}

/// One of the platform's pools.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Pool {
    /// Calls per window, or in flight.
    pub limit: u64,
    /// Length of the present window in seconds; `None` for calls in flight.
    pub window_seconds: Option<u64>,
    /// Calls in this window, or in flight; `None` if they could not be read.
    pub used: Option<u64>,
    /// Used part of the limit, in percent.
    pub percent: Option<f64>,
}

/// An account that is near a limit.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Near {
    /// Id of the account.
    pub account: String,
    /// Name of the policy.
    pub policy: String,
    /// Calls per window, or in flight.
    pub limit: u64,
    /// Length of the present window in seconds; `None` for calls in flight.
    pub window_seconds: Option<u64>,
    /// Calls in this window, or in flight.
    pub used: u64,
    /// Used part of the limit, in percent.
    pub percent: f64,
}

/// Reads the counters of `accounts` in one round trip; `accounts` is `None` if they could not be read.
pub(super) async fn read(parts: &Parts<'_>, accounts: Option<&[Account]>) -> LimitsReport {
    let (state, now) = (parts.call.state, parts.call.now);
    // If the platform's overrides cannot be read, the configured limits are shown and the part is named as failed.
    let platform = parts.read("limits", state.accounts.platform()).await.unwrap_or_default().limits;
    let charges = charges(&state.limits, &platform, accounts.unwrap_or_default(), now);
    // Read the counters.
    let counts = if charges.is_empty() {
        Some(Vec::new())
    } else {
        let commands = &commands(&charges, now);
        let count = async |mut connection: MultiplexedConnection| {
            commands.query_async::<Vec<Option<i64>>>(&mut connection).await
        };
        parts.read("limits", state.redis.run(count)).await
    };
    // Without the list of accounts it is unknown if any is near a limit.
    if accounts.is_none() {
        parts.failed("limits", "the accounts are not known");
    }
    let report = report(charges, counts, now);
    let near = report.near.filter(|_| accounts.is_some());
    LimitsReport { defaults: defaults(&state.limits, &platform, now), near, ..report }
}

/// Returns the party that all calls of an account are charged to, whatever their integration and key.
fn party<'a>(account: &'a str, of_account: &'a Overrides, none: &'a Overrides) -> Party<'a> {
    Party { account, integration: "", key: "", of_account, of_integration: none, of_key: none }
}

/// Returns the charges to look at: those to the pools, and those to each account as a whole.
fn charges(limits: &LimitsConfig, platform: &Overrides, accounts: &[Account], now: Timestamp) -> Vec<Charge> {
    let none = Overrides::new();
    let of = |party| ChargedCall { class: Class::Ai, resource: "", address: None, party, platform };
    // Without a party, only the pools are charged.
    let mut charges = limits.charges(&of(None), now);
    for account in accounts {
        let asked = of(Some(party(&account.id, &account.limits, &none)));
        // Of an account's charges, keep those that count the account as a whole.
        let is_the_accounts =
            |scope| matches!(scope, PolicyScope::AccountClass | PolicyScope::Account | PolicyScope::Share);
        charges.extend(limits.charges(&asked, now).into_iter().filter(|charge| is_the_accounts(charge.policy.scope)));
    }
    charges
}

/// Builds the commands that read the counts of `charges`, in the order in which [`decide()`] takes them.
fn commands(charges: &[Charge], now: Timestamp) -> redis::Pipeline {
    let mut commands = redis::pipe();
    for charge in charges {
        match charge.policy.algorithm {
            Algorithm::Fixed => commands.cmd("GET").arg(charge.counter(now)),
            Algorithm::Sliding => {
                commands.cmd("GET").arg(charge.counter(now)).cmd("GET").arg(charge.previous_counter(now))
            }
            Algorithm::Concurrency => {
                // Count the leases that end after now.
                commands.cmd("ZCOUNT").arg(charge.leases()).arg(format!("({}", now.as_millis())).arg("+inf")
            }
        };
    }
    commands
}

/// Returns the limits that apply without an override of an account, integration or key.
fn defaults(limits: &LimitsConfig, platform: &Overrides, now: Timestamp) -> BTreeMap<String, DefaultLimit> {
    let none = Overrides::new();
    let party = Some(party("", &none, &none));
    // Charge a call of each class, by an account without overrides.
    let charges_of =
        |class| limits.charges(&ChargedCall { class, resource: "", address: Some(""), party, platform }, now);
    let shown = |Charge { policy, .. }: Charge| {
        let scope = match policy.scope {
            PolicyScope::Share => "account's share of the platform".to_owned(),
            scope => scope.to_string(),
        };
        let (limit, algorithm, mode) = (policy.limit, policy.algorithm, policy.mode);
        let default = DefaultLimit { limit, window_seconds: window_seconds(&policy, now), scope, algorithm, mode };
        (policy.name.clone(), default)
    };
    Class::ALL.into_iter().flat_map(charges_of).map(shown).collect()
}

fn report(charges: Vec<Charge>, counts: Option<Vec<Option<i64>>>, now: Timestamp) -> LimitsReport {
    // List the pools, whose use is not known yet.
    let (mut pools, mut near) = (BTreeMap::new(), Vec::new());
    for Charge { policy, .. } in charges.iter().filter(|charge| charge.policy.scope == PolicyScope::Global) {
        let (limit, window_seconds) = (policy.limit, window_seconds(policy, now));
        pools.insert(policy.name.clone(), Pool { limit, window_seconds, used: None, percent: None });
    }
    let subjects: Vec<String> = charges.iter().map(|charge| charge.subject.0.clone()).collect();
    let counts = counts.map(|counts| counts.into_iter().map(Option::unwrap_or_default).collect::<Vec<_>>());
    // Turn the counts into readings. Without counts only the limits are known.
    let Some(Decision::Allowed(readings)) = counts.map(|counts| decide(&charges, true, &counts, now)) else {
        return LimitsReport { defaults: BTreeMap::new(), pools, near: None };
    };
    // Fill in the use of the pools, and collect the accounts near a limit.
    for (subject, reading) in subjects.into_iter().zip(readings) {
        let percent = reading.used_permille() as f64 / 10.0;
        let is_near = reading.is_near();
        let Reading { policy, used, .. } = reading;
        if let Some(pool) = pools.get_mut(&policy.name) {
            (pool.used, pool.percent) = (Some(used), Some(percent));
        } else if is_near {
            // The subject of a count per class is the account, a slash and the class.
            let account = subject.split('/').next().unwrap_or_default().to_owned();
            let (limit, window_seconds) = (policy.limit, window_seconds(&policy, now));
            near.push(Near { account, policy: policy.name.clone(), limit, window_seconds, used, percent });
        }
    }
    near.sort_by(|one, other| other.percent.total_cmp(&one.percent));
    LimitsReport { defaults: BTreeMap::new(), pools, near: Some(near) }
}

fn window_seconds(policy: &Policy, now: Timestamp) -> Option<u64> {
    (policy.algorithm != Algorithm::Concurrency).then(|| policy.window.secs(now))
}

#[cfg(test)]
mod tests {
    use levee::config::from_lookup;
    use levee::limits::Override;

    use super::*;

    const NOW: Timestamp = Timestamp::from_secs(1_700_000_010);

    /// Policies of accounts (a sliding one, one for the day, calls in flight) and one pool.
    fn limits() -> LimitsConfig {
        let entries = r#"[{"name":"account","algorithm":"sliding"}]"#;
        let lookup = |name: &str| (name == "LIMIT_POLICIES").then(|| entries.to_owned());
        from_lookup(lookup, LimitsConfig::read).unwrap().with(&[
            ("account", 100),
            ("account-day", 1_000),
            ("in-flight", 10),
            ("global", 200),
            ("global-in-flight", 0),
        ])
    }

    /// Acme without overrides, and Globex with ten times as many calls a day.
    fn accounts() -> Vec<Account> {
        let account = |id: &str| Account::new(id, "A", NOW);
        let more = Override { limit: Some(10_000), ..Override::default() };
        vec![account("acme"), Account { limits: [("account-day".to_owned(), more)].into(), ..account("globex") }]
    }

    fn report_of(counts: Option<Vec<Option<i64>>>) -> LimitsReport {
        report(charges(&limits(), &Overrides::new(), &accounts(), NOW), counts, NOW)
    }

    #[test]
    fn all_is_asked_for_in_one_go_and_in_the_order_of_the_charges() {
        let charges = charges(&limits(), &Overrides::new(), &accounts()[..1], NOW);
        let names: Vec<_> = charges.iter().map(|charge| charge.policy.name.as_str()).collect();
        assert_eq!(names, ["global", "account", "account-day", "global-share", "in-flight"]);
        let asked = String::from_utf8(commands(&charges, NOW).get_packed_pipeline()).unwrap();
        let asked: Vec<&str> = asked.split("\r\n").filter(|text| !text.starts_with(['*', '$'])).collect();
        assert_eq!(asked.iter().filter(|text| **text == "GET").count(), 5);
        let in_flight = ["ZCOUNT", "{levee}:lease:in-flight:acme", "(1700000010000", "+inf", ""];
        assert_eq!(asked[asked.len() - 5..], in_flight);
    }

    #[test]
    fn accounts_from_80_percent_of_their_own_limit_on_are_near_the_nearest_first() {
        // Half of the window has passed, so half of the 20 calls of the previous window count.
        let acme = [Some(70), Some(20), Some(790), None, Some(0)];
        let globex = [None, None, Some(9_900), Some(39), Some(8)];
        let report = report_of(Some([&[Some(50)][..], &acme, &globex].concat()));
        assert_eq!((report.pools["global"].used, report.pools["global"].percent), (Some(50), Some(25.0)));
        let near = report.near.unwrap();
        let near: Vec<_> = near.iter().map(|it| (it.account.as_str(), it.policy.as_str(), it.percent)).collect();
        let expected = [
            ("globex", "account-day", 99.0),
            ("globex", "global-share", 97.5),
            ("acme", "account", 80.0),
            ("globex", "in-flight", 80.0),
        ];
        assert_eq!(near, expected);
    }

    #[test]
    fn without_redis_the_limits_are_known_and_their_use_is_not() {
        for counts in [None, Some(vec![Some(1)])] {
            let report = report_of(counts);
            assert_eq!((report.near, report.pools["global"].used), (None, None));
            assert_eq!((report.pools["global"].limit, report.pools["global"].window_seconds), (200, Some(60)));
        }
    }

    #[test]
    fn the_defaults_are_those_that_an_admin_changed_and_a_policy_that_is_off_is_not_there() {
        let off = limits().with(&[("account-day", 0), ("global", 0), ("login-address", 0)]);
        let warn = Override { limit: Some(70), mode: Some(Mode::Warn), ..Override::default() };
        let defaults = defaults(&off, &[("account".to_owned(), warn)].into(), NOW);
        let names: Vec<_> = defaults.keys().map(String::as_str).collect();
        assert_eq!(names, ["account", "account-self", "ai-address", "failed-auth-address", "in-flight", "integration"]);
        let account = &defaults["account"];
        assert_eq!((account.limit, account.algorithm, account.mode), (70, Algorithm::Sliding, Mode::Warn));
        assert_eq!((defaults["in-flight"].window_seconds, account.window_seconds), (None, Some(60)));
        let report = report(charges(&off, &Overrides::new(), &[], NOW), Some(Vec::new()), NOW);
        assert_eq!((report.pools.len(), report.near), (0, Some(Vec::new())));
    }
}
