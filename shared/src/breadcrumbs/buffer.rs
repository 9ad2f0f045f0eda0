//! Breadcrumbs that wait to be written: a bounded map from fingerprint and minute to one breadcrumb with a count.
//!
//! The first of equal errors of a minute is due at once. Repeats raise a count, which is due when the minute is
//! over. A write that was begun is repeated unchanged until it is known to have succeeded: it may have been applied
//! although its response was lost, and the table recognizes it by its [`Mark`].

use std::collections::BTreeMap;

use super::fingerprint::Position;
use super::{Breadcrumb, Severity};
use crate::clock::Timestamp;

/// Largest number of breadcrumbs that are held.
pub(super) const CAPACITY: usize = 256;
/// Largest number of requests that a row lists besides the first.
pub(super) const MORE_REQUESTS: usize = 4;

/// Breadcrumbs of one environment that wait to be written.
#[derive(Debug)]
pub(super) struct Buffer {
    function: &'static str,
    environment: u32,
    sequence: u64,
    entries: BTreeMap<Position, BufferEntry>,
    /// Number of errors that were dropped because the buffer was full, and not yet reported.
    dropped: u64,
}

/// This environment's contribution to one row.
#[derive(Debug)]
struct BufferEntry {
    /// The error. Its count covers the occurrences that no write includes yet.
    breadcrumb: Breadcrumb,
    /// Write that was begun and is not known to have succeeded.
    begun: Option<Begun>,
    /// True while a write of this entry is in flight.
    is_out: bool,
    /// True if the row was written in this minute, so that repeats can wait.
    is_written: bool,
}

#[derive(Debug, Clone)]
struct Begun {
    sequence: u64,
    count: u64,
    last_at: u64,
    more_request_ids: Vec<String>,
}

/// Identity of one write: the environment, and a number that grows with each of its writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Mark {
    pub(super) environment: u32,
    pub(super) sequence: u64,
}

/// One write: adds the breadcrumb's count to its row, unless a write with the same mark was applied before.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Write {
    pub(super) position: Position,
    pub(super) mark: Mark,
    pub(super) breadcrumb: Breadcrumb,
}

/// Selection of the breadcrumbs to write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Due {
    /// First occurrences, repeats whose minute is over, and writes that failed before.
    Ripe,
    /// All of these, and repeats of the current minute.
    All,
}

impl Buffer {
    /// Creates an empty buffer for an environment of `function`.
    pub(super) fn new(function: &'static str, environment: u32) -> Self {
        Self { function, environment, sequence: 0, entries: BTreeMap::new(), dropped: 0 }
    }

    /// Adds a breadcrumb. If the buffer is full, an error that equals a held one, of any minute, is counted with
    /// that one; a different error is dropped and counted.
    pub(super) fn add(&mut self, breadcrumb: Breadcrumb) {
        let position = Position::of(&breadcrumb);
        if let Some(entry) = self.entries.get_mut(&position) {
            entry.repeat(&breadcrumb);
            return;
        }
        // Make room, if an entry needs no further write.
        if self.entries.len() >= CAPACITY {
            self.forget_one();
        }
        if self.entries.len() < CAPACITY {
            self.entries.insert(position, BufferEntry::new(breadcrumb));
        } else if let Some(entry) = self.of_any_minute(position) {
            entry.repeat(&breadcrumb);
        } else {
            self.dropped = self.dropped.saturating_add(breadcrumb.count);
        }
    }

    /// Returns the number of breadcrumbs that wait to be written.
    pub(super) fn waiting(&self) -> usize {
        self.entries.values().filter(|entry| !entry.is_clean()).count()
    }

    /// Returns true while any write is in flight.
    pub(super) fn is_any_out(&self) -> bool {
        self.entries.values().any(|entry| entry.is_out)
    }

    /// Hands out the writes that are due. Each must be [settled](Self::settle) or [given back](Self::give_back).
    pub(super) fn due(&mut self, due: Due, now: Timestamp) -> Vec<Write> {
        self.report_dropped(now);
        let minute = now.as_secs() / 60;
        // An error of another minute gets no more repeats: forget the entries that are fully written.
        self.entries.retain(|position, entry| position.minute == minute || !entry.is_clean());
        // A full buffer does not wait for the end of the minute.
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

    /// Marks a write that was handed out as succeeded.
    pub(super) fn settle(&mut self, write: &Write) {
        if let Some(entry) = self.out(write) {
            entry.begun = None;
            entry.is_out = false;
            entry.is_written = true;
        }
    }

    /// Returns a write that failed, or whose result is unknown, so that it is retried. Does nothing if it was
    /// settled.
    pub(super) fn give_back(&mut self, write: &Write) {
        if let Some(entry) = self.out(write) {
            entry.is_out = false;
        }
    }

    fn out(&mut self, write: &Write) -> Option<&mut BufferEntry> {
        let is_this =
            |entry: &&mut BufferEntry| entry.begun.as_ref().is_some_and(|begun| begun.sequence == write.mark.sequence);
        self.entries.get_mut(&write.position).filter(is_this)
    }

    /// Removes one entry that is fully written, to make room. The next repeat of that error is written at once.
    fn forget_one(&mut self) {
        let clean = self.entries.iter().find(|(_, entry)| entry.is_clean()).map(|(position, _)| *position);
        if let Some(position) = clean {
            self.entries.remove(&position);
        }
    }

    fn of_any_minute(&mut self, position: Position) -> Option<&mut BufferEntry> {
        self.entries.iter_mut().rev().find(|(at, _)| at.fingerprint == position.fingerprint).map(|(_, entry)| entry)
    }

    /// Turns the number of dropped errors into a breadcrumb, which may exceed the capacity by one entry.
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
        // Add to a report that is not written yet, of any minute, so that an outage does not add one report each
        // minute.
        match self.of_any_minute(position) {
            Some(entry) if !entry.is_clean() => entry.repeat(&breadcrumb),
            _ => match self.entries.get_mut(&position) {
                Some(entry) => entry.repeat(&breadcrumb),
                None => drop(self.entries.insert(position, BufferEntry::new(breadcrumb))),
            },
        }
    }
}

impl BufferEntry {
    fn new(breadcrumb: Breadcrumb) -> Self {
        Self { breadcrumb, begun: None, is_out: false, is_written: false }
    }

    /// Returns true if the entry holds nothing that must be written.
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

    /// Adds a request to the list besides the first one. Removes the oldest if the list is full.
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

    /// Returns the write to make now, if any: the one that was begun, or a new one.
    fn begin(&mut self, with_repeats: bool, sequence: &mut u64) -> Option<Begun> {
        if self.is_out {
            return None;
        }
        let is_ripe = self.breadcrumb.count > 0 && (with_repeats || !self.is_written);
        // Begin a new write with the whole count, unless an earlier one must be repeated first.
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
