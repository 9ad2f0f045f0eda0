//! Outlier detection with a panic threshold, as in Envoy. Five failures in a row eject a provider for 30 s times its
//! number of ejections, which falls by one for each 10 s without ejection. While less than half of the providers are
//! left, all of them are tried. The whole fleet has one view, and all providers may be ejected
//! (`max_ejection_percent` is 100).

use super::{Answer, Lists, Router};
use crate::goodput::fleet::{Call, Settings};

const IN_A_ROW: u32 = 5;
const EJECTED_FOR: f64 = 30.0;
const LONGEST: f64 = 300.0;
/// Time without ejection after which one ejection is forgotten, in seconds.
const FORGETS_EVERY: f64 = 10.0;

/// Router with outlier detection.
#[derive(Debug)]
pub struct Panic {
    providers: Vec<Provider>,
    lists: Lists,
}

#[derive(Debug, Clone, Copy, Default)]
struct Provider {
    failures: u32,
    ejections: u32,
    is_ejected: bool,
    until: f64,
    forgets_at: f64,
}

impl Panic {
    /// Creates the router for `settings`.
    pub fn new(settings: &Settings) -> Self {
        Self { providers: vec![Provider::default(); settings.providers], lists: Lists::default() }
    }
}

impl Router for Panic {
    fn begin(&mut self, at: f64, call: Call) {
        // End ejections that are over, and forget old ones.
        for provider in &mut self.providers {
            if provider.is_ejected && provider.until <= at {
                (provider.is_ejected, provider.failures, provider.forgets_at) = (false, 0, at + FORGETS_EVERY);
            }
            while !provider.is_ejected && provider.ejections > 0 && provider.forgets_at <= at {
                provider.ejections -= 1;
                provider.forgets_at += FORGETS_EVERY;
            }
        }
        // Try the providers that are left, or all of them below the panic threshold.
        let is_there = |index: &usize| !self.providers[*index].is_ejected;
        let there: Vec<usize> = (0..self.providers.len()).filter(is_there).collect();
        if there.len() * 2 < self.providers.len() {
            self.lists.begin(call, 0..self.providers.len());
        } else {
            self.lists.begin(call, there);
        }
    }

    fn next(&mut self, _at: f64, call: Call) -> Option<usize> {
        self.lists.next(call)
    }

    fn answered(&mut self, at: f64, _call: Call, provider: usize, answer: Answer) {
        let provider = &mut self.providers[provider];
        if answer == Answer::Served {
            provider.failures = 0;
            return;
        }
        provider.failures += 1;
        if provider.failures >= IN_A_ROW && !provider.is_ejected {
            provider.ejections += 1;
            (provider.is_ejected, provider.failures) = (true, 0);
            provider.until = at + LONGEST.min(EJECTED_FOR * f64::from(provider.ejections));
        }
    }

    fn end(&mut self, _at: f64, call: Call) {
        self.lists.end(call);
    }
}
