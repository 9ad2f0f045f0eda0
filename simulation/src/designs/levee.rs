//! Levee's breaker: [`levee_core::breaker`] with a [`Store`] in place of Redis.
//!
//! Each result goes to the store, and the reporting environment learns the present state with it. Otherwise it uses a
//! state for up to a second. Without the store environments keep the last state that they know, and each has its own
//! [`Local`] breaker.

use levee_core::breaker::{BreakerConfig, BreakerState, Local, Mode, floor};
use levee_core::clock::Timestamp;
use rand::rngs::SmallRng;
use rand::{RngExt, SeedableRng};

use crate::design::{Design, Result, Ticket, place};
use crate::rate::Rate;
use crate::store::{Moment, Report, Seen, Store};
use crate::world::{Faults, Settings, account};

const CACHED_FOR: f64 = 1.0;
/// Ratio of calls in health that end before the time from which on a call is late.
const LATE: f64 = 0.95;

/// Levee's breaker.
#[derive(Debug)]
pub struct Levee {
    rng: SmallRng,
    faults: Faults,
    store: Store,
    rate: Rate,
    baseline: Baseline,
    environments: Vec<Environment>,
}

#[derive(Debug, Clone)]
struct Environment {
    state: BreakerState,
    known_at: f64,
    local: Local,
    /// Account of the call that is being served.
    account: u32,
}

impl Levee {
    /// Creates the design for a fleet as in `settings`.
    pub fn new(settings: &Settings) -> Self {
        let environment = Environment { state: BreakerState::new(), known_at: -9.0, local: Local::new(), account: 0 };
        Self {
            rng: SmallRng::seed_from_u64(settings.seed ^ 0xabcd),
            faults: settings.faults.clone(),
            store: Store::new(BreakerConfig::default()),
            rate: Rate::default(),
            baseline: Baseline::new(),
            environments: vec![environment; settings.environments],
        }
    }

    /// Returns the present state of the provider's breaker.
    pub fn state(&self) -> &BreakerState {
        self.store.state()
    }

    fn store_is_gone(&self, at: f64) -> bool {
        self.faults.store_is_gone.as_ref().is_some_and(|gone| gone.contains(&at))
    }

    /// Returns the time by an environment's clock.
    fn clock(&self, at: f64, environment: usize) -> Timestamp {
        let ahead = if environment.is_multiple_of(2) { self.faults.skew } else { -self.faults.skew };
        Timestamp::from_millis(((at + ahead).max(0.0) * 1000.0) as u64)
    }

    fn moment(&mut self, at: f64, environment: usize) -> Moment {
        Moment { at, now: self.clock(at, environment), rate: self.rate.a_second(), jitter: self.rng.random() }
    }

    fn report(&mut self, at: f64, environment: usize, ticket: Ticket, seen: Seen) {
        let now = self.clock(at, environment);
        // The environment's own breaker gets each result, the store too if it is there.
        if seen == Seen::Good || seen == Seen::Bad {
            self.environments[environment].local.record(seen == Seen::Good, now);
        }
        if self.store_is_gone(at) {
            self.store.forget();
            return;
        }
        let account = self.environments[environment].account;
        let is_probe = self.store.state().mode == Mode::Probe;
        let report = Report { environment, account, generation: ticket.0, is_probe, seen };
        let moment = self.moment(at, environment);
        self.store.report(report, moment);
        self.learn(at, environment);
    }

    fn learn(&mut self, at: f64, environment: usize) {
        let known = &mut self.environments[environment];
        known.state.clone_from(self.store.state());
        known.known_at = at;
    }
}

impl Design for Levee {
    fn admit(&mut self, at: f64, environment: usize, id: u64) -> Option<Ticket> {
        self.rate.count(at);
        self.environments[environment].account = account(id);
        let is_gone = self.store_is_gone(at);
        // Evaluate if that is due, and refresh a state that is too old.
        if !is_gone {
            let moment = self.moment(at, environment);
            self.store.evaluate(moment);
            if at - self.environments[environment].known_at > CACHED_FOR {
                self.learn(at, environment);
            }
        }
        // Let the call through by its place, its environment's breaker and the decision.
        let now = self.clock(at, environment);
        let Environment { state, local, .. } = self.environments[environment].clone();
        let floor = f64::from(floor(self.rate.a_second(), self.store.config()).basis_points()) / 10_000.0;
        let share = f64::from(state.share.basis_points()) / 10_000.0;
        let passes = match state.mode {
            // Without the store no decisions are made, so the floor is let through after the pause.
            Mode::Open | Mode::Probe if is_gone => now >= state.not_before && place(id) < floor,
            Mode::Open => false,
            Mode::Probe => self.store.state().mode == Mode::Probe && self.store.take_probe(at),
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
        // Learn latencies in health and from probes.
        let is_late = self.looks_after().is_some_and(|after| result.latency > after);
        if matches!(self.store.state().mode, Mode::Closed | Mode::Probe) && !result.is_error {
            self.baseline.add(result.latency);
        }
        if !result.is_error && !is_late {
            self.report(at, environment, ticket, Seen::OnTime);
        }
        // A slow call was counted at the moment it became slow.
        if !result.is_slow {
            self.report(at, environment, ticket, if result.is_error { Seen::Bad } else { Seen::Good });
        }
    }

    fn share(&self) -> f64 {
        f64::from(self.store.state().share.basis_points()) / 10_000.0
    }

    fn transitions(&self) -> u32 {
        self.store.transitions()
    }
}

/// Latencies of calls in health: counts by latency classes, each a tenth longer than the one before. Old ones fade.
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
