//! One row of the statistics: what an account, or a part of it, used of its limits on one day. Pure.

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::calendar::Day;
use super::histogram::{Histogram, Span, span_window};
use super::stored;
use crate::clock::Timestamp;
use crate::limits::tally::{TalliedPolicy, Tally};
use crate::limits::{Algorithm, MOST_POLICIES, Scope, Window};

/// The most policies that a row holds: room for all that apply at once and for those that they take the place of.
pub const MOST_IN_A_ROW: usize = 2 * MOST_POLICIES;
const HOURS: usize = 24;
/// The shortest window whose use is kept by the hour, in seconds.
const BY_HOURS_FROM: u64 = 3600;

/// Whose calls a row is about, within its account.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Counted {
    /// The account's. Here are also the refusals by limits that are not its own: per client address, and the platform's
    /// pool.
    Account,
    /// Those on routes of one class.
    Class(String),
    /// Those of one integration.
    Integration(String),
    /// Those with one key.
    Key(String),
}

/// Writes it as `account`, `class/ai`, `integration/crm` or `key/4f8KpQ2mZx7R`.
impl fmt::Display for Counted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Account => f.write_str("account"),
            Self::Class(class) => write!(f, "class/{class}"),
            Self::Integration(id) => write!(f, "integration/{id}"),
            Self::Key(id) => write!(f, "key/{id}"),
        }
    }
}

/// A text that names nobody.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("names no account, class, integration or key")]
pub struct NobodyCounted;

impl FromStr for Counted {
    type Err = NobodyCounted;

    fn from_str(text: &str) -> Result<Self, NobodyCounted> {
        match text.split_once('/') {
            None if text == "account" => Ok(Self::Account),
            Some(("class", class)) => Ok(Self::Class(class.to_owned())),
            Some(("integration", id)) => Ok(Self::Integration(id.to_owned())),
            Some(("key", id)) => Ok(Self::Key(id.to_owned())),
            _ => Err(NobodyCounted),
        }
    }
}

impl Counted {
    /// Whose row a policy of `tally` is in.
    fn of(tally: &Tally, policy: &TalliedPolicy) -> Self {
        match policy.scope {
            Scope::Key => Self::Key(tally.key.clone()),
            Scope::Integration => Self::Integration(tally.integration.clone()),
            Scope::AccountClass => Self::Class(tally.class.clone()),
            Scope::Account | Scope::ClientAddress | Scope::Share | Scope::Global => Self::Account,
        }
    }
}

/// Which row it is.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RowKey {
    /// The account's id.
    pub account: String,
    /// The day.
    pub day: Day,
    /// Whose calls, within the account.
    pub counted: Counted,
}

impl RowKey {
    /// The rows that `tally` changes.
    pub fn of(tally: &Tally, day: Day) -> Vec<Self> {
        let told = tally.policies.iter().enumerate().filter(|(place, policy)| is_told(tally, *place, policy));
        let mut rows: Vec<Counted> = told.map(|(_, policy)| Counted::of(tally, policy)).collect();
        rows.sort_unstable();
        rows.dedup();
        let row = |counted| Self { account: tally.account.clone(), day, counted };
        rows.into_iter().map(row).collect()
    }
}

/// What was used on one day.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DayRow {
    /// Which row it is.
    pub key: RowKey,
    /// The last minute that was folded into it, in minutes since the Unix epoch; 0 for none.
    pub folded: u64,
    /// By the policy's name.
    pub policies: BTreeMap<String, PolicyDay>,
}

/// What was used of one policy on one day.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PolicyDay {
    /// Its limit, of several the last one.
    pub limit: u64,
    /// Its window, of several the last one.
    #[serde(with = "stored::window")]
    pub window: Window,
    /// How it counts.
    pub algorithm: Algorithm,
    /// Whose calls it counts together.
    #[serde(with = "stored::scope")]
    pub scope: Scope,
    /// What the calls that passed counted, each by its weight; nothing for a limit that is shared with others.
    pub used: u64,
    /// The calls that it refused, or would have but for its mode.
    pub refused: u64,
    /// `used` by the hour of the day, since the policy has its window; empty for windows of less than an hour.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub hours: Vec<u64>,
    /// How much of the limit was used, by spans that are over.
    #[serde(default)]
    pub histogram: Histogram,
    /// The last span with calls, which is not in the histogram yet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub open: Option<Span>,
}

impl PolicyDay {
    fn new(policy: &TalliedPolicy) -> Self {
        let TalliedPolicy { limit, window, algorithm, scope, .. } = *policy;
        let (hours, histogram) = (Vec::new(), Histogram::default());
        Self { limit, window, algorithm, scope, used: 0, refused: 0, hours, histogram, open: None }
    }

    /// How much of the limit was used, the span that may still be open included.
    pub fn histogram_so_far(&self) -> Histogram {
        let mut histogram = self.histogram;
        if let Some(open) = self.open {
            histogram.sample(open, self.limit, self.window);
        }
        histogram
    }

    /// Takes over what `policy` is from `minute` on. What was sampled before is measured by what it was before.
    fn become_like(&mut self, policy: &TalliedPolicy, minute: Timestamp) {
        let is_over = |open: Span| Timestamp::from_secs(open.start) != span_window(self.window).start(minute);
        let is_other = (self.window, self.algorithm) != (policy.window, policy.algorithm);
        if let Some(open) = self.open.filter(|open| is_other || is_over(*open)) {
            self.histogram.sample(open, self.limit, self.window);
            self.open = None;
        }
        if self.window != policy.window {
            // Counters of another window began with nothing.
            self.hours.clear();
        }
        let TalliedPolicy { limit, window, algorithm, scope, .. } = *policy;
        (self.limit, self.window, self.algorithm, self.scope) = (limit, window, algorithm, scope);
    }

    fn add_used(&mut self, used: u64, minute: Timestamp) {
        self.used = self.used.saturating_add(used);
        if self.algorithm == Algorithm::Concurrency || used == 0 {
            return;
        }
        let start = span_window(self.window).start(minute).as_secs();
        let before = self.open.map_or(0, |open| open.used);
        self.open = Some(Span { start, used: before.saturating_add(used) });
        if is_by_hours(self.window) {
            self.hours.resize(HOURS, 0);
            let hour = minute.as_secs() / 3600 % 24;
            for in_hour in self.hours.iter_mut().skip(usize::try_from(hour).unwrap_or(0)).take(1) {
                *in_hour = in_hour.saturating_add(used);
            }
        }
    }
}

/// Whether the use of a policy is kept by the hour.
pub(super) fn is_by_hours(window: Window) -> bool {
    match window {
        Window::Secs(secs) => secs >= BY_HOURS_FROM,
        Window::Month => true,
    }
}

/// Whether `tally` says something about the policy in this place that rows hold.
fn is_told(tally: &Tally, place: usize, policy: &TalliedPolicy) -> bool {
    match tally.refused_by {
        Some(refused_by) => refused_by == place,
        None => !matches!(policy.scope, Scope::ClientAddress | Scope::Share | Scope::Global),
    }
}

impl DayRow {
    /// A row with nothing in it.
    pub fn new(key: RowKey) -> Self {
        Self { key, folded: 0, policies: BTreeMap::new() }
    }

    /// The row with what `tallies` of `minute` say about it. Minutes come in their order: one that is not later than the
    /// last one changes nothing, so that folding again is no harm. The order of the tallies makes no difference.
    #[must_use]
    pub fn fold(mut self, minute: u64, tallies: &[Tally]) -> Self {
        if minute <= self.folded {
            return self;
        }
        self.folded = minute;
        let moment = Timestamp::from_secs(minute.saturating_mul(60));
        let mut told: Vec<(&TalliedPolicy, &Tally)> = Vec::new();
        for tally in tallies.iter().filter(|tally| tally.account == self.key.account) {
            let policies = tally.policies.iter().enumerate().filter(|(place, policy)| {
                is_told(tally, *place, policy) && Counted::of(tally, policy) == self.key.counted
            });
            told.extend(policies.map(|(_, policy)| (policy, tally)));
        }
        // Where a limit changed within the minute, the larger one is the last one.
        told.sort_by_cached_key(|(policy, _)| {
            (policy.name.clone(), policy.window.name(), policy.algorithm as u8, policy.scope, policy.limit)
        });
        for (policy, tally) in told {
            if self.policies.len() >= MOST_IN_A_ROW && !self.policies.contains_key(&policy.name) {
                continue;
            }
            let day = self.policies.entry(policy.name.clone()).or_insert_with(|| PolicyDay::new(policy));
            day.become_like(policy, moment);
            match tally.refused_by {
                Some(_) => day.refused = day.refused.saturating_add(tally.calls),
                None => day.add_used(tally.calls.saturating_mul(policy.weight), moment),
            }
        }
        self
    }
}
