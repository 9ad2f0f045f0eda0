//! An environment: what it does step by step, as `breakers.rs` does it.

use std::cell::Cell;

use levee_core::breaker::protocol::{Mend, mend};

use crate::decision::{Decision, News, moment};
use crate::rules::Rules;

/// What Redis has: a decision, and whether DynamoDB is known to have it.
pub type Mirrored = Option<(Decision, bool)>;

/// A write to DynamoDB.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Write {
    /// What is to hold.
    pub to: Decision,
    /// What must hold until then.
    pub from: Decision,
    /// It is the second try.
    pub is_again: bool,
}

/// What comes next.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Phase {
    /// Nothing.
    Idle,
    /// DynamoDB is asked what it has.
    Reads,
    /// DynamoDB is written.
    Writes(Write),
    /// Redis is told of a decision, and whether DynamoDB has it.
    Puts(Decision, bool),
}

/// An environment.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Environment {
    /// What comes next.
    pub phase: Phase,
    known: Decision,
    mirrored: Mirrored,
    news: Option<News>,
}

impl Environment {
    /// One that has just begun.
    pub fn new() -> Self {
        Self { phase: Phase::Idle, known: Decision::fresh(), mirrored: None, news: None }
    }

    /// It has seen what Redis has. Redis may ask it to compare that, and to evaluate `news`.
    pub fn look(&mut self, me: &Me, mirrored: &Mirrored, asks_truth: bool, news: Option<News>) {
        (self.mirrored, self.news) = (mirrored.clone(), news);
        match mirrored.clone().filter(|_| !asks_truth) {
            None => self.phase = Phase::Reads,
            Some((state, _)) => self.evaluate(me, state),
        }
    }

    /// DynamoDB has told what it has, or nothing.
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
        self.phase = match mend(&truth.0, &known.0, is_saved) {
            Mend::Agreed if is_lost || !is_saved => Phase::Puts(truth.clone(), true),
            Mend::Agreed => return self.evaluate(me, known),
            Mend::Mirror(state) => Phase::Puts(Decision(state), true),
            Mend::Write(_) if me.rules.never_mends => return self.evaluate(me, known),
            Mend::Write(state) => Phase::Writes(Write { to: Decision(state), from: truth.clone(), is_again: false }),
        };
    }

    /// It knows what holds, and makes the next decision if it is to.
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

    /// DynamoDB has taken the write, or told what it has instead, or nothing is known of it.
    pub fn written(&mut self, me: &Me, write: Write, answer: Option<Result<(), Decision>>) {
        self.phase = match answer {
            Some(Ok(())) => Phase::Puts(write.to, true),
            Some(Err(_)) if me.rules.loser_insists => Phase::Puts(write.to, true),
            Some(Err(other)) if write.is_again => Phase::Puts(other, true),
            Some(Err(other)) => match mend(&other.0, &write.to.0, false) {
                Mend::Agreed => Phase::Puts(write.to, true),
                Mend::Mirror(winner) => Phase::Puts(Decision(winner), true),
                Mend::Write(to) => Phase::Writes(Write { to: Decision(to), from: other, is_again: true }),
            },
            None => Phase::Puts(write.to, false),
        };
    }

    /// Redis has been told, and `holds` now, as far as is known here.
    pub fn put(&mut self, me: &Me, holds: Decision) {
        self.evaluate(me, holds);
    }
}

/// What an environment goes by.
#[derive(Debug)]
pub struct Me {
    /// How many decisions were made.
    pub ticks: Cell<u64>,
    /// Whether the time of the admin's word is over.
    pub is_over: bool,
    /// The rules.
    pub rules: Rules,
}
