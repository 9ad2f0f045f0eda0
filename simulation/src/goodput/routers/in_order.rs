//! No breaker: every call tries one provider after the other.

use super::{Answer, Lists, Router};
use crate::goodput::fleet::{Call, Settings};

/// Router without a breaker.
#[derive(Debug)]
pub struct InOrder {
    providers: usize,
    lists: Lists,
}

impl InOrder {
    /// Creates the router for `settings`.
    pub fn new(settings: &Settings) -> Self {
        Self { providers: settings.providers, lists: Lists::default() }
    }
}

impl Router for InOrder {
    fn begin(&mut self, _at: f64, call: Call) {
        self.lists.begin(call, 0..self.providers);
    }

    fn next(&mut self, _at: f64, call: Call) -> Option<usize> {
        self.lists.next(call)
    }

    fn answered(&mut self, _at: f64, _call: Call, _provider: usize, _answer: Answer) {}

    fn end(&mut self, _at: f64, call: Call) {
        self.lists.end(call);
    }
}
