//! The queue of events to come.

use std::cmp::Ordering;
use std::collections::BinaryHeap;

/// Events by the time at which they happen.
#[derive(Debug)]
pub(crate) struct Plan<T> {
    events: BinaryHeap<Event<T>>,
    number: u64,
}

/// Planned event. The earliest is the greatest; of two at the same time it is the one planned first.
#[derive(Debug)]
struct Event<T> {
    at: f64,
    number: u64,
    happening: T,
}

impl<T> Plan<T> {
    pub(crate) fn new() -> Self {
        Self { events: BinaryHeap::new(), number: 0 }
    }

    /// Adds an event at `at`, in seconds since the beginning.
    pub(crate) fn add(&mut self, at: f64, happening: T) {
        self.number += 1;
        self.events.push(Event { at, number: self.number, happening });
    }

    /// Removes and returns the next event with its time.
    pub(crate) fn next(&mut self) -> Option<(f64, T)> {
        self.events.pop().map(|event| (event.at, event.happening))
    }
}

impl<T> Ord for Event<T> {
    fn cmp(&self, other: &Self) -> Ordering {
        other.at.total_cmp(&self.at).then(other.number.cmp(&self.number))
    }
}

impl<T> PartialOrd for Event<T> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl<T> PartialEq for Event<T> {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl<T> Eq for Event<T> {}
