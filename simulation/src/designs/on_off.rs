//! Design of resilience4j, but with one window for all environments. The circuit opens for 30 s if half of at least
//! 20 calls within 60 s are bad or slow. Ten probes decide; after that all traffic is back at once.

use std::collections::VecDeque;

use crate::design::{Design, Result, Ticket};
use crate::world::Settings;

const WINDOW: f64 = 60.0;
const FEWEST: usize = 20;
const PAUSE: f64 = 30.0;
/// Ticket of a probe.
const PROBES: usize = 10;
const CACHED_FOR: f64 = 1.0;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stand {
    Closed,
    Open,
    HalfOpen,
}

/// The ticket of a probe.
const PROBE: Ticket = Ticket(1);

/// Breaker with a sliding window and two states.
#[derive(Debug)]
pub struct OnOff {
    window: VecDeque<(f64, bool)>,
    stand: Stand,
    opened_at: f64,
    probes: usize,
    results: Vec<bool>,
    cached: Vec<(Stand, f64)>,
    transitions: u32,
}

impl OnOff {
    /// Creates the design for a fleet as in `settings`.
    pub fn new(settings: &Settings) -> Self {
        Self {
            window: VecDeque::new(),
            stand: Stand::Closed,
            opened_at: 0.0,
            probes: 0,
            results: Vec::new(),
            cached: vec![(Stand::Closed, -9.0); settings.environments],
            transitions: 0,
        }
    }

    fn open(&mut self, at: f64) {
        (self.stand, self.opened_at) = (Stand::Open, at);
        self.transitions += 1;
    }
}

impl Design for OnOff {
    fn admit(&mut self, at: f64, environment: usize, _id: u64) -> Option<Ticket> {
        // The circuit becomes half-open after the pause.
        if self.stand == Stand::Open && at >= self.opened_at + PAUSE {
            (self.stand, self.probes) = (Stand::HalfOpen, 0);
            self.results.clear();
            self.transitions += 1;
        }
        // Each environment caches the shared state for a second.
        let cached = &mut self.cached[environment];
        if at - cached.1 > CACHED_FOR {
            *cached = (self.stand, at);
        }
        if self.stand == Stand::HalfOpen {
            let may_probe = self.probes < PROBES;
            self.probes += usize::from(may_probe);
            return may_probe.then_some(PROBE);
        }
        (cached.0 == Stand::Closed).then(Ticket::default)
    }

    fn done(&mut self, at: f64, _environment: usize, ticket: Ticket, result: Result) {
        let is_bad = result.is_error || result.is_slow;
        if self.stand == Stand::HalfOpen && ticket == PROBE {
            self.results.push(is_bad);
            if self.results.len() < PROBES {
                return;
            }
            // All probes are back: half of them bad opens the circuit again.
            if self.results.iter().filter(|bad| **bad).count() * 2 >= PROBES {
                self.open(at);
            } else {
                self.stand = Stand::Closed;
                self.transitions += 1;
                self.window.clear();
            }
        } else if self.stand == Stand::Closed {
            self.window.push_back((at, is_bad));
            while self.window.front().is_some_and(|(then, _)| *then < at - WINDOW) {
                self.window.pop_front();
            }
            let bad = self.window.iter().filter(|(_, bad)| *bad).count();
            if self.window.len() >= FEWEST && bad * 2 >= self.window.len() {
                self.open(at);
            }
        }
    }

    fn share(&self) -> f64 {
        if self.stand == Stand::Closed { 1.0 } else { 0.0 }
    }

    fn transitions(&self) -> u32 {
        self.transitions
    }
}
