//! Any calls under any policies at any time: the limiter decides as the model does, and Redis contains the model's
//! counts.

use std::collections::BTreeMap;

use levee::clock::Timestamp;
use levee::limits::versions::{RecordId, Version};
use levee::limits::{Algorithm, Ask, Charge, Decision, Limiter, Mode, Policy, Refusal, leases};
use levee::stores::redis::Redis;
use proptest::prelude::*;
use proptest::sample::Index;
use tests::property;
use tokio::runtime::Runtime;

use super::model::{Expected, Model, ordinal, start_of};
use super::{ask, charge, is_allowed, modes, policies};
use crate::redis_server::{Server, Stored, is_tally};

/// 2027-01-30T23:59:30Z: close to the end of a minute, a day and a month.
const BEGINNING: Timestamp = Timestamp::from_secs(1_801_353_570);

/// An operation of the test.
#[derive(Debug, Clone)]
enum Op {
    /// A call that is charged under some of the policies, each for one of a few subjects and with a weight.
    Call { charged: Vec<Option<(u8, u64)>>, comes_back: bool, is_of_a_crowd: bool },
    /// Time passes by these milliseconds; if negative, the next environment's clock is behind.
    Pass(i64),
    /// Time passes until some milliseconds before or after the end of a policy's window.
    PassWindow(Index, i64),
    /// A call in flight ends.
    Release(Index),
    /// An admin changes a limit.
    Limit(Index, u64),
    /// An admin changes a mode.
    Mode(Index, Mode),
}

fn ops() -> impl Strategy<Value = Op> {
    let charged = proptest::option::weighted(0.8, (0u8..3, prop_oneof![3 => Just(1), 1 => 1u64..=5]));
    let charged = proptest::collection::vec(charged, 16);
    let call = (charged, any::<bool>(), any::<bool>());
    let pass = prop_oneof![0i64..3_000, 0i64..90_000, 0i64..3_000_000_000, -1_000i64..0];
    prop_oneof![
        8 => call.prop_map(|(charged, comes_back, is_of_a_crowd)| Op::Call { charged, comes_back, is_of_a_crowd }),
        2 => pass.prop_map(Op::Pass),
        1 => (any::<Index>(), -2i64..=2).prop_map(|(policy, beside)| Op::PassWindow(policy, beside)),
        1 => any::<Index>().prop_map(Op::Release),
        1 => (any::<Index>(), 1u64..=50).prop_map(|(policy, limit)| Op::Limit(policy, limit)),
        1 => (any::<Index>(), modes()).prop_map(|(policy, mode)| Op::Mode(policy, mode)),
    ]
}

struct Machine<'a> {
    server: &'a Server,
    limiter: Limiter,
    redis: Redis,
    policies: Vec<Policy>,
    model: Model,
    now: Timestamp,
    /// Time of the latest call. If a clock is behind, later windows already contain calls.
    latest: Timestamp,
    calls: usize,
    /// Version of the policies, which increases with each change.
    version: u64,
    stored: BTreeMap<String, Stored>,
}

impl<'a> Machine<'a> {
    fn new(server: &'a Server, policies: Vec<Policy>) -> Self {
        let (limiter, redis, model, stored) = (server.limiter(), server.redis(), Model::default(), BTreeMap::new());
        let (now, latest, calls, version) = (BEGINNING, BEGINNING, 0, 0);
        Self { server, limiter, redis, policies, model, now, latest, calls, version, stored }
    }

    async fn apply(&mut self, op: Op) -> Result<(), TestCaseError> {
        match op {
            Op::Call { charged, comes_back, is_of_a_crowd } => {
                let alike = vec![Some((0, 1)); self.policies.len()];
                let charges = self.charges(if is_of_a_crowd { &alike } else { &charged });
                let refusal = self.call(&charges, is_of_a_crowd).await?;
                if let Some(refusal) = refusal.filter(|_| comes_back && !is_of_a_crowd && self.now >= self.latest) {
                    self.come_back(&charges, &refusal).await?;
                }
                return Ok(());
            }
            Op::Pass(millis) => self.now = Timestamp::from_millis(self.now.as_millis().saturating_add_signed(millis)),
            Op::PassWindow(policy, beside) => {
                let window = policy.get(&self.policies).window;
                let end = start_of(window, ordinal(window, self.now.as_millis()) + 1);
                self.now = Timestamp::from_millis(end.saturating_add_signed(beside));
            }
            Op::Release(call) => {
                let in_flight = self.model.in_flight();
                if in_flight.is_empty() {
                    return Ok(());
                }
                let id = call.get(&in_flight);
                let leases = self.model.sets_of(id);
                let release = leases::Release { id: id.to_owned(), leases, until: self.now };
                leases::release(&self.redis, &[release]).await.unwrap();
                self.model.release(id);
                self.stored = self.server.snapshot().await;
                self.holds_what_the_model_says()?;
            }
            Op::Limit(policy, limit) => self.policy(policy).limit = limit,
            Op::Mode(policy, mode) => self.policy(policy).mode = mode,
        }
        Ok(())
    }

    fn policy(&mut self, policy: Index) -> &mut Policy {
        self.version += 1;
        let at = policy.index(self.policies.len());
        &mut self.policies[at]
    }

    fn charges(&self, charged: &[Option<(u8, u64)>]) -> Vec<Charge> {
        let charge = |(policy, charged): (&Policy, &Option<(u8, u64)>)| {
            let (subject, weight) = (*charged)?;
            // Calls in flight always have weight one.
            let weight = if policy.algorithm == Algorithm::Concurrency { 1 } else { weight };
            Some(charge(policy, &format!("s{subject}"), weight))
        };
        ask(self.policies.iter().zip(charged).filter_map(charge), "", "").charges
    }

    /// Makes one call. The calls of a crowd are identical, so that one of them may be refused from memory.
    async fn call(&mut self, charges: &[Charge], is_of_a_crowd: bool) -> Result<Option<Refusal>, TestCaseError> {
        self.calls += 1;
        self.latest = self.latest.max(self.now);
        let id = format!("c{}", self.calls);
        let group = if is_of_a_crowd { "a/crowd/k/ai" } else { &id };
        self.server.set_clock(self.now);
        let known = vec![Version { of: RecordId::Platform, version: self.version, is_stopped: false }];
        let ask = Ask { known, ..ask(charges.to_vec(), group, &id) };
        let decision = self.limiter.check(ask, self.now).await;
        let expected = self.model.check(charges, &id, self.now);
        prop_assert_eq!(is_allowed(&decision), expected.is_allowed, "{:?} {:?}", decision, expected);

        let before = std::mem::replace(&mut self.stored, self.server.snapshot().await);
        self.holds_what_the_model_says()?;
        match decision {
            Decision::Allowed(readings) => {
                for (reading, standing) in readings.iter().zip(&expected.standings) {
                    prop_assert_eq!((reading.used, reading.is_over), (standing.used, standing.is_over));
                    let is_kept = reading.policy.mode != Mode::Enforce || reading.used <= reading.policy.limit;
                    prop_assert!(is_kept, "passed beyond a limit: {:?}", reading);
                }
                Ok(None)
            }
            Decision::Refused(refusal) => {
                prop_assert_eq!(counted(&before), counted(&self.stored), "a refused call moved something");
                if !is_of_a_crowd {
                    for (reading, standing) in refusal.readings.iter().zip(&expected.standings) {
                        prop_assert_eq!((reading.used, reading.is_over), (standing.used, standing.is_over));
                    }
                }
                binds(&refusal, charges, &expected)?;
                Ok(Some(refusal))
            }
            Decision::Stale(_) | Decision::Unchecked => unreachable!("is_allowed"),
        }
    }

    /// Repeats a refused call at the time of its reset. Only calls in flight may refuse it then, as their end is
    /// unknown.
    async fn come_back(&mut self, charges: &[Charge], refusal: &Refusal) -> Result<(), TestCaseError> {
        prop_assert!(refusal.binding.resets_at > self.now, "{:?}", refusal);
        if charges.iter().any(|charge| charge.weight > charge.policy.limit) {
            return Ok(());
        }
        self.now = refusal.binding.resets_at;
        if let Some(again) = self.call(charges, false).await? {
            let refusing = again.readings.iter().filter(|it| it.is_over && it.policy.mode == Mode::Enforce);
            let is_in_flight = refusing.map(|it| it.policy.algorithm).all(|it| it == Algorithm::Concurrency);
            prop_assert!(is_in_flight, "refused again: {:?}, then {:?}", refusal, again);
        }
        Ok(())
    }

    /// Checks that counters and sets equal those of the model, and that they expire no sooner than they are needed.
    fn holds_what_the_model_says(&self) -> Result<(), TestCaseError> {
        let of = |kind: &str| self.stored.iter().filter(move |(key, _)| key.starts_with(kind)).collect::<Vec<_>>();
        let number = |stored: &Stored| stored.value[0].parse().unwrap();
        let counters = of("{levee}:limit:").into_iter().map(|(key, stored)| (key.clone(), number(stored))).collect();
        prop_assert_eq!(self.model.counters(), counters);
        let sets = of("{levee}:lease:").into_iter().map(|(key, stored)| (key.clone(), stored.pairs())).collect();
        prop_assert_eq!(self.model.sets(), sets);
        for (key, stored) in of("{levee}:limit:") {
            let needed_until = self.needed_until(key);
            let needed = needed_until.saturating_sub(self.now.as_millis());
            prop_assert!(stored.ttl.unsigned_abs() >= needed, "{} ends before {} ms are over", key, needed);
        }
        for (key, stored) in of("{levee}:lease:") {
            let needed_until = stored.pairs().into_values().max().unwrap_or(0);
            let needed = needed_until.saturating_sub(self.now.as_millis());
            prop_assert!(stored.ttl.unsigned_abs() >= needed, "{} ends before {} ms are over", key, needed);
        }
        Ok(())
    }

    /// Returns the last time at which a counter is needed: its window's end, or for a sliding policy that of the next
    /// one.
    fn needed_until(&self, counter: &str) -> u64 {
        let words: Vec<&str> = counter.split(':').collect();
        let policy = self.policies.iter().find(|policy| policy.name == words[2]).unwrap();
        let at = words[5].parse::<u64>().unwrap() * 1000;
        let windows = if policy.algorithm == Algorithm::Sliding { 2 } else { 1 };
        start_of(policy.window, ordinal(policy.window, at) + windows)
    }
}

/// Checks that the binding policy refuses, and that no other refusing policy resets later.
fn binds(refusal: &Refusal, charges: &[Charge], expected: &Expected) -> Result<(), TestCaseError> {
    let binding = &refusal.binding;
    prop_assert!(binding.is_over && binding.policy.mode == Mode::Enforce, "{:?}", binding);
    let at = charges.iter().position(|charge| charge.policy.name == binding.policy.name).unwrap();
    prop_assert!(expected.standings[at].is_over, "{:?} {:?}", binding, expected);
    let refusing = refusal.readings.iter().filter(|it| it.is_over && it.policy.mode == Mode::Enforce);
    prop_assert_eq!(Some(binding.resets_at), refusing.map(|it| it.resets_at).max());
    Ok(())
}

/// Returns all stored values except the tallies.
fn counted(stored: &BTreeMap<String, Stored>) -> BTreeMap<&str, &[u8]> {
    let counted = stored.iter().filter(|(key, _)| !is_tally(key));
    counted.map(|(key, stored)| (key.as_str(), stored.dump.as_slice())).collect()
}

#[test]
fn the_limiter_decides_and_counts_as_a_log_of_all_calls_would() {
    let runtime = Runtime::new().unwrap();
    let server = runtime.block_on(Server::start());
    let config = property(24);
    proptest!(config, |(policies in policies(), ops in proptest::collection::vec(ops(), 1..80))| {
        runtime.block_on(async {
            server.command::<()>(&["FLUSHALL"]).await;
            let mut machine = Machine::new(&server, policies);
            for op in ops {
                machine.apply(op).await?;
            }
            Ok::<_, TestCaseError>(())
        })?;
    });
}
