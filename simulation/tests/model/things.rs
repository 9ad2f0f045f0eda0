//! State of DynamoDB, Redis and two environments, and the effect of each environment's steps.

use std::cell::Cell;
use std::hash::{DefaultHasher, Hash, Hasher};

use levee_core::breaker::Forced;
use levee_core::breaker::protocol::supersedes;

use crate::decision::{Decision, News};
use crate::environment::{Environment, Me, Mirrored, Phase, Write};
use crate::rules::Rules;

/// Limits on the events of a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Budget {
    /// Largest generation to visit.
    pub generations: u64,
    /// Reads of Redis by environments.
    pub looks: u8,
    /// Overrides by the admin.
    pub words: u8,
    /// Reads and writes of DynamoDB that fail, or are delivered late without an answer.
    pub table_faults: u8,
    /// Writes to Redis that are lost or late, and losses of its content.
    pub mirror_faults: u8,
    /// Crashes of environments between two steps.
    pub crashes: u8,
}

/// Outcome of an environment's next step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    /// Success.
    Done,
    /// Failure without effect.
    Lost,
    /// A write in flight: the environment gets no answer, and the write may be delivered after others.
    Late,
}

/// State of the model.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Things {
    pub rules: Rules,
    pub table: Decision,
    pub mirrored: Mirrored,
    pub environments: [Environment; 2],
    pub late_writes: Vec<Write>,
    pub late_puts: Vec<(Decision, bool)>,
    pub left: Budget,
    /// Number of decisions so far.
    pub ticks: u64,
    pub is_over: bool,
    /// Override that should be in force.
    pub said: Option<(u16, u64)>,
    /// Decisions that were ever saved, and that Redis might still get.
    pub history: Vec<Decision>,
    pub has_fallen: bool,
    pub is_unseen: bool,
    pub went_back: bool,
}

impl Things {
    fn me(&self) -> Me {
        Me { ticks: Cell::new(self.ticks), is_over: self.is_over, rules: self.rules }
    }

    pub fn look(&mut self, index: usize, asks_truth: bool, news: Option<News>) {
        let me = self.me();
        self.environments[index].look(&me, &self.mirrored, asks_truth, news);
        self.ticks = me.ticks.get();
    }

    pub fn step(&mut self, index: usize, fate: Fate) {
        let me = self.me();
        let mut environment = self.environments[index].clone();
        match environment.phase.clone() {
            Phase::Idle => {}
            Phase::Reads => environment.compare(&me, (fate == Fate::Done).then_some(&self.table)),
            Phase::Writes(write) => {
                let answer = match fate {
                    Fate::Done => Some(self.write(&write)),
                    Fate::Lost => None,
                    Fate::Late => {
                        self.late_writes.push(write.clone());
                        None
                    }
                };
                environment.written(&me, write, answer);
            }
            Phase::Puts(decision, is_saved) => {
                let holds = match fate {
                    Fate::Done => self.put(&decision, is_saved),
                    Fate::Lost => decision,
                    Fate::Late => {
                        self.late_puts.push((decision.clone(), is_saved));
                        decision
                    }
                };
                environment.put(&me, holds);
            }
        }
        (self.environments[index], self.ticks) = (environment, me.ticks.get());
    }

    /// Writes to DynamoDB as `BreakersTable::write` does.
    pub fn write(&mut self, Write { to, from, .. }: &Write) -> Result<(), Decision> {
        let is_number = self.table.generation() == from.generation();
        let is_it = is_number && (self.rules.goes_by_number || self.table == *from);
        if !is_it && !self.rules.writes_unconditionally {
            return Err(self.table.clone());
        }
        self.is_unseen |= self.table != *from;
        self.replace(to.clone());
        Ok(())
    }

    /// Writes to Redis as put.lua does, and returns the decision that holds after that.
    pub fn put(&mut self, decision: &Decision, is_saved: bool) -> Decision {
        let before = self.mirrored.clone();
        match &mut self.mirrored {
            Some((here, here_is_saved)) if here == decision => *here_is_saved |= is_saved,
            Some((here, here_is_saved))
                if !self.rules.puts_unconditionally
                    && !supersedes((decision.generation(), is_saved), (here.generation(), *here_is_saved)) => {}
            _ => self.mirrored = Some((decision.clone(), is_saved)),
        }
        let rank = |mirrored: &Mirrored| mirrored.as_ref().map(|(decision, saved)| (decision.generation(), *saved));
        self.went_back |= rank(&self.mirrored) < rank(&before);
        self.mirrored.as_ref().map_or(decision, |(holds, _)| holds).clone()
    }

    /// Returns true if Redis and DynamoDB agree in the end, once faults stop, calls are made, and the environment
    /// `first` goes on first.
    pub fn comes_together(&self, first: usize) -> bool {
        let mut things = self.clone();
        for write in std::mem::take(&mut things.late_writes) {
            // No environment waits for its answer.
            drop(things.write(&write));
        }
        for (decision, is_saved) in std::mem::take(&mut things.late_puts) {
            things.put(&decision, is_saved);
        }
        for index in [first, 1 - first, first, 1 - first] {
            things.finish(index);
            things.look(index, true, None);
            things.finish(index);
        }
        let is_said = things.is_over || things.word() == things.said;
        is_said && things.mirrored == Some((things.table, true))
    }

    fn finish(&mut self, index: usize) {
        // Each chain of steps is shorter than that.
        for _ in 0..12 {
            self.step(index, Fate::Done);
        }
    }

    /// Returns the same state with the environments in a fixed order, since they are interchangeable.
    pub fn in_order(&self) -> Self {
        let mut things = self.clone();
        things.environments.sort_by_cached_key(|environment| {
            let mut hasher = DefaultHasher::new();
            environment.hash(&mut hasher);
            hasher.finish()
        });
        things
    }

    pub fn replace(&mut self, to: Decision) {
        self.has_fallen |= to.generation() <= self.table.generation();
        self.history.push(to.clone());
        self.table = to;
    }

    pub fn word(&self) -> Option<(u16, u64)> {
        let forced = self.table.0.forced.as_ref();
        forced.map(|Forced { share, until, .. }| (share.basis_points(), until.as_secs()))
    }
}
