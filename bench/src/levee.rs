//! Levee's limiter, called as the functions call it.

use std::collections::BTreeMap;
use std::sync::Arc;

use anyhow::{Context as _, bail};
use levee::clock::Clock;
use levee::limits::versions::{RecordId, Version};
use levee::limits::{
    Algorithm, Ask, Charge, ChargedCall, Class, Decision, DegradedMode, LARGEST_LIMIT, Limiter, LimitsConfig, Mode,
    Overrides, Party, Policy, PolicyScope, Subject, Window, leases, tally,
};
use levee::stores::redis::Redis;

use crate::client::{Place, SUBJECTS};

/// Number of calls in flight per account: so low that the default pool has room for all accounts.
const IN_FLIGHT: usize = 6;
/// Number of callers that exceeds the refusals which a limiter remembers, so that each refusal is decided by Redis.
const FORGOTTEN: usize = 2_048;

/// Policies that are charged; a target with fewer takes the first of them.
const SCOPES: [(&str, PolicyScope); 6] = [
    ("account", PolicyScope::Account),
    ("integration", PolicyScope::Integration),
    ("key", PolicyScope::Key),
    ("ai-address", PolicyScope::ClientAddress),
    ("global-share", PolicyScope::Share),
    ("global", PolicyScope::Global),
];

/// Kind of decision that a target measures.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Question {
    /// `levee-<n>`: `n` policies with fixed windows, nothing else.
    Policies(usize),
    /// `levee-<n>/refused`: the account's limit is used up; recent refusals are repeated from memory.
    Refused(usize),
    /// `levee-<n>/refused-asked`: the same, with so many callers that Redis decides each time.
    RefusedAsked(usize),
    /// `levee-ai`: an AI call with the default configuration: eight charges, two of them for calls in flight, with
    /// markers and tallies. `levee-ai/refused-asked` is the same, refused.
    Ai,
    AiRefused,
    /// `levee-ai/returned`: [`Question::Ai`], then the calls in flight are given back in a second round trip.
    AiReturned,
}

impl Question {
    fn of(target: &str) -> Option<Self> {
        match target {
            "levee-ai" => return Some(Self::Ai),
            "levee-ai/refused-asked" => return Some(Self::AiRefused),
            "levee-ai/returned" => return Some(Self::AiReturned),
            _ => {}
        }
        let rest = target.strip_prefix("levee-")?;
        let (number, state) = rest.split_once('/').map_or((rest, None), |(number, state)| (number, Some(state)));
        let policies = number.parse().ok().filter(|policies| (1..=SCOPES.len()).contains(policies))?;
        match state {
            None => Some(Self::Policies(policies)),
            Some("refused") => Some(Self::Refused(policies)),
            Some("refused-asked") => Some(Self::RefusedAsked(policies)),
            Some(_) => None,
        }
    }

    fn is_refused(self) -> bool {
        matches!(self, Self::Refused(_) | Self::RefusedAsked(_) | Self::AiRefused)
    }

    fn subjects(self) -> usize {
        if matches!(self, Self::RefusedAsked(_) | Self::AiRefused) { FORGOTTEN } else { SUBJECTS }
    }
}

/// A limiter with a connection of its own, as in an environment.
pub(crate) struct Decider {
    limiter: Limiter,
    /// Connection that gives calls in flight back, as the proxy does after the authorizer.
    proxy: Redis,
    question: Question,
    config: LimitsConfig,
    policies: Vec<Arc<Policy>>,
}

impl Decider {
    /// Opens a decider for a target, by its name in the table.
    pub(crate) fn open(place: &Place, target: &str) -> anyhow::Result<Self> {
        let question = Question::of(target).with_context(|| format!("there is no target {target}"))?;
        // Raise the default limits so that none is reached.
        let mut config = LimitsConfig::default();
        for policy in config.policies.iter_mut().filter(|policy| policy.limit > 0) {
            Arc::make_mut(policy).limit = LARGEST_LIMIT;
        }
        let number = match question {
            Question::Policies(number) | Question::Refused(number) | Question::RefusedAsked(number) => number,
            _ => 0,
        };
        Ok(Self {
            limiter: Limiter::new(place.redis()?, Clock::system(), DegradedMode::Allow),
            proxy: place.redis()?,
            question,
            config,
            policies: SCOPES[..number].iter().map(|(name, scope)| Arc::new(policy(name, *scope))).collect(),
        })
    }

    /// Makes one decision, which has to be the expected one.
    pub(crate) async fn ask(&mut self, turn: usize) -> anyhow::Result<()> {
        self.ask_about(turn % self.question.subjects(), turn).await
    }

    /// Makes a decision about a subject of any number.
    pub(crate) async fn ask_about(&mut self, subject: usize, turn: usize) -> anyhow::Result<()> {
        let now = self.limiter.now();
        let mut ask = match self.question {
            Question::Ai | Question::AiRefused | Question::AiReturned => self.ai_call(subject, turn, now),
            _ => Ask { charges: self.policies.iter().map(|it| charge(it, subject)).collect(), ..Ask::default() },
        };
        if self.question.is_refused() {
            // Charge more than the limit allows.
            for charge in ask.charges.iter_mut().filter(|charge| charge.policy.scope == PolicyScope::Account) {
                charge.weight = LARGEST_LIMIT + 1;
            }
        }
        let held: Vec<String> = match self.question {
            Question::AiReturned => ask.charges.iter().filter(|it| is_lease(it)).map(Charge::leases).collect(),
            _ => Vec::new(),
        };
        // Decide, and give the calls in flight back if the target says so.
        let id = ask.id.clone();
        match self.limiter.check(ask, now).await {
            Decision::Allowed(_) if !self.question.is_refused() => {}
            Decision::Refused(_) if self.question.is_refused() => {}
            other => bail!("not the expected decision: {other:?}"),
        }
        if !held.is_empty() {
            leases::release(&self.proxy, &[leases::Release { id, leases: held, until: now }]).await?;
        }
        Ok(())
    }

    /// Builds the authorizer's request for an AI call with the default configuration, but with unreachable limits.
    /// Ids of calls repeat, so that the number of calls in flight stays the same as if each were given back.
    fn ai_call(&self, subject: usize, turn: usize, now: levee::clock::Timestamp) -> Ask {
        // Charges of the default policies.
        let (account, integration, key) = (id("acc", subject), id("int", subject), id("key", subject));
        let (address, none) = (id("adr", subject), Overrides::new());
        let (of_account, of_integration, of_key) = (&none, &none, &none);
        let party =
            Party { account: &account, integration: &integration, key: &key, of_account, of_integration, of_key };
        let asked = ChargedCall {
            class: Class::Ai,
            resource: "/v1/messages",
            address: Some(&address),
            party: Some(party),
            platform: &none,
        };
        let charges = self.config.charges(&asked, now);
        // Markers of the records that the decision is based on.
        let group = tally::group(Some(party), Class::Ai, &charges);
        let version = |of| Version { of, version: 1, is_stopped: false };
        let known = [
            RecordId::Platform,
            RecordId::Account(account.clone()),
            RecordId::Integration(account.clone(), integration.clone()),
            RecordId::Key(key.clone()),
        ];
        let id = format!("01HZX3V7K2M4N6P8Q0R2{subject:04}{:02}", turn / SUBJECTS % IN_FLIGHT);
        Ask { charges, known: known.map(version).into(), group, id }
    }
}

fn is_lease(charge: &Charge) -> bool {
    charge.policy.algorithm == Algorithm::Concurrency
}

fn policy(name: &str, scope: PolicyScope) -> Policy {
    Policy {
        name: name.to_owned(),
        scope,
        limit: LARGEST_LIMIT,
        window: Window::MINUTE,
        algorithm: Algorithm::Fixed,
        mode: Mode::Enforce,
        classes: vec![Class::Ai],
        weights: BTreeMap::new(),
    }
}

fn charge(policy: &Arc<Policy>, subject: usize) -> Charge {
    let subject = match policy.scope {
        PolicyScope::Global => "all".to_owned(),
        PolicyScope::Integration => format!("{}/{}", id("acc", subject), id("int", subject)),
        PolicyScope::Key => id("key", subject),
        PolicyScope::ClientAddress => id("adr", subject),
        _ => id("acc", subject),
    };
    Charge { policy: Arc::clone(policy), subject: Subject(subject), weight: 1 }
}

/// Returns an id of the usual length.
fn id(kind: &str, number: usize) -> String {
    format!("{kind}{number:09}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_target_says_how_many_policies_and_whether_they_refuse() {
        assert_eq!(Question::of("levee-3"), Some(Question::Policies(3)));
        assert_eq!(Question::of("levee-6/refused"), Some(Question::Refused(6)));
        assert_eq!(Question::of("levee-1/refused-asked"), Some(Question::RefusedAsked(1)));
        assert_eq!(Question::of("levee-ai"), Some(Question::Ai));
        for nothing in ["levee-0", "levee-7", "levee-3/", "levee-3/slow", "levee", "ping"] {
            assert_eq!(Question::of(nothing), None, "{nothing}");
        }
    }
}
