//! Client-side throttling, as in "Handling Overload" of Google's "Site Reliability Engineering". A provider is
//! skipped with probability max(0, (requests - 2 accepts) / (requests + 1)) over the calls of the last two minutes.
//! The whole fleet has one view.

use std::collections::VecDeque;

use rand::rngs::SmallRng;
use rand::{RngExt, SeedableRng};

use super::{Answer, Lists, Router};
use crate::goodput::fleet::{Call, Settings};

const OVER: f64 = 120.0;
const K: f64 = 2.0;

/// Router with client-side throttling.
#[derive(Debug)]
pub struct Throttling {
    rng: SmallRng,
    providers: Vec<Provider>,
    lists: Lists,
}

#[derive(Debug, Clone, Default)]
struct Provider {
    requests: VecDeque<f64>,
    accepts: VecDeque<f64>,
}

impl Provider {
    fn rejects_with(&mut self, at: f64) -> f64 {
        for times in [&mut self.requests, &mut self.accepts] {
            while times.front().is_some_and(|then| *then < at - OVER) {
                times.pop_front();
            }
        }
        let (requests, accepts) = (self.requests.len() as f64, self.accepts.len() as f64);
        ((requests - K * accepts) / (requests + 1.0)).max(0.0)
    }
}

impl Throttling {
    /// Creates the router for `settings`.
    pub fn new(settings: &Settings) -> Self {
        Self {
            rng: SmallRng::seed_from_u64(settings.seed ^ 0x5e5e),
            providers: vec![Provider::default(); settings.providers],
            lists: Lists::default(),
        }
    }
}

impl Router for Throttling {
    fn begin(&mut self, _at: f64, call: Call) {
        self.lists.begin(call, 0..self.providers.len());
    }

    fn next(&mut self, at: f64, call: Call) -> Option<usize> {
        loop {
            let index = self.lists.next(call)?;
            let provider = &mut self.providers[index];
            let is_rejected = self.rng.random::<f64>() < provider.rejects_with(at);
            if !is_rejected {
                return Some(index);
            }
            // A rejected call counts as a request too.
            provider.requests.push_back(at);
        }
    }

    fn answered(&mut self, at: f64, _call: Call, provider: usize, answer: Answer) {
        // Requests are counted at their end: otherwise a starting fleet, without results yet, would look like an
        // outage.
        self.providers[provider].requests.push_back(at);
        if answer == Answer::Served {
            self.providers[provider].accepts.push_back(at);
        }
    }

    fn end(&mut self, _at: f64, call: Call) {
        self.lists.end(call);
    }
}
