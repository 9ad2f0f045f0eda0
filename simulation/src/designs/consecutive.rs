//! Design of AWS's Powertools for Lambda (Python, 2026). Each environment counts its own errors in a row, and five
//! open the circuit for all. After 30 s one environment sends probes; after three good ones all traffic is back at
//! once.

use crate::design::{Design, Result, Ticket};
use crate::world::Settings;

const ERRORS: u32 = 5;
const PAUSE: f64 = 30.0;
const SUCCESSES: u32 = 3;
const LEASE: f64 = 60.0;
const CACHED_FOR: f64 = 5.0;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stand {
    Closed,
    Open,
    HalfOpen,
}

/// Breaker that opens after errors in a row.
#[derive(Debug)]
pub struct Consecutive {
    runs: Vec<u32>,
    stand: Stand,
    opened_at: f64,
    prober: usize,
    successes: u32,
    lease_until: f64,
    cached: Vec<(Stand, f64)>,
    transitions: u32,
}

impl Consecutive {
    /// Creates the design for a fleet as in `settings`.
    pub fn new(settings: &Settings) -> Self {
        Self {
            runs: vec![0; settings.environments],
            stand: Stand::Closed,
            opened_at: 0.0,
            prober: 0,
            successes: 0,
            lease_until: 0.0,
            cached: vec![(Stand::Closed, -9.0); settings.environments],
            transitions: 0,
        }
    }

    fn probe_by(&mut self, environment: usize, at: f64) {
        (self.prober, self.successes, self.lease_until) = (environment, 0, at + LEASE);
    }
}

impl Design for Consecutive {
    fn admit(&mut self, at: f64, environment: usize, _id: u64) -> Option<Ticket> {
        // Each environment caches the shared state for a while.
        let cached = &mut self.cached[environment];
        if at - cached.1 > CACHED_FOR {
            *cached = (self.stand, at);
        }
        if cached.0 == Stand::Closed {
            return Some(Ticket::default());
        }
        // After the pause the first environment to call becomes the prober.
        if self.stand == Stand::Open && at >= self.opened_at + PAUSE {
            self.stand = Stand::HalfOpen;
            self.cached[environment] = (Stand::HalfOpen, at);
            self.transitions += 1;
            self.probe_by(environment, at);
            return Some(Ticket::default());
        }
        if self.stand != Stand::HalfOpen {
            return None;
        }
        // Another environment takes over if the prober's lease has expired.
        if self.prober != environment {
            if at <= self.lease_until {
                return None;
            }
            self.probe_by(environment, at);
        }
        Some(Ticket::default())
    }

    fn done(&mut self, at: f64, environment: usize, _ticket: Ticket, result: Result) {
        // Half-open: only the prober's results count.
        if self.stand == Stand::HalfOpen && environment == self.prober {
            if result.is_error {
                (self.stand, self.opened_at) = (Stand::Open, at);
                self.transitions += 1;
                return;
            }
            self.successes += 1;
            if self.successes >= SUCCESSES {
                self.stand = Stand::Closed;
                self.transitions += 1;
                self.runs.fill(0);
            }
            return;
        }
        // Otherwise count this environment's errors in a row.
        let run = &mut self.runs[environment];
        *run = if result.is_error { *run + 1 } else { 0 };
        if *run >= ERRORS {
            *run = 0;
            self.transitions += u32::from(self.stand == Stand::Closed);
            (self.stand, self.opened_at) = (Stand::Open, at);
        }
    }

    fn share(&self) -> f64 {
        if self.stand == Stand::Closed { 1.0 } else { 0.0 }
    }

    fn transitions(&self) -> u32 {
        self.transitions
    }
}
