//! Levee's breaker: [`levee_core::breaker`] with a store in place of Redis.
//!
//! Each result goes to the store, which answers with the present state, so that whoever reports knows it for nothing;
//! else a state is believed for a second. The store lets somebody evaluate once a second, and a little sooner after bad
//! news. Two probes are out at a time; one that never comes back is replaced after a while. Without the store
//! environments keep what they knew, and each has its own [`Local`] breaker.

use std::collections::{HashMap, VecDeque};

use levee_core::breaker::{BreakerConfig, Evidence, Local, Mode, Second, State, floor, step};
use levee_core::clock::Timestamp;
use rand::rngs::SmallRng;
use rand::{RngExt, SeedableRng};

use crate::design::{Design, Result, Ticket, place};
use crate::world::{Faults, Settings};

const CACHED_FOR: f64 = 1.0;
/// Seconds between evaluations, and less of them after bad news.
const EVALUATED_EVERY: f64 = 1.0;
const SOONER: f64 = 0.8;
/// Probes that may be out at the same time.
const PROBES: u32 = 2;
/// One more may be out for each so many seconds since the first, as one may be lost.
const PROBE_LOST_AFTER: f64 = 15.0;
const RATE_OVER: f64 = 20.0;
/// How long evidence is kept, seconds.
const KEPT_FOR: u64 = 300;
/// A call is late when so much of the calls in health were back.
const LATE: f64 = 0.95;

/// The design.
#[derive(Debug)]
pub struct Levee {
    rng: SmallRng,
    config: BreakerConfig,
    faults: Faults,
    state: State,
    seconds: Vec<Second>,
    /// Which environments saw results, and bad ones, and when last.
    seen: HashMap<usize, f64>,
    in_trouble: HashMap<usize, f64>,
    arrivals: VecDeque<f64>,
    next_evaluation: f64,
    probes: u32,
    /// When the first probe went out.
    probing_since: Option<f64>,
    baseline: Baseline,
    environments: Vec<Environment>,
    transitions: u32,
}

#[derive(Debug, Clone)]
struct Environment {
    state: State,
    known_at: f64,
    local: Local,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Seen {
    Good,
    Bad,
    Late,
    OnTime,
}

impl Levee {
    /// For a fleet as in `settings`.
    pub fn new(settings: &Settings) -> Self {
        let environment = Environment { state: State::new(), known_at: -9.0, local: Local::new() };
        Self {
            rng: SmallRng::seed_from_u64(settings.seed ^ 0xabcd),
            config: BreakerConfig::default(),
            faults: settings.faults.clone(),
            state: State::new(),
            seconds: Vec::new(),
            seen: HashMap::new(),
            in_trouble: HashMap::new(),
            arrivals: VecDeque::new(),
            next_evaluation: 0.0,
            probes: 0,
            probing_since: None,
            baseline: Baseline::new(),
            environments: vec![environment; settings.environments],
            transitions: 0,
        }
    }

    /// What the provider's state is at the end.
    pub fn state(&self) -> &State {
        &self.state
    }

    fn store_is_gone(&self, at: f64) -> bool {
        self.faults.store_is_gone.as_ref().is_some_and(|gone| gone.contains(&at))
    }

    /// The time by the clock of an environment.
    fn clock(&self, at: f64, environment: usize) -> Timestamp {
        let ahead = if environment.is_multiple_of(2) { self.faults.skew } else { -self.faults.skew };
        Timestamp::from_millis(((at + ahead).max(0.0) * 1000.0) as u64)
    }

    fn evaluate(&mut self, at: f64, environment: usize, sooner: f64) {
        if at < self.next_evaluation - sooner {
            return;
        }
        self.next_evaluation = at + EVALUATED_EVERY;
        let oldest = (at as u64).saturating_sub(KEPT_FOR);
        self.seconds.retain(|second| second.at > oldest);
        let lately = at - KEPT_FOR as f64;
        let count = |saw: &HashMap<usize, f64>| saw.values().filter(|last| **last > lately).count() as u32;
        let evidence = Evidence {
            seconds: self.seconds.clone(),
            rate: self.rate(),
            environments: count(&self.seen),
            troubled_environments: count(&self.in_trouble),
            accounts: 0,
            troubled_accounts: 0,
            late_accounts: 0,
            retry_after: None,
            spent_until: None,
        };
        let (now, jitter) = (self.clock(at, environment), self.rng.random());
        if let Some(next) = step(&self.state, &evidence, now, jitter, &self.config) {
            self.state = next;
            self.transitions += 1;
            self.forget();
        }
    }

    /// Begins a new generation's evidence.
    fn forget(&mut self) {
        self.seconds.clear();
        self.seen.clear();
        self.in_trouble.clear();
        (self.probes, self.probing_since) = (0, None);
    }

    fn rate(&self) -> f64 {
        self.arrivals.len() as f64 / RATE_OVER
    }

    fn report(&mut self, at: f64, environment: usize, ticket: Ticket, seen: Seen) {
        if seen == Seen::Good || seen == Seen::Bad {
            let now = self.clock(at, environment);
            self.environments[environment].local.record(seen == Seen::Good, now);
        }
        if self.store_is_gone(at) {
            self.forget();
            return;
        }
        if ticket.0 == self.state.generation {
            let is_trouble = matches!(seen, Seen::Bad | Seen::Late);
            self.seen.insert(environment, at);
            if is_trouble {
                self.in_trouble.insert(environment, at);
            }
            let second = at as u64;
            if self.seconds.last().is_none_or(|last| last.at != second) {
                self.seconds.push(Second { at: second, ..Second::default() });
            }
            if let Some(last) = self.seconds.last_mut() {
                *match seen {
                    Seen::Good => &mut last.good,
                    Seen::Bad => &mut last.bad,
                    Seen::Late => &mut last.late,
                    Seen::OnTime => &mut last.on_time,
                } += 1;
            }
            self.evaluate(at, environment, if is_trouble { SOONER } else { 0.0 });
        }
        self.learn(at, environment);
    }

    fn learn(&mut self, at: f64, environment: usize) {
        let known = &mut self.environments[environment];
        known.state.clone_from(&self.state);
        known.known_at = at;
    }

    /// Whether one more probe may go out.
    fn take_probe(&mut self, at: f64) -> bool {
        let back: u32 = self.seconds.iter().map(|second| second.good + second.bad).sum();
        let since = *self.probing_since.get_or_insert(at);
        let lost = ((at - since) / PROBE_LOST_AFTER) as u32;
        let may_go = self.probes < back + PROBES + lost;
        self.probes += u32::from(may_go);
        may_go
    }
}

impl Design for Levee {
    fn admit(&mut self, at: f64, environment: usize, id: u64) -> Option<Ticket> {
        self.arrivals.push_back(at);
        while self.arrivals.front().is_some_and(|then| *then < at - RATE_OVER) {
            self.arrivals.pop_front();
        }
        let is_gone = self.store_is_gone(at);
        if !is_gone {
            self.evaluate(at, environment, 0.0);
            if at - self.environments[environment].known_at > CACHED_FOR {
                self.learn(at, environment);
            }
        }
        let now = self.clock(at, environment);
        let Environment { state, local, .. } = self.environments[environment].clone();
        let floor = f64::from(floor(self.rate(), &self.config).basis_points()) / 10_000.0;
        let share = f64::from(state.share.basis_points()) / 10_000.0;
        let passes = match state.mode {
            // Without the store nobody would ever find out: then the floor is let through once the pause is over.
            Mode::Open | Mode::Probe if is_gone => now >= state.not_before && place(id) < floor,
            Mode::Open => false,
            Mode::Probe => self.state.mode == Mode::Probe && self.take_probe(at),
            Mode::Closed => true,
            Mode::Shed | Mode::Ramp => place(id) < share.max(floor),
        };
        (passes && local.lets_through(now)).then_some(Ticket(state.generation))
    }

    fn looks_after(&self) -> Option<f64> {
        self.baseline.quantile(LATE)
    }

    fn late(&mut self, at: f64, environment: usize, ticket: Ticket) {
        self.report(at, environment, ticket, Seen::Late);
    }

    fn slow(&mut self, at: f64, environment: usize, ticket: Ticket) {
        self.report(at, environment, ticket, Seen::Bad);
    }

    fn done(&mut self, at: f64, environment: usize, ticket: Ticket, result: Result) {
        let is_late = self.looks_after().is_some_and(|after| result.latency > after);
        if matches!(self.state.mode, Mode::Closed | Mode::Probe) && !result.is_error {
            self.baseline.add(result.latency);
        }
        if !result.is_error && !is_late {
            self.report(at, environment, ticket, Seen::OnTime);
        }
        // What was slow has been counted when it was.
        if !result.is_slow {
            self.report(at, environment, ticket, if result.is_error { Seen::Bad } else { Seen::Good });
        }
    }

    fn share(&self) -> f64 {
        f64::from(self.state.share.basis_points()) / 10_000.0
    }

    fn transitions(&self) -> u32 {
        self.transitions
    }
}

/// How long calls take in health: counts by classes of latency, each a tenth longer than the one before. Old ones fade.
#[derive(Debug)]
struct Baseline {
    classes: Vec<f64>,
    all: f64,
}

impl Baseline {
    const SHORTEST: f64 = 0.05;
    const GROWTH: f64 = 1.1;
    const CLASSES: usize = 80;
    const MEMORY: f64 = 2_000.0;
    const FEWEST: f64 = 50.0;

    fn new() -> Self {
        Self { classes: vec![0.0; Self::CLASSES], all: 0.0 }
    }

    fn add(&mut self, latency: f64) {
        let class = ((latency.max(Self::SHORTEST) / Self::SHORTEST).ln() / Self::GROWTH.ln()) as usize;
        self.classes[class.min(Self::CLASSES - 1)] += 1.0;
        self.all += 1.0;
        if self.all > Self::MEMORY {
            self.classes.iter_mut().for_each(|class| *class *= 0.5);
            self.all *= 0.5;
        }
    }

    fn quantile(&self, share: f64) -> Option<f64> {
        if self.all < Self::FEWEST {
            return None;
        }
        let mut left = self.all * share;
        let class = self.classes.iter().position(|class| {
            left -= class;
            left <= 0.0
        })?;
        let class = i32::try_from(class + 1).unwrap_or(i32::MAX);
        Some(Self::SHORTEST * Self::GROWTH.powi(class))
    }
}
