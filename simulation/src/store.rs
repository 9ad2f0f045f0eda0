//! One provider's breaker as environments share it: a stand-in for the Redis scripts
//! `shared/src/breaker/mirror/*.lua`.

use std::collections::BTreeMap;

use levee_core::breaker::{BreakerConfig, BreakerState, Evidence, Room, SecondBucket, step};
use levee_core::clock::Timestamp;

/// Interval between evaluations, in seconds.
const EVALUATED_EVERY: f64 = 1.0;
/// Reduction of that interval after bad results, in seconds.
const SOONER: f64 = 0.8;
/// Probes that may be in flight at the same time.
const PROBES: u32 = 2;
/// Time since the first probe that allows one more, in seconds, because a probe may be lost.
const PROBE_LOST_AFTER: f64 = 15.0;
/// Maximum age of evidence, in seconds.
const KEPT_FOR: u64 = 300;
/// Maximum age of an account's result that counts beside another account's bad one, in seconds.
const ACCOUNTS_FOR: u64 = 60;

/// Result of a call, or a part of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Seen {
    Good,
    Bad,
    Late,
    OnTime,
}

impl Seen {
    fn is_trouble(self) -> bool {
        matches!(self, Self::Bad | Self::Late)
    }
}

/// Report of one call, or of a part of it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Report {
    pub(crate) environment: usize,
    pub(crate) account: u32,
    /// Generation of the decision that let the call through.
    pub(crate) generation: u64,
    pub(crate) is_probe: bool,
    pub(crate) seen: Seen,
}

/// Time and other inputs of an evaluation, as the evaluator knows them.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Moment {
    /// Seconds since the beginning.
    pub(crate) at: f64,
    /// Time by the evaluator's clock.
    pub(crate) now: Timestamp,
    /// Calls a second to all providers together.
    pub(crate) rate: f64,
    /// Random number from 0 to 1.
    pub(crate) jitter: f64,
}

/// Breaker of one provider.
#[derive(Debug, Clone)]
pub(crate) struct Store {
    config: BreakerConfig,
    state: BreakerState,
    seconds: Vec<SecondBucket>,
    /// Time of the last result in each environment.
    seen: BTreeMap<usize, f64>,
    /// Time of the last bad or late result in each environment.
    in_trouble: BTreeMap<usize, f64>,
    accounts: LastTwo,
    troubled_accounts: LastTwo,
    late_accounts: LastTwo,
    bad_since: Option<u64>,
    next_evaluation: f64,
    probes: u32,
    probes_back: u32,
    /// Time of the first probe.
    probing_since: Option<f64>,
    transitions: u32,
    /// Recent capacity, for calls that no other provider can take. It outlives decisions.
    pub(crate) room: Room,
    /// Last account that was served, and the time.
    served: Option<(u32, f64)>,
    /// Last other account that was served, and the time.
    served_other: Option<(u32, f64)>,
}

/// Last account with a result, and the last other one, each with the second of its last result.
#[derive(Debug, Clone, Copy, Default)]
struct LastTwo {
    one: Option<(u32, u64)>,
    other: Option<(u32, u64)>,
}

impl LastTwo {
    fn saw(&mut self, account: u32, second: u64) {
        if self.one.is_some_and(|(one, _)| one != account) {
            self.other = self.one;
        }
        self.one = Some((account, second));
    }

    fn count(self, from: u64) -> u32 {
        [self.one, self.other].into_iter().flatten().filter(|(_, last)| *last >= from).count() as u32
    }
}

impl Store {
    pub(crate) fn new(config: BreakerConfig) -> Self {
        Self {
            config,
            state: BreakerState::new(),
            seconds: Vec::new(),
            seen: BTreeMap::new(),
            in_trouble: BTreeMap::new(),
            accounts: LastTwo::default(),
            troubled_accounts: LastTwo::default(),
            late_accounts: LastTwo::default(),
            bad_since: None,
            next_evaluation: 0.0,
            probes: 0,
            probes_back: 0,
            probing_since: None,
            transitions: 0,
            room: Room::default(),
            served: None,
            served_other: None,
        }
    }

    pub(crate) fn state(&self) -> &BreakerState {
        &self.state
    }

    pub(crate) fn config(&self) -> &BreakerConfig {
        &self.config
    }

    pub(crate) fn transitions(&self) -> u32 {
        self.transitions
    }

    /// Evaluates the evidence, unless that was done within the last second.
    pub(crate) fn evaluate(&mut self, moment: Moment) {
        self.evaluate_if_due(moment, 0.0);
    }

    fn evaluate_if_due(&mut self, Moment { at, now, rate, jitter }: Moment, sooner: f64) {
        if at < self.next_evaluation - sooner {
            return;
        }
        self.next_evaluation = at + EVALUATED_EVERY;
        let evidence = self.evidence(at, rate);
        if let Some(next) = step(&self.state, &evidence, now, jitter, &self.config) {
            self.state = next;
            self.transitions += 1;
            self.forget();
        }
    }

    fn evidence(&mut self, at: f64, rate: f64) -> Evidence {
        let oldest = (at as u64).saturating_sub(KEPT_FOR);
        self.seconds.retain(|second| second.at > oldest);
        let lately = at - KEPT_FOR as f64;
        let count = |saw: &BTreeMap<usize, f64>| saw.values().filter(|last| **last > lately).count() as u32;
        let from = self.bad_since.unwrap_or(u64::MAX).max((at as u64).saturating_sub(ACCOUNTS_FOR));
        Evidence {
            seconds: self.seconds.clone(),
            rate,
            environments: count(&self.seen),
            troubled_environments: count(&self.in_trouble),
            accounts: self.accounts.count(from),
            troubled_accounts: self.troubled_accounts.count(from),
            late_accounts: self.late_accounts.count(from),
            retry_after: None,
            spent_until: None,
        }
    }

    /// Discards all evidence, as for a new generation.
    pub(crate) fn forget(&mut self) {
        self.seconds.clear();
        self.seen.clear();
        self.in_trouble.clear();
        (self.accounts, self.troubled_accounts, self.late_accounts) = Default::default();
        self.bad_since = None;
        (self.probes, self.probes_back, self.probing_since) = (0, 0, None);
    }

    /// Records a report, and evaluates the evidence if that is due.
    pub(crate) fn report(&mut self, report: Report, moment: Moment) {
        // Results of another generation are not counted.
        let Report { environment, account, generation, is_probe, seen } = report;
        if generation != self.state.generation {
            return;
        }
        // Record the environment and the account, and if they are in trouble.
        let second = moment.at as u64;
        self.seen.insert(environment, moment.at);
        self.accounts.saw(account, second);
        match seen {
            Seen::Bad => self.troubled_accounts.saw(account, second),
            Seen::Late => self.late_accounts.saw(account, second),
            Seen::Good | Seen::OnTime => {}
        }
        if seen.is_trouble() {
            self.in_trouble.insert(environment, moment.at);
            self.bad_since.get_or_insert(second);
        }
        // A probe with a result frees its slot.
        self.probes_back += u32::from(is_probe && matches!(seen, Seen::Good | Seen::Bad));
        // Count the result in its second.
        if self.seconds.last().is_none_or(|last| last.at != second) {
            self.seconds.push(SecondBucket { at: second, ..SecondBucket::default() });
        }
        if let Some(last) = self.seconds.last_mut() {
            *match seen {
                Seen::Good => &mut last.good,
                Seen::Bad => &mut last.bad,
                Seen::Late => &mut last.late,
                Seen::OnTime => &mut last.on_time,
            } += 1;
        }
        self.evaluate_if_due(moment, if seen.is_trouble() { SOONER } else { 0.0 });
    }

    /// Takes a probe slot and returns true, if one is free.
    pub(crate) fn take_probe(&mut self, at: f64) -> bool {
        let since = *self.probing_since.get_or_insert(at);
        let lost = ((at - since) / PROBE_LOST_AFTER) as u32;
        let may_go = self.probes < self.probes_back + PROBES + lost;
        self.probes += u32::from(may_go);
        may_go
    }

    /// Records that a call of `account` was served.
    pub(crate) fn served(&mut self, at: f64, account: u32) {
        if self.served.is_some_and(|(one, _)| one != account) {
            self.served_other = self.served;
        }
        self.served = Some((account, at));
    }

    /// Returns the last time at which an account other than `account` was served.
    pub(crate) fn served_another(&self, account: u32) -> Option<f64> {
        let is_another = |served: &(u32, f64)| served.0 != account;
        self.served.filter(is_another).or(self.served_other).map(|(_, at)| at)
    }
}
