//! What waits to be written: a bounded map from fingerprint and minute to one breadcrumb with a count.
//!
//! The first of equal errors of a minute is due at once. Those after it raise a count, which is due when the minute is
//! over. A write that was begun is repeated unchanged until it is known to have succeeded: it may have been carried out
//! although its answer was lost, and the table knows it again by its [`Mark`].

use std::collections::BTreeMap;

use super::fingerprint::Position;
use super::{Breadcrumb, Severity};
use crate::clock::Timestamp;

/// The most breadcrumbs that are held.
pub(super) const CAPACITY: usize = 256;
/// The most requests of a row that are remembered besides the first.
pub(super) const MORE_REQUESTS: usize = 4;

/// What waits to be written.
#[derive(Debug)]
pub(super) struct Buffer {
    function: &'static str,
    environment: u32,
    sequence: u64,
    entries: BTreeMap<Position, Entry>,
    /// Distinct errors that there was no room for, not yet reported.
    dropped: u64,
}

/// One row as far as this environment has a part in it.
#[derive(Debug)]
struct Entry {
    /// Its count is what no write holds yet.
    breadcrumb: Breadcrumb,
    /// A write that was begun and is not known to have succeeded.
    begun: Option<Begun>,
    /// Somebody is writing it right now.
    is_out: bool,
    /// The row has been written in this minute, so that repeats can wait.
    is_written: bool,
}

#[derive(Debug, Clone)]
struct Begun {
    sequence: u64,
    count: u64,
    last_at: u64,
    more_request_ids: Vec<String>,
}

/// What one write is told apart by: the environment, and a number that grows with each of its writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Mark {
    pub(super) environment: u32,
    pub(super) sequence: u64,
}

/// One write: adds the breadcrumb's count to its row, unless a write of this mark has done so.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Write {
    pub(super) position: Position,
    pub(super) mark: Mark,
    pub(super) breadcrumb: Breadcrumb,
}

/// Which breadcrumbs are to be written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Due {
    /// First ones, repeats whose minute is over, and what failed before.
    Ripe,
    /// Repeats of the current minute as well.
    All,
}

impl Buffer {
    /// An empty buffer of an environment of `function`.
    pub(super) fn new(function: &'static str, environment: u32) -> Self {
        Self { function, environment, sequence: 0, entries: BTreeMap::new(), dropped: 0 }
    }

    /// Takes in a breadcrumb. When there is no room, one that equals another, of whatever minute, is counted with that
    /// one; only a different one is dropped.
    pub(super) fn add(&mut self, breadcrumb: Breadcrumb) {
        let position = Position::of(&breadcrumb);
        if let Some(entry) = self.entries.get_mut(&position) {
            entry.repeat(&breadcrumb);
            return;
        }
        if self.entries.len() >= CAPACITY {
            self.forget_one();
        }
        if self.entries.len() < CAPACITY {
            self.entries.insert(position, Entry::new(breadcrumb));
        } else if let Some(entry) = self.of_any_minute(position) {
            entry.repeat(&breadcrumb);
        } else {
            self.dropped = self.dropped.saturating_add(breadcrumb.count);
        }
    }

    /// How many breadcrumbs wait to be written.
    pub(super) fn waiting(&self) -> usize {
        self.entries.values().filter(|entry| !entry.is_clean()).count()
    }

    /// Whether somebody is writing something right now.
    pub(super) fn is_any_out(&self) -> bool {
        self.entries.values().any(|entry| entry.is_out)
    }

    /// Hands out the writes that are due. Each must be [settled](Self::settle) or [given back](Self::give_back).
    pub(super) fn due(&mut self, due: Due, now: Timestamp) -> Vec<Write> {
        self.report_dropped(now);
        let minute = now.as_secs() / 60;
        // A breadcrumb of another minute gets no repeats any more, and need not be remembered as written.
        self.entries.retain(|position, entry| position.minute == minute || !entry.is_clean());
        let all = due == Due::All || self.entries.len() >= CAPACITY;
        let (environment, sequence) = (self.environment, &mut self.sequence);
        let writes = self.entries.iter_mut().filter_map(|(&position, entry)| {
            let begun = entry.begin(all || position.minute != minute, sequence)?;
            let Begun { sequence, count, last_at, more_request_ids } = begun;
            let breadcrumb = Breadcrumb { count, last_at, more_request_ids, ..entry.breadcrumb.clone() };
            Some(Write { position, mark: Mark { environment, sequence }, breadcrumb })
        });
        writes.collect()
    }

    /// A write that was handed out has succeeded.
    pub(super) fn settle(&mut self, write: &Write) {
        if let Some(entry) = self.out(write) {
            entry.begun = None;
            entry.is_out = false;
            entry.is_written = true;
        }
    }

    /// A write that was handed out has failed, or nobody knows. Does nothing for one that is settled.
    pub(super) fn give_back(&mut self, write: &Write) {
        if let Some(entry) = self.out(write) {
            entry.is_out = false;
        }
    }

    fn out(&mut self, write: &Write) -> Option<&mut Entry> {
        let is_this =
            |entry: &&mut Entry| entry.begun.as_ref().is_some_and(|begun| begun.sequence == write.mark.sequence);
        self.entries.get_mut(&write.position).filter(is_this)
    }

    /// Makes room by forgetting that a breadcrumb has been written: its next repeat is written at once.
    fn forget_one(&mut self) {
        let clean = self.entries.iter().find(|(_, entry)| entry.is_clean()).map(|(position, _)| *position);
        if let Some(position) = clean {
            self.entries.remove(&position);
        }
    }

    fn of_any_minute(&mut self, position: Position) -> Option<&mut Entry> {
        self.entries.iter_mut().rev().find(|(at, _)| at.fingerprint == position.fingerprint).map(|(_, entry)| entry)
    }

    /// Makes a breadcrumb of what was dropped. There is always room for one.
    fn report_dropped(&mut self, now: Timestamp) {
        if self.dropped == 0 {
            return;
        }
        let breadcrumb = Breadcrumb {
            first_at: now.as_millis(),
            last_at: now.as_millis(),
            function: self.function.to_owned(),
            severity: Severity::Warning,
            code: "breadcrumbs.dropped".to_owned(),
            message: "so many errors were dropped, as too many different ones were waiting to be written".to_owned(),
            request_id: None,
            more_request_ids: Vec::new(),
            account: None,
            connection: None,
            count: std::mem::take(&mut self.dropped),
        };
        let position = Position::of(&breadcrumb);
        match self.of_any_minute(position) {
            Some(entry) if !entry.is_clean() => entry.repeat(&breadcrumb),
            _ => match self.entries.get_mut(&position) {
                Some(entry) => entry.repeat(&breadcrumb),
                None => drop(self.entries.insert(position, Entry::new(breadcrumb))),
            },
        }
    }
}

impl Entry {
    fn new(breadcrumb: Breadcrumb) -> Self {
        Self { breadcrumb, begun: None, is_out: false, is_written: false }
    }

    /// Whether nothing of it waits to be written.
    fn is_clean(&self) -> bool {
        self.breadcrumb.count == 0 && self.begun.is_none()
    }

    fn repeat(&mut self, breadcrumb: &Breadcrumb) {
        self.breadcrumb.count = self.breadcrumb.count.saturating_add(breadcrumb.count);
        self.breadcrumb.first_at = self.breadcrumb.first_at.min(breadcrumb.first_at);
        self.breadcrumb.last_at = self.breadcrumb.last_at.max(breadcrumb.last_at);
        if let Some(id) = &breadcrumb.request_id {
            self.remember(id);
        }
    }

    /// Remembers a request besides the first, in place of the oldest one of too many.
    fn remember(&mut self, id: &str) {
        if self.breadcrumb.request_id.as_deref() == Some(id) {
            return;
        }
        let more = &mut self.breadcrumb.more_request_ids;
        more.retain(|other| other != id);
        if more.len() == MORE_REQUESTS {
            more.remove(0);
        }
        more.push(id.to_owned());
    }

    /// The write that is to be made now, if any: the one that was begun, or a new one.
    fn begin(&mut self, with_repeats: bool, sequence: &mut u64) -> Option<Begun> {
        if self.is_out {
            return None;
        }
        let is_ripe = self.breadcrumb.count > 0 && (with_repeats || !self.is_written);
        if self.begun.is_none() && is_ripe {
            *sequence += 1;
            let count = std::mem::take(&mut self.breadcrumb.count);
            let Breadcrumb { last_at, more_request_ids, .. } = &self.breadcrumb;
            let (last_at, more_request_ids) = (*last_at, more_request_ids.clone());
            self.begun = Some(Begun { sequence: *sequence, count, last_at, more_request_ids });
        }
        self.is_out = self.begun.is_some();
        self.begun.clone()
    }
}

#[cfg(test)]
pub(super) mod tests;
