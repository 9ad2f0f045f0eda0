//! What `check.lua` counts per minute for the statistics: calls that passed and calls that were refused, by a **group**: a
//! caller with all the policies that apply to it, so that one counter stands for all of them.
//!
//! A group is text: the account, integration, key and class of routes with slashes between, then each policy as
//! `name:scope:limit:window:algorithm:weight` in the order of the charges; `acme/crm/4f8K/ai account:a:600:60:f:1`.

use super::charges::Party;
use super::policy::{Algorithm, Charge, Class, Scope};
use super::window::Window;
use crate::clock::Timestamp;

/// The sorted set of the minutes that have tallies.
pub const MINUTES: &str = "{levee}:tally:minutes";

/// The Redis key of a minute's tallies; `minute` is in minutes since the Unix epoch.
pub fn tally_key(minute: u64) -> String {
    format!("{{levee}}:tally:{minute}")
}

/// The minute that holds `now`, in minutes since the Unix epoch.
pub fn minute_of(now: Timestamp) -> u64 {
    now.as_secs() / 60
}

/// The group of a call; empty where nobody is known to count for.
pub fn group(party: Option<Party<'_>>, class: Class, charges: &[Charge]) -> String {
    let Some(Party { account, integration, key, .. }) = party else { return String::new() };
    let mut group = format!("{account}/{integration}/{key}/{}", class.name());
    for Charge { policy, weight, .. } in charges {
        let (scope, algorithm, window) = (scope_code(policy.scope), algorithm_code(policy.algorithm), policy.window);
        group += &format!(" {}:{scope}:{}:{}:{algorithm}:{weight}", policy.name, policy.limit, window.name());
    }
    group
}

/// One policy of a group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TalliedPolicy {
    /// Its name.
    pub name: String,
    /// Whose calls it counts together.
    pub scope: Scope,
    /// Its limit.
    pub limit: u64,
    /// Its window.
    pub window: Window,
    /// How it counts.
    pub algorithm: Algorithm,
    /// How much each of the calls counts.
    pub weight: u64,
}

/// One field of a minute's tallies.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tally {
    /// The account's id.
    pub account: String,
    /// The integration's id.
    pub integration: String,
    /// The key's id.
    pub key: String,
    /// The class of routes.
    pub class: String,
    /// The policies, in the order of the charges.
    pub policies: Vec<TalliedPolicy>,
    /// The place in `policies` of the one that refused, or would have; `None` for calls that passed.
    pub refused_by: Option<usize>,
    /// How many calls.
    pub calls: u64,
}

impl Tally {
    /// Reads a field of a minute's tallies; `None` for what another version wrote.
    pub fn parse(field: &str, calls: u64) -> Option<Self> {
        let mut words = field.split(' ');
        let charge: usize = words.next()?.parse().ok()?;
        let mut caller = words.next()?.split('/').map(str::to_owned);
        let (account, integration, key, class) = (caller.next()?, caller.next()?, caller.next()?, caller.next()?);
        let policies = words.map(parse_policy).collect::<Option<Vec<_>>>()?;
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

const SCOPES: [(Scope, &str); 7] = [
    (Scope::ClientAddress, "c"),
    (Scope::Key, "k"),
    (Scope::Integration, "i"),
    (Scope::AccountClass, "r"),
    (Scope::Account, "a"),
    (Scope::Share, "s"),
    (Scope::Global, "g"),
];

const ALGORITHMS: [(Algorithm, &str); 3] =
    [(Algorithm::Fixed, "f"), (Algorithm::Sliding, "s"), (Algorithm::Concurrency, "c")];

fn scope_code(scope: Scope) -> &'static str {
    SCOPES.iter().find(|(it, _)| *it == scope).map_or("", |(_, code)| code)
}

fn algorithm_code(algorithm: Algorithm) -> &'static str {
    ALGORITHMS.iter().find(|(it, _)| *it == algorithm).map_or("", |(_, code)| code)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits::{Asked, LimitsConfig, Overrides};

    #[test]
    fn a_tally_is_read_as_it_is_written() {
        let none = Overrides::new();
        let (of_account, of_integration, of_key) = (&none, &none, &none);
        let party = Some(Party { account: "acme", integration: "crm", key: "k1", of_account, of_integration, of_key });
        let asked = Asked { class: Class::Ai, resource: "/", address: Some("a1"), party, platform: &none };
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
