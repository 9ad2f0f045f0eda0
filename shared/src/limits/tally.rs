//! Tallies that `check.lua` keeps per minute for the statistics: calls that passed and calls that were refused, by
//! **group**.
//!
//! A group is a caller with all the policies that apply to it, so that one counter stands for all of them. As text,
//! it is the account, integration, key and class of routes with slashes between, then each policy as
//! `name:scope:limit:window:algorithm:weight` in the order of the charges: `acme/crm/4f8K/ai account:a:600:60:f:1`.

use super::charges::Party;
use super::policy::{Algorithm, Charge, Class, PolicyScope};
use super::window::Window;
use crate::clock::Timestamp;

/// Redis key of the sorted set of minutes that have tallies.
pub const MINUTES: &str = "{levee}:tally:minutes";

/// Returns the Redis key of a minute's tallies; `minute` is in minutes since the Unix epoch.
pub fn tally_key(minute: u64) -> String {
    format!("{{levee}}:tally:{minute}")
}

/// Returns the minute that holds `now`, in minutes since the Unix epoch.
pub fn minute_of(now: Timestamp) -> u64 {
    now.as_secs() / 60
}

/// Returns the group of a call as text; empty if the caller is not known.
pub fn group(party: Option<Party<'_>>, class: Class, charges: &[Charge]) -> String {
    let Some(Party { account, integration, key, .. }) = party else { return String::new() };
    let mut group = format!("{account}/{integration}/{key}/{}", class.name());
    for Charge { policy, weight, .. } in charges {
        let (scope, algorithm, window) = (scope_code(policy.scope), algorithm_code(policy.algorithm), policy.window);
        group += &format!(" {}:{scope}:{}:{}:{algorithm}:{weight}", policy.name, policy.limit, window.name());
    }
    group
}

/// Policy within a group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TalliedPolicy {
    /// Name.
    pub name: String,
    /// PolicyScope: the calls that are counted together.
    pub scope: PolicyScope,
    /// Limit.
    pub limit: u64,
    /// Window.
    pub window: Window,
    /// Algorithm.
    pub algorithm: Algorithm,
    /// Weight of each call.
    pub weight: u64,
}

/// Field of a minute's tallies.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tally {
    /// Account's id.
    pub account: String,
    /// Integration's id.
    pub integration: String,
    /// Key's id.
    pub key: String,
    /// Class of routes.
    pub class: String,
    /// Policies, in the order of the charges.
    pub policies: Vec<TalliedPolicy>,
    /// Index in `policies` of the one that refused, or would have but for its mode; `None` for calls that passed.
    pub refused_by: Option<usize>,
    /// Number of calls.
    pub calls: u64,
}

impl Tally {
    /// Parses a field of a minute's tallies; `None` if it has another form, as from another version.
    pub fn parse(field: &str, calls: u64) -> Option<Self> {
        let mut words = field.split(' ');
        // A field is the charge's number, the caller, then the policies.
        let charge: usize = words.next()?.parse().ok()?;
        let mut caller = words.next()?.split('/').map(str::to_owned);
        let (account, integration, key, class) = (caller.next()?, caller.next()?, caller.next()?, caller.next()?);
        let policies = words.map(parse_policy).collect::<Option<Vec<_>>>()?;
        // Charge 0 stands for calls that passed, charge n for refusals by the nth policy.
        let refused_by = charge.checked_sub(1);
        let is_there = refused_by.is_none_or(|at| at < policies.len());
        is_there.then_some(Self { account, integration, key, class, policies, refused_by, calls })
    }
}

fn parse_policy(text: &str) -> Option<TalliedPolicy> {
    let parts: Vec<&str> = text.split(':').collect();
    let [name, scope, limit, window, algorithm, weight] = parts[..] else { return None };
    Some(TalliedPolicy {
        name: name.to_owned(),
        scope: SCOPES.iter().find(|(_, code)| *code == scope)?.0,
        limit: limit.parse().ok()?,
        window: Window::parse(window)?,
        algorithm: ALGORITHMS.iter().find(|(_, code)| *code == algorithm)?.0,
        weight: weight.parse().ok()?,
    })
}

const SCOPES: [(PolicyScope, &str); 7] = [
    (PolicyScope::ClientAddress, "c"),
    (PolicyScope::Key, "k"),
    (PolicyScope::Integration, "i"),
    (PolicyScope::AccountClass, "r"),
    (PolicyScope::Account, "a"),
    (PolicyScope::Share, "s"),
    (PolicyScope::Global, "g"),
];

const ALGORITHMS: [(Algorithm, &str); 3] =
    [(Algorithm::Fixed, "f"), (Algorithm::Sliding, "s"), (Algorithm::Concurrency, "c")];

fn scope_code(scope: PolicyScope) -> &'static str {
    SCOPES.iter().find(|(it, _)| *it == scope).map_or("", |(_, code)| code)
}

fn algorithm_code(algorithm: Algorithm) -> &'static str {
    ALGORITHMS.iter().find(|(it, _)| *it == algorithm).map_or("", |(_, code)| code)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits::{ChargedCall, LimitsConfig, Overrides};

    #[test]
    fn a_tally_is_read_as_it_is_written() {
        let none = Overrides::new();
        let (of_account, of_integration, of_key) = (&none, &none, &none);
        let party = Some(Party { account: "acme", integration: "crm", key: "k1", of_account, of_integration, of_key });
        let asked = ChargedCall { class: Class::Ai, resource: "/", address: Some("a1"), party, platform: &none };
        let charges = LimitsConfig::default().charges(&asked, Timestamp::from_secs(1_700_000_000));
        let group = group(party, Class::Ai, &charges);
        let passed = Tally::parse(&format!("0 {group}"), 7).unwrap();
        assert_eq!((passed.account.as_str(), passed.integration.as_str(), passed.key.as_str()), ("acme", "crm", "k1"));
        assert_eq!(passed.class, "ai");
        assert_eq!((passed.refused_by, passed.calls, passed.policies.len()), (None, 7, charges.len()));
        for (tallied, Charge { policy, weight, .. }) in passed.policies.iter().zip(&charges) {
            let told = (&tallied.name, tallied.scope, tallied.limit, tallied.window, tallied.algorithm, tallied.weight);
            assert_eq!(told, (&policy.name, policy.scope, policy.limit, policy.window, policy.algorithm, *weight));
        }
        assert_eq!(Tally::parse(&format!("2 {group}"), 1).unwrap().refused_by, Some(1));
    }

    #[test]
    fn what_is_no_tally_is_not_read() {
        for field in ["", "0", "x acme/crm/k", "0 acme", "0 a/b/c/ai p:a:600", "1 a/b/c/ai", "0 a/b/c/ai p:z:1:60:f:1"]
        {
            assert_eq!(Tally::parse(field, 1), None, "{field}");
        }
    }
}
