//! Records of AI calls, and the rules by which one record replaces another. No I/O.
//!
//! A record is about one attempt at one provider. It begins *open*, before any of the answer reaches the client. It
//! ends *closed*, with what the provider reported, or *void*, if nothing was used. If the attempt never ended (its
//! environment was killed), the monitor makes the record *abandoned*, with what was known. A final record that arrives
//! later replaces the abandoned one. A record changes the sums by its difference to the record that it replaces
//! ([`step`]), so that repeated and late writes count once.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::tally::Tally;
use super::usage::{Figures, Part, Reading, Service, Tier};
use crate::accounts::IntegrationKind;
use crate::clock::Timestamp;

/// One attempt to serve an AI call at a provider.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Call {
    /// Lambda invocation id of the call, which no client can choose. With `attempt` it identifies the record.
    pub id: String,
    /// Number of the attempt within its call, from 1.
    pub attempt: u32,
    /// Request id that the caller sees.
    pub request_id: String,
    /// Account that pays.
    pub account: String,
    /// Integration that made the call.
    pub integration: String,
    /// Kind of that integration.
    pub kind: IntegrationKind,
    /// Provider of this attempt.
    pub provider: String,
    /// Model that the caller asked for.
    pub model: String,
    /// Start of the call, Unix seconds. It decides the day and the month in which the call counts.
    pub started_at: u64,
    /// Deadline of the attempt, Unix seconds.
    pub deadline: u64,
    /// True if an earlier attempt of the same call is counted already, so that this one adds no call.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub further: bool,
}

impl Call {
    /// Returns the start of the call.
    pub fn started_at(&self) -> Timestamp {
        Timestamp::from_secs(self.started_at)
    }
}

/// Progress of an attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum RecordState {
    /// In flight.
    Open,
    /// Given up on before its end was known.
    Abandoned,
    /// Over; it used tokens.
    Closed,
    /// Over; it used no tokens.
    Void,
}

/// An attempt and its usage.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    /// The attempt.
    #[serde(flatten)]
    pub call: Call,
    /// Progress of the attempt.
    pub state: RecordState,
    /// Usage, as far as it is known.
    #[serde(flatten)]
    pub figures: Figures,
    /// True if the provider's final figures are missing, so that `figures` holds what was known when the attempt broke
    /// off.
    pub estimated: bool,
    /// Usage by model, beginning with the model that served. Empty in records of earlier versions, and if only the
    /// figures are known.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub parts: Vec<Part>,
}

/// Change to the sums of an account's month that results from writing a record.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SumChange {
    /// Change to the month as a whole.
    pub total: Tally,
    /// Changes to the lines of the call's day, integration and model, by the way in which the provider served. `None`
    /// is the line of records without parts.
    pub lines: Vec<(Option<Service>, Tally)>,
}

impl Record {
    /// Returns the open record of an attempt that begins.
    pub fn open(call: Call) -> Self {
        Self { call, state: RecordState::Open, figures: Figures::default(), estimated: false, parts: Vec::new() }
    }

    /// Returns the closed record of an attempt. `estimated` is true if `figures` are not the provider's final ones.
    pub fn closed(call: Call, figures: Figures, estimated: bool) -> Self {
        Self { state: RecordState::Closed, figures, estimated, ..Self::open(call) }
    }

    /// Returns the void record of an attempt that used nothing.
    pub fn void(call: Call) -> Self {
        Self { state: RecordState::Void, ..Self::open(call) }
    }

    /// Returns the record with the usage of `reading`, marked as an estimate if `estimated` is true.
    #[must_use]
    pub fn with_reading(self, reading: &Reading, estimated: bool) -> Self {
        Self { figures: reading.figures, parts: reading.parts.clone(), estimated, ..self }
    }

    /// Returns the abandoned record of the same attempt, with its usage as an estimate.
    #[must_use]
    pub fn abandoned(self) -> Self {
        Self { state: RecordState::Abandoned, estimated: true, ..self }
    }

    /// Returns what the record adds to the month as a whole.
    pub fn tally(&self) -> Tally {
        self.shares().iter().fold(Tally::default(), |sum, (_, tally)| sum.plus(tally))
    }

    /// Returns what the record adds to each line of its day. The attempt itself counts with the first part.
    fn shares(&self) -> Vec<(Option<Service>, Tally)> {
        if matches!(self.state, RecordState::Open | RecordState::Void) {
            return Vec::new();
        }
        let is_first = !self.call.further;
        // Count the attempt: as a call if it is the first that is counted, else as a further attempt.
        let attempt = Tally {
            calls: is_first.into(),
            further_attempts: (!is_first).into(),
            // A call fails over only from an estimated attempt, so it is counted as estimated already.
            estimated_calls: (is_first && self.estimated).into(),
            other_tier_calls: (self.figures.tier != Tier::Standard).into(),
            ..Tally::default()
        };
        // Split the usage by part. A record without parts has one line.
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

/// Returns the change to the sums if `new` replaces `old` (`None` if there is no record yet). Returns `None` if `old`
/// is at least as final as `new` and stays.
pub fn step(old: Option<&Record>, new: &Record) -> Option<SumChange> {
    // Keep the old record unless the new one is more final.
    let rank = |state: RecordState| match state {
        RecordState::Open => 0,
        RecordState::Abandoned => 1,
        RecordState::Closed | RecordState::Void => 2,
    };
    if old.is_some_and(|old| rank(old.state) >= rank(new.state)) {
        return None;
    }
    // Add what the new record counts for, and subtract what the old one did.
    let mut lines: BTreeMap<Option<Service>, Tally> = BTreeMap::new();
    for (line, tally) in new.shares() {
        let sum = lines.entry(line).or_default();
        *sum = sum.plus(&tally);
    }
    for (line, tally) in old.map(Record::shares).unwrap_or_default() {
        let sum = lines.entry(line).or_default();
        *sum = sum.less(&tally);
    }
    // Leave out lines that stay the same.
    lines.retain(|_, change| !change.is_zero());
    let total = lines.values().fold(Tally::default(), |sum, change| sum.plus(change));
    Some(SumChange { total, lines: lines.into_iter().collect() })
}

#[cfg(test)]
pub(crate) mod tests;
