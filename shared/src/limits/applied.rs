//! Limits that apply to one caller, and their present counts, for people who look at their quota. Nothing is charged.

use std::sync::Arc;

use redis::RedisError;

use super::charges::{ChargedCall, Effective, LimitSource, Party, subject};
use super::config::LimitsConfig;
use super::decide::{Reading, read};
use super::overrides::Overrides;
use super::policy::{Algorithm, Charge, Class, Policy, PolicyScope};
use crate::clock::Timestamp;
use crate::stores::redis::{Redis, Unavailable};

/// Limit that applies to a caller.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AppliedLimit {
    /// Policy with the limit that applies, and the subject that is charged under it.
    pub charge: Charge,
    /// Class of calls that are counted.
    pub class: Class,
    /// Origin of the limit.
    pub source: LimitSource,
    /// Time at which the limit ends, Unix seconds; `None` if it does not.
    pub until: Option<u64>,
    /// Limit for all accounts; 0 if the policy is off for them.
    pub standard: u64,
}

impl AppliedLimit {
    /// Returns the policy with the limit that applies.
    pub fn policy(&self) -> &Policy {
        &self.charge.policy
    }
}

impl LimitsConfig {
    /// Returns the limits of a caller that it may see, in the order of the policies: those of its key, its integration
    /// and its account. Limits per client address are left out, because the address is not known, and so are the pool
    /// and the shares of it.
    pub fn applied(&self, party: Party<'_>, platform: &Overrides, now: Timestamp) -> Vec<AppliedLimit> {
        let mut limits = Vec::new();
        for policy in &self.policies {
            // A policy by class counts each class apart; others count all of theirs together.
            let classes: &[Class] = match policy.scope {
                PolicyScope::AccountClass => &policy.classes,
                PolicyScope::Key | PolicyScope::Integration | PolicyScope::Account => {
                    policy.classes.get(..1).unwrap_or_default()
                }
                PolicyScope::ClientAddress | PolicyScope::Share | PolicyScope::Global => &[],
            };
            for class in classes.iter().copied().filter(|class| class.has_key()) {
                let asked = ChargedCall { class, resource: "", address: None, party: Some(party), platform };
                let Some(Effective { policy, own, source, until, standard }) = self.effective(policy, &asked, now)
                else {
                    continue;
                };
                if let (true, Some(subject)) = (policy.is_public(), subject(&policy, own, &asked)) {
                    let charge = Charge { policy, subject, weight: 1 };
                    limits.push(AppliedLimit { charge, class, source, until, standard });
                }
            }
        }
        limits
    }

    /// Returns the policies of the pool with the account's share of each, for calls of `class`.
    pub fn pool(&self, class: Class, platform: &Overrides, now: Timestamp) -> Vec<(Arc<Policy>, u64)> {
        let asked = ChargedCall { class, resource: "", address: None, party: None, platform };
        let of_pool = self.policies.iter().filter(|it| it.scope == PolicyScope::Global && it.classes.contains(&class));
        let effective = of_pool.filter_map(|policy| self.effective(policy, &asked, now));
        effective.map(|Effective { policy, .. }| (Arc::clone(&policy), self.share(&policy).limit)).collect()
    }
}

/// Reads the present counts of these charges in one round trip, in their order, without charging anything.
///
/// # Errors
/// [`Unavailable`] if Redis cannot be reached.
pub async fn present(redis: &Redis, charges: &[&Charge], now: Timestamp) -> Result<Vec<Reading>, Unavailable> {
    if charges.is_empty() {
        return Ok(Vec::new());
    }
    // Ask for two counts of each: that of the window and of the one before, or the calls in flight and nothing.
    let mut commands = redis::pipe();
    for charge in charges {
        match charge.policy.algorithm {
            Algorithm::Concurrency => {
                commands.zcount(charge.leases(), format!("({}", now.as_millis()), "+inf");
                commands.cmd("ECHO").arg("0");
            }
            Algorithm::Fixed | Algorithm::Sliding => {
                commands.get(charge.counter(now)).get(charge.previous_counter(now));
            }
        }
    }
    let commands = &commands;
    let query =
        async |mut connection| -> Result<Vec<Option<u64>>, RedisError> { commands.query_async(&mut connection).await };
    // Missing counters are zero.
    let counts: Vec<u64> = redis.run(query).await?.into_iter().map(Option::unwrap_or_default).collect();
    let pairs = counts.chunks(2).map(|pair| (pair.first().copied().unwrap_or(0), pair.get(1).copied().unwrap_or(0)));
    Ok(charges.iter().zip(pairs).map(|(charge, (count, previous))| read(charge, true, count, previous, now)).collect())
}
