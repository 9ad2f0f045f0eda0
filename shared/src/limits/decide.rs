//! The decision, given what the script found. Pure: no I/O, time as an argument.

use super::policy::{Charge, Policy};
use crate::clock::Timestamp;

/// Where one policy stands after a call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reading {
    /// The policy.
    pub policy: Policy,
    /// Calls counted in this window, this one included if it was let through.
    pub used: u64,
    /// When the count begins anew.
    pub resets_at: Timestamp,
}

impl Reading {
    /// Calls left in this window.
    pub fn remaining(&self) -> u64 {
        self.policy.limit.saturating_sub(self.used)
    }

    /// How much of the limit is used, in thousandths.
    pub fn used_permille(&self) -> u64 {
        self.used.saturating_mul(1000) / self.policy.limit.max(1)
    }

    /// Whether at least 80 % of the limit is used.
    pub fn is_near(&self) -> bool {
        self.used_permille() >= 800
    }
}

/// What became of a call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Decision {
    /// It was charged to every policy.
    Allowed(Vec<Reading>),
    /// It was charged to none.
    Refused(Refusal),
    /// Redis could not be asked; the call passes.
    Unchecked,
}

/// A refusal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// Where every policy stands.
    pub readings: Vec<Reading>,
    /// The used-up policy that resets last: waiting for it is waiting long enough for all.
    pub binding: Reading,
}

/// Turns the reply of `check.lua` for `charges` into a decision. A reply of another shape counts as no reply.
pub fn decide(charges: Vec<Charge>, reply: &[i64], now: Timestamp) -> Decision {
    let [charged, counts @ ..] = reply else { return Decision::Unchecked };
    if counts.len() != charges.len() {
        return Decision::Unchecked;
    }
    let readings: Vec<Reading> = charges
        .into_iter()
        .zip(counts)
        .map(|(Charge { policy, .. }, &count)| Reading {
            used: u64::try_from(count).unwrap_or(0),
            resets_at: policy.resets_at(now),
            policy,
        })
        .collect();
    if *charged == 1 {
        return Decision::Allowed(readings);
    }
    // `max_by_key` takes the last of equals: the widest scope, which is the one to ask for more of.
    let used_up = readings.iter().filter(|reading| reading.used >= reading.policy.limit);
    match used_up.max_by_key(|reading| reading.resets_at).cloned() {
        Some(binding) => Decision::Refused(Refusal { readings, binding }),
        None => Decision::Unchecked,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits::{LimitsConfig, Subject};

    const NOW: Timestamp = Timestamp::from_millis(1_700_000_030_500);

    fn charges() -> Vec<Charge> {
        let limits = LimitsConfig::default();
        limits.ai_call(Some(Subject("a1b2".to_owned())), "acme", "crm")
    }

    #[test]
    fn a_charged_call_is_allowed_and_reads_every_policy() {
        let Decision::Allowed(readings) = decide(charges(), &[1, 24, 10, 11, 12], NOW) else { panic!("refused") };
        assert_eq!(readings.iter().map(Reading::remaining).collect::<Vec<_>>(), [6, 290, 589, 5_988]);
        assert!(readings[0].is_near() && !readings[1].is_near());
        assert_eq!(readings[0].resets_at, Timestamp::from_secs(1_700_000_040));
    }

    #[test]
    fn a_refusal_is_bound_by_the_used_up_policy_that_resets_last() {
        let mut charges = charges();
        charges[1].policy.window_secs = 3_600;
        let Decision::Refused(refusal) = decide(charges, &[0, 30, 300, 600, 12], NOW) else { panic!("allowed") };
        assert_eq!(refusal.binding.policy.name, "integration");
        assert_eq!(refusal.readings.len(), 4);
    }

    #[test]
    fn a_reply_of_another_shape_lets_the_call_pass_as_unchecked() {
        for reply in [&[][..], &[1, 2][..], &[0, 1, 1, 1, 1][..]] {
            assert_eq!(decide(charges(), reply, NOW), Decision::Unchecked, "{reply:?}");
        }
    }

    #[test]
    fn a_limit_of_zero_turns_its_policy_off() {
        let limits = LimitsConfig {
            ai_per_address: 0,
            login_per_address: 0,
            integration_per_minute: 0,
            account_per_minute: 1,
            account_per_day: 0,
            global_per_minute: 0,
        };
        let charges = limits.ai_call(Some(Subject("a1b2".to_owned())), "acme", "crm");
        assert_eq!(charges.iter().map(|charge| charge.policy.name).collect::<Vec<_>>(), ["account"]);
        assert_eq!(limits.login(Some(Subject("a1b2".to_owned()))), []);
    }
}
