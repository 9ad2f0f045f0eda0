//! Local counting while Redis cannot be reached, if the stack is configured so. Each environment counts by itself, so
//! that the platform lets through at most as many times a limit as it has environments. Calls in flight are not
//! counted, because their end is only seen by another function.

use std::num::NonZeroUsize;
use std::sync::Mutex;

use lru::LruCache;

use super::decide::{Decision, decide};
use super::policy::{Algorithm, Charge, Mode};
use crate::clock::Timestamp;
use crate::sync::lock;

/// Number of counts held; the least recently used are evicted first.
const CAPACITY: NonZeroUsize = NonZeroUsize::new(10_000).unwrap();

/// Counts of this environment, by the counters' Redis keys.
pub(super) struct Local(Mutex<LruCache<String, u64>>);

impl Default for Local {
    fn default() -> Self {
        Self(Mutex::new(LruCache::new(CAPACITY)))
    }
}

impl Local {
    /// Refuses calls beyond a limit by this environment's counts. All others pass as unchecked.
    pub(super) fn check(&self, charges: &[Charge], now: Timestamp) -> Decision {
        // Read the counts of enforced policies by windows.
        let is_counted =
            |charge: &Charge| charge.policy.algorithm != Algorithm::Concurrency && charge.policy.mode == Mode::Enforce;
        let charges: Vec<Charge> = charges.iter().filter(|it| is_counted(it)).cloned().collect();
        let mut held = lock(&self.0);
        let mut counts = Vec::with_capacity(charges.len());
        for charge in &charges {
            let mut count = |key: String| held.get(&key).copied().unwrap_or(0).cast_signed();
            counts.push(count(charge.counter(now)));
            if charge.policy.algorithm == Algorithm::Sliding {
                counts.push(count(charge.previous_counter(now)));
            }
        }
        if let refused @ Decision::Refused(_) = decide(&charges, false, &counts, now) {
            return refused;
        }
        // Count the call, since it passes.
        for charge in charges {
            *held.get_or_insert_mut(charge.counter(now), || 0) += charge.weight;
        }
        Decision::Unchecked
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits::{ChargedCall, Class, LimitsConfig, Overrides};

    #[test]
    fn an_environment_by_itself_lets_through_as_many_calls_as_the_limit_in_each_window() {
        let (platform, local) = (Overrides::new(), Local::default());
        let asked = ChargedCall {
            class: Class::Login,
            resource: "/login",
            address: Some("a"),
            party: None,
            platform: &platform,
        };
        let now = Timestamp::from_secs(1_700_000_030);
        let check = |now| local.check(&LimitsConfig::default().charges(&asked, now), now);
        for _ in 0..10 {
            assert_eq!(check(now), Decision::Unchecked);
        }
        let Decision::Refused(refusal) = check(now) else { panic!("it passed") };
        assert_eq!((refusal.binding.used, refusal.binding.policy.name.as_str()), (10, "login-address"));
        assert_eq!(check(refusal.binding.resets_at), Decision::Unchecked);
    }
}
