//! Log of the calls for messages that have ended, with which tests compare another component's counts.

use std::collections::VecDeque;

use serde::Serialize;

use super::usage::Usage;

/// Number of calls that are kept: the newest.
const REMEMBERED: usize = 10_000;

/// Content of a call.
#[derive(Clone, Debug, Serialize)]
pub(super) struct About {
    /// Id of the message.
    pub(super) message: String,
    /// Model that answers.
    pub(super) model: String,
    /// `metadata.user_id` of the request, by which a caller can tell its calls apart.
    pub(super) user: Option<String>,
}

/// Outcome of a call.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum End {
    /// The answer was sent completely.
    Completed,
    /// The stand-in ended the call, with an error or by dropping the connection.
    Failed,
    /// The client left before the end.
    Interrupted,
}

/// A call that has ended.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Ended {
    /// Position in the order of ends, from 1.
    number: u64,
    #[serde(flatten)]
    about: About,
    end: End,
    /// Usage of the part that was sent.
    usage: Usage,
}

/// Calls that have ended and whose request was valid.
#[derive(Debug, Default)]
pub(super) struct Served {
    newest: VecDeque<Ended>,
    last: u64,
}

impl Served {
    pub(super) fn remember(&mut self, about: About, end: End, usage: Usage) {
        self.last += 1;
        self.newest.push_back(Ended { number: self.last, about, end, usage });
        if self.newest.len() > REMEMBERED {
            self.newest.pop_front();
        }
    }

    /// Returns the kept calls that ended after the one of this number, in the order of their ends.
    pub(super) fn after(&self, number: u64) -> impl Iterator<Item = &Ended> {
        let from = self.newest.partition_point(|ended| ended.number <= number);
        self.newest.range(from..)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_calls_are_remembered_and_shown_from_any_of_them_on() {
        let mut served = Served::default();
        let about = || About { message: "msg_1".to_owned(), model: "claude".to_owned(), user: None };
        for _ in 0..REMEMBERED + 5 {
            served.remember(about(), End::Completed, Usage::default());
        }
        let numbers = |after: u64| served.after(after).map(|ended| ended.number).collect::<Vec<_>>();
        assert_eq!((numbers(0).len(), numbers(0)[0]), (REMEMBERED, 6));
        assert_eq!(numbers(10_003), [10_004, 10_005]);
        assert!(numbers(10_005).is_empty());
    }
}
