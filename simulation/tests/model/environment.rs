//! One environment, step by step as in `breakers.rs`.

use std::cell::Cell;

use levee_core::breaker::protocol::{Reconciliation, reconcile};

use crate::decision::{Decision, News, moment};
use crate::rules::Rules;

/// Content of Redis: a decision, and true if DynamoDB is known to have it.
pub type Mirrored = Option<(Decision, bool)>;

/// Write to DynamoDB.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Write {
    /// Decision to write.
    pub to: Decision,
    /// Decision that it replaces.
    pub from: Decision,
    /// True for the second attempt.
    pub is_again: bool,
}

/// Next step of an environment.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Phase {
    /// Nothing.
    Idle,
    /// Reads the decision from DynamoDB.
    Reads,
    /// Writes to DynamoDB.
    Writes(Write),
    /// Puts a decision into Redis, with true if DynamoDB has it.
    Puts(Decision, bool),
}

/// Environment of a function.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Environment {
    /// Next step.
    pub phase: Phase,
    known: Decision,
    mirrored: Mirrored,
    news: Option<News>,
}

impl Environment {
    /// Creates an environment that has just started.
    pub fn new() -> Self {
        Self { phase: Phase::Idle, known: Decision::fresh(), mirrored: None, news: None }
    }

    /// Reads Redis, which may ask to compare with DynamoDB and to evaluate `news`.
    pub fn look(&mut self, me: &Me, mirrored: &Mirrored, asks_truth: bool, news: Option<News>) {
        (self.mirrored, self.news) = (mirrored.clone(), news);
        match mirrored.clone().filter(|_| !asks_truth) {
            None => self.phase = Phase::Reads,
            Some((state, _)) => self.evaluate(me, state),
        }
    }

    /// Handles DynamoDB's reply to a read, or its absence.
    pub fn compare(&mut self, me: &Me, truth: Option<&Decision>) {
        let is_lost = self.mirrored.is_none();
        let (known, is_saved) = self.mirrored.clone().unwrap_or_else(|| (self.known.clone(), false));
        let Some(truth) = truth else {
            if is_lost {
                self.phase = Phase::Puts(known, false);
            } else {
                self.evaluate(me, known);
            }
            return;
        };
        self.phase = match reconcile(&truth.0, &known.0, is_saved) {
            Reconciliation::Agreed if is_lost || !is_saved => Phase::Puts(truth.clone(), true),
            Reconciliation::Agreed => return self.evaluate(me, known),
            Reconciliation::Mirror(state) => Phase::Puts(Decision(state), true),
            Reconciliation::Write(_) if me.rules.never_mends => return self.evaluate(me, known),
            Reconciliation::Write(state) => {
                Phase::Writes(Write { to: Decision(state), from: truth.clone(), is_again: false })
            }
        };
    }

    /// Adopts the decision that holds, and makes the next one if there is evidence for it.
    fn evaluate(&mut self, me: &Me, state: Decision) {
        let is_it = self.mirrored.as_ref().is_some_and(|(mirrored, _)| *mirrored == state);
        let news = self.news.take().filter(|_| is_it);
        self.phase = match news.and_then(|news| state.next(news, moment(me.ticks.get(), me.is_over))) {
            Some(to) => {
                me.ticks.set(me.ticks.get() + 1);
                Phase::Writes(Write { to, from: state, is_again: false })
            }
            None => {
                self.known = state;
                Phase::Idle
            }
        };
    }

    /// Handles DynamoDB's reply to a write: accepted, refused with the decision that holds, or none.
    pub fn written(&mut self, me: &Me, write: Write, answer: Option<Result<(), Decision>>) {
        self.phase = match answer {
            Some(Ok(())) => Phase::Puts(write.to, true),
            Some(Err(_)) if me.rules.loser_insists => Phase::Puts(write.to, true),
            Some(Err(other)) if write.is_again => Phase::Puts(other, true),
            Some(Err(other)) => match reconcile(&other.0, &write.to.0, false) {
                Reconciliation::Agreed => Phase::Puts(write.to, true),
                Reconciliation::Mirror(winner) => Phase::Puts(Decision(winner), true),
                Reconciliation::Write(to) => Phase::Writes(Write { to: Decision(to), from: other, is_again: true }),
            },
            None => Phase::Puts(write.to, false),
        };
    }

    /// Handles a write to Redis, in which `holds` now, as far as known.
    pub fn put(&mut self, me: &Me, holds: Decision) {
        self.evaluate(me, holds);
    }
}

/// Inputs of an environment's steps.
#[derive(Debug)]
pub struct Me {
    /// Number of decisions so far.
    pub ticks: Cell<u64>,
    /// True if the override has expired.
    pub is_over: bool,
    /// Rules to follow.
    pub rules: Rules,
}
