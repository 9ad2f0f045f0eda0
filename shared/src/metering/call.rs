//! What the ledger keeps about a call, and how one record takes another's place. No I/O.
//!
//! A record is of one attempt at one provider. It begins *open*, before anything of the answer reaches the client, and
//! ends *closed*, with what the provider reported, or *void*, where nothing was used. One whose attempt never came to its
//! end (its environment was killed) is *abandoned* by the monitor with what was known of it; should the end come after
//! all, it takes the abandoned record's place. Every record counts in the sums by the difference that it makes
//! ([`step`]), so that whatever is repeated or comes late is counted once.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::tally::Tally;
use super::usage::{Figures, Part, Reading, Service, Tier};
use crate::accounts::IntegrationKind;
use crate::clock::Timestamp;

/// One attempt to have an AI call served by a provider.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Call {
    /// What makes the call countable once: Lambda's id of the invocation, which no client can choose.
    pub id: String,
    /// Which attempt of the call it is, from 1.
    pub attempt: u32,
    /// The id by which the request is named to its caller.
    pub request_id: String,
    /// The account that pays.
    pub account: String,
    /// The integration that called.
    pub integration: String,
    /// What kind of integration that is.
    pub kind: IntegrationKind,
    /// The provider that is asked.
    pub provider: String,
    /// The model that was asked for.
    pub model: String,
    /// When the call began, Unix seconds; decides the day and the month that it counts in.
    pub started_at: u64,
    /// When the attempt must have ended, Unix seconds.
    pub deadline: u64,
    /// True where an earlier attempt of the same call counts already, so that this one is no further call.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub further: bool,
}

impl Call {
    /// Returns when it began.
    pub fn started_at(&self) -> Timestamp {
        Timestamp::from_secs(self.started_at)
    }
}

/// How far an attempt has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// It runs.
    Open,
    /// It never came to its end.
    Abandoned,
    /// It is over and used tokens.
    Closed,
    /// It is over and used none.
    Void,
}

/// An attempt with what it used.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    /// The attempt.
    #[serde(flatten)]
    pub call: Call,
    /// How far it has come.
    pub state: State,
    /// What it used, as far as that is known.
    #[serde(flatten)]
    pub figures: Figures,
    /// True where the provider's final figures are missing, so that `figures` is what was known when it broke off.
    pub estimated: bool,
    /// What it used of each model, the one that served first. Empty in a record that an earlier version wrote, and where
    /// nothing is known but the figures.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub parts: Vec<Part>,
}

/// What writing a record changes in the sums of its account's month.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Change {
    /// The change to the month as a whole.
    pub total: Tally,
    /// The change to each of the lines of its day, integration and model that it changes, by the way in which providers
    /// served. `None` is the line of records without parts.
    pub lines: Vec<(Option<Service>, Tally)>,
}

impl Record {
    /// Returns the record of an attempt that begins.
    pub fn open(call: Call) -> Self {
        Self { call, state: State::Open, figures: Figures::default(), estimated: false, parts: Vec::new() }
    }

    /// Returns the record of an attempt that is over; `estimated` where `figures` are not the provider's final ones.
    pub fn closed(call: Call, figures: Figures, estimated: bool) -> Self {
        Self { state: State::Closed, figures, estimated, ..Self::open(call) }
    }

    /// Returns the record of an attempt that is over and used nothing.
    pub fn void(call: Call) -> Self {
        Self { state: State::Void, ..Self::open(call) }
    }

    /// Returns the record with what is known of its usage, as an estimate unless that is the provider's final word.
    #[must_use]
    pub fn with_reading(self, reading: &Reading, estimated: bool) -> Self {
        Self { figures: reading.figures, parts: reading.parts.clone(), estimated, ..self }
    }

    /// Returns the record of the same attempt, given up on because it never came to its end.
    #[must_use]
    pub fn abandoned(self) -> Self {
        Self { state: State::Abandoned, estimated: true, ..self }
    }

    /// Returns what it adds to the sums as a whole.
    pub fn tally(&self) -> Tally {
        self.shares().iter().fold(Tally::default(), |sum, (_, tally)| sum.plus(tally))
    }

    /// Returns what it adds to each line of its day. The attempt itself counts with the first of its parts.
    fn shares(&self) -> Vec<(Option<Service>, Tally)> {
        if matches!(self.state, State::Open | State::Void) {
            return Vec::new();
        }
        let is_first = !self.call.further;
        let attempt = Tally {
            calls: is_first.into(),
            further_attempts: (!is_first).into(),
            // A call moves on only from an attempt that is estimated, so that it is counted as such already.
            estimated_calls: (is_first && self.estimated).into(),
            other_tier_calls: (self.figures.tier != Tier::Standard).into(),
            ..Tally::default()
        };
        let mut shares: Vec<_> = match &self.parts[..] {
            [] => vec![(None, Tally::from_usage(&self.figures.usage))],
            parts => parts.iter().map(|it| (Some(it.service.clone()), Tally::from_usage(&it.usage))).collect(),
        };
        if let Some((_, first)) = shares.first_mut() {
            *first = first.plus(&attempt);
        }
        shares
    }
}

/// Returns what writing `new` over `old` (`None` where there is no record yet) changes in the sums; `None` where `old`
/// stays, because it is as final as `new`.
pub fn step(old: Option<&Record>, new: &Record) -> Option<Change> {
    let rank = |state: State| match state {
        State::Open => 0,
        State::Abandoned => 1,
        State::Closed | State::Void => 2,
    };
    if old.is_some_and(|old| rank(old.state) >= rank(new.state)) {
        return None;
    }
    let mut lines: BTreeMap<Option<Service>, Tally> = BTreeMap::new();
    for (line, tally) in new.shares() {
        let sum = lines.entry(line).or_default();
        *sum = sum.plus(&tally);
    }
    for (line, tally) in old.map(Record::shares).unwrap_or_default() {
        let sum = lines.entry(line).or_default();
        *sum = sum.less(&tally);
    }
    lines.retain(|_, change| !change.is_zero());
    let total = lines.values().fold(Tally::default(), |sum, change| sum.plus(change));
    Some(Change { total, lines: lines.into_iter().collect() })
}

#[cfg(test)]
pub(crate) mod tests;
