//! Share of the traffic by two sliding windows over all environments' results: 5 s for outages, 30 s for errors. Slow
//! calls count as soon as they are slow. The share is halved and comes back by a ladder. Probes are limited to one a
//! second, and a provider that was often opened comes back slowly. This is the published recommendation that
//! [`levee`](super::levee) started from.

use std::collections::VecDeque;

use levee_core::breaker::suspicion::bounds;
use rand::rngs::SmallRng;
use rand::{RngExt, SeedableRng};

use crate::design::{Design, Result, Ticket, place};
use crate::world::Settings;

const LADDER: [f64; 5] = [0.05, 0.10, 0.25, 0.50, 1.0];
const SOFT: f64 = 0.15;
const HARD: f64 = 0.50;
const DWELL: f64 = 10.0;
const CACHED_FOR: f64 = 1.0;
const BURST: f64 = 2.0;
/// Time over which arrivals are counted, in seconds.
const RATE_OVER: f64 = 20.0;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mode {
    Closed,
    Shed,
    Open,
    Probe,
    Ramp,
}

/// Breaker with a share by sliding windows.
#[derive(Debug)]
pub struct Windowed {
    rng: SmallRng,
    mode: Mode,
    share: f64,
    generation: u64,
    since: f64,
    not_before: f64,
    penalty: (f64, f64),
    results: VecDeque<(f64, bool)>,
    next_evaluation: f64,
    transitions: u32,
    failed_rounds: f64,
    cached: Vec<(f64, Mode, f64)>,
    tokens: (f64, f64),
    arrivals: VecDeque<f64>,
}

impl Windowed {
    /// Creates the design for a fleet as in `settings`.
    pub fn new(settings: &Settings) -> Self {
        Self {
            rng: SmallRng::seed_from_u64(settings.seed ^ 0xabcd),
            mode: Mode::Closed,
            share: 1.0,
            generation: 0,
            since: 0.0,
            not_before: 0.0,
            penalty: (0.0, 0.0),
            results: VecDeque::new(),
            next_evaluation: 0.0,
            transitions: 0,
            failed_rounds: 0.0,
            cached: vec![(1.0, Mode::Closed, -9.0); settings.environments],
            tokens: (0.0, 0.0),
            arrivals: VecDeque::new(),
        }
    }

    fn go(&mut self, at: f64, mode: Mode, share: f64) {
        if (mode, share) != (self.mode, self.share) {
            self.transitions += 1;
            self.generation += 1;
            self.results.clear();
            self.since = at;
        }
        (self.mode, self.share) = (mode, share);
    }

    fn penalty(&mut self, at: f64, more: f64) -> f64 {
        let (points, then) = self.penalty;
        self.penalty = (points * 0.5f64.powf((at - then) / 300.0) + more, at);
        self.penalty.0
    }

    fn open(&mut self, at: f64, is_fresh: bool) {
        if is_fresh {
            self.penalty(at, 1.0);
            self.failed_rounds = 0.0;
        } else {
            self.failed_rounds += 1.0;
        }
        let doublings = self.failed_rounds + (self.penalty(at, 0.0) - 1.0).max(0.0);
        let pause = (5.0 * 2f64.powf(doublings)).min(60.0);
        self.not_before = at + pause * (0.8 + 0.4 * self.rng.random::<f64>());
        self.go(at, Mode::Open, 0.0);
    }

    /// Returns the results, and the bad ones among them, of the last `age` seconds. If these are fewer than `fewest`,
    /// it looks further back, to `oldest` seconds.
    fn count(&self, at: f64, age: f64, fewest: u32, oldest: f64) -> (u32, u32) {
        let (mut results, mut bad) = (0, 0);
        for (then, is_bad) in self.results.iter().rev() {
            if *then < at - age && (results >= fewest || *then < at - oldest) {
                break;
            }
            results += 1;
            bad += u32::from(*is_bad);
        }
        (results, bad)
    }

    fn evaluate(&mut self, at: f64) {
        if at < self.next_evaluation {
            return;
        }
        // At most once a second, drop results that are too old, and judge the rest.
        self.next_evaluation = at + 1.0;
        let kept_for = if matches!(self.mode, Mode::Closed | Mode::Open) { 60.0 } else { 300.0 };
        while self.results.front().is_some_and(|(then, _)| *then < at - kept_for) {
            self.results.pop_front();
        }
        let (all, all_bad) = self.count(at, f64::MAX, 0, f64::MAX);
        let (lower, upper) = bounds(all_bad, all);
        let ratio = f64::from(all_bad) / f64::from(all.max(1));
        match self.mode {
            Mode::Open if at >= self.not_before => self.go(at, Mode::Probe, 0.0),
            Mode::Open => {}
            // A round of probes fails early on clear results, and succeeds with five good or ten mostly good ones.
            Mode::Probe if all >= 2 && lower > 0.30 => self.open(at, false),
            Mode::Probe if (all >= 5 && all_bad == 0) || (all >= 10 && upper < 0.40) => {
                self.go(at, Mode::Ramp, LADDER[0]);
                self.failed_rounds = 0.0;
            }
            Mode::Probe if all >= 10 && ratio > 0.25 => self.open(at, false),
            Mode::Probe => {}
            Mode::Closed | Mode::Shed | Mode::Ramp => {
                // Judge by the short window and by the long one, each extended if it has few results.
                let (fast, fast_bad) = self.count(at, 5.0, 10, 60.0);
                let (steady, steady_bad) = self.count(at, 30.0, 20, 300.0);
                let (fast_lower, steady_lower) = (bounds(fast_bad, fast).0, bounds(steady_bad, steady).0);
                // Mostly bad: open the circuit.
                if fast_lower > HARD && fast >= 5 {
                    self.open(at, true);
                    return;
                }
                // Too many bad results: halve the share, or open the circuit below the smallest share.
                let is_soft = (fast_lower > 2.0 * SOFT && fast >= 10) || (steady_lower > SOFT && steady >= 20);
                if is_soft && at - self.since >= 2.0 {
                    let share = self.share * 0.5;
                    if share < LADDER[0] {
                        self.open(at, true)
                    } else {
                        self.go(at, Mode::Shed, share)
                    }
                    return;
                }
                if self.mode == Mode::Closed {
                    return;
                }
                // Clean results for long enough: take the next step of the ladder.
                let dwell = DWELL * (1.0 + (self.penalty(at, 0.0) - 1.0).clamp(0.0, 4.0));
                let is_clean = all_bad == 0 || (upper < SOFT + 0.15 && ratio < SOFT * 0.7);
                if at - self.since >= dwell && all >= 10 && is_clean {
                    let next = LADDER.into_iter().find(|step| *step > self.share + 1e-9).unwrap_or(1.0);
                    self.go(at, if next >= 1.0 { Mode::Closed } else { Mode::Ramp }, next);
                }
            }
        }
    }

    fn take_token(&mut self, at: f64) -> bool {
        let (tokens, then) = self.tokens;
        let tokens = BURST.min(tokens + (at - then));
        let is_there = tokens >= 1.0;
        self.tokens = (if is_there { tokens - 1.0 } else { tokens }, at);
        is_there
    }
}

impl Design for Windowed {
    fn admit(&mut self, at: f64, environment: usize, id: u64) -> Option<Ticket> {
        self.arrivals.push_back(at);
        while self.arrivals.front().is_some_and(|then| *then < at - RATE_OVER) {
            self.arrivals.pop_front();
        }
        self.evaluate(at);
        // Each environment caches the decision for a second.
        let cached = &mut self.cached[environment];
        if at - cached.2 > CACHED_FOR {
            *cached = (self.share, self.mode, at);
        }
        let (share, mode, _) = *cached;
        // A share lets calls through by their place, but at least one a second or half of all; probes need a token.
        let rate = (self.arrivals.len() as f64 / RATE_OVER).max(1e-3);
        let passes = match mode {
            Mode::Open => false,
            Mode::Probe => self.mode == Mode::Probe && self.take_token(at),
            Mode::Closed => place(id) < share,
            Mode::Shed | Mode::Ramp => place(id) < share.max(0.5f64.min(1.0 / rate)),
        };
        passes.then_some(Ticket(self.generation))
    }

    fn slow(&mut self, at: f64, _environment: usize, ticket: Ticket) {
        if ticket.0 == self.generation {
            self.results.push_back((at, true));
        }
    }

    fn done(&mut self, at: f64, _environment: usize, ticket: Ticket, result: Result) {
        if ticket.0 == self.generation && !result.is_slow {
            self.results.push_back((at, result.is_error));
        }
    }

    fn share(&self) -> f64 {
        self.share
    }

    fn transitions(&self) -> u32 {
        self.transitions
    }
}
