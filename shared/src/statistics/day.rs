//! One row of the statistics: the use of limits on one day by an account, or by a part of it. Pure.

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::calendar::Day;
use super::demand::Demand;
use super::histogram::{Histogram, Span, span_window};
use super::stored;
use crate::clock::Timestamp;
use crate::limits::tally::{TalliedPolicy, Tally};
use crate::limits::{Algorithm, MOST_POLICIES, PolicyScope, Window};

/// Largest number of policies in a row: room for all that apply at once and for those that they replace.
pub const MOST_IN_A_ROW: usize = 2 * MOST_POLICIES;
const HOURS: usize = 24;
/// Shortest window whose use is kept by the hour, in seconds.
const BY_HOURS_FROM: u64 = 3600;

/// Part of an account whose calls a row counts.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Counted {
    /// The whole account. Its row also holds refusals by limits that are not the account's own: those per client
    /// address, and those of the platform's pool.
    Account,
    /// Calls on routes of one class.
    Class(String),
    /// Calls of one integration.
    Integration(String),
    /// Calls with one key.
    Key(String),
}

/// Writes `account`, `class/ai`, `integration/crm` or `key/4f8KpQ2mZx7R`.
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

/// Error for a text that names no account, class, integration or key.
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
    /// Returns the part of the account whose row holds this policy of `tally`.
    fn for_policy(tally: &Tally, policy: &TalliedPolicy) -> Self {
        match policy.scope {
            PolicyScope::Key => Self::Key(tally.key.clone()),
            PolicyScope::Integration => Self::Integration(tally.integration.clone()),
            PolicyScope::AccountClass => Self::Class(tally.class.clone()),
            PolicyScope::Account | PolicyScope::ClientAddress | PolicyScope::Share | PolicyScope::Global => {
                Self::Account
            }
        }
    }
}

/// Key of a row.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RowKey {
    /// Account's id.
    pub account: String,
    /// Day of UTC.
    pub day: Day,
    /// Part of the account.
    pub counted: Counted,
}

impl RowKey {
    /// Returns the keys of the rows that `tally` changes.
    pub fn from_tally(tally: &Tally, day: Day) -> Vec<Self> {
        let told = tally.policies.iter().enumerate().filter(|(place, policy)| is_told(tally, *place, policy));
        let mut rows: Vec<Counted> = told.map(|(_, policy)| Counted::for_policy(tally, policy)).collect();
        rows.sort_unstable();
        rows.dedup();
        let row = |counted| Self { account: tally.account.clone(), day, counted };
        rows.into_iter().map(row).collect()
    }
}

/// Use of limits on one day, by one account or a part of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DayRow {
    /// Key of the row.
    pub key: RowKey,
    /// Last minute folded into the row, in minutes since the Unix epoch; 0 for none.
    pub folded: u64,
    /// Use of each policy, by its name.
    pub policies: BTreeMap<String, PolicyDay>,
}

/// Use of one policy on one day.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PolicyDay {
    /// Limit; if it changed during the day, the last one.
    pub limit: u64,
    /// Window; if it changed during the day, the last one.
    #[serde(with = "stored::window")]
    pub window: Window,
    /// Algorithm by which calls are counted.
    pub algorithm: Algorithm,
    /// PolicyScope: the calls that are counted together.
    #[serde(with = "stored::scope")]
    pub scope: PolicyScope,
    /// Sum of the weights of calls that passed; 0 for a limit that several callers share.
    pub used: u64,
    /// Number of calls that the policy refused, or would have but for its mode.
    pub refused: u64,
    /// `used` by the hour of the day, since the policy has its present window; empty for windows of less than an
    /// hour.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub hours: Vec<u64>,
    /// Used share of the limit, by spans that are over.
    #[serde(default)]
    pub histogram: Histogram,
    /// Demand by spans that are over; `None` in a row that a release without this field began.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub demand: Option<Demand>,
    /// Last span with calls, which is neither in the histogram nor in the demand yet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub open: Option<Span>,
}

impl PolicyDay {
    fn new(policy: &TalliedPolicy) -> Self {
        let TalliedPolicy { limit, window, algorithm, scope, .. } = *policy;
        let (hours, histogram, demand) = (Vec::new(), Histogram::default(), Some(Demand::default()));
        Self { limit, window, algorithm, scope, used: 0, refused: 0, hours, histogram, demand, open: None }
    }

    /// Returns the histogram with the span that may still be open included.
    pub fn histogram_so_far(&self) -> Histogram {
        self.closed().histogram
    }

    /// Returns the demand with the span that may still be open included; `None` if it was not recorded on this day.
    pub fn demand_so_far(&self) -> Option<Demand> {
        self.closed().demand
    }

    fn closed(&self) -> Self {
        let mut closed = self.clone();
        closed.close();
        closed
    }

    /// Samples the open span, if there is one.
    fn close(&mut self) {
        let Some(open) = self.open.take() else { return };
        // The histogram is about calls that passed.
        if open.used > 0 {
            self.histogram.sample(open, self.limit, self.window);
        }
        if let Some(demand) = &mut self.demand {
            demand.sample(open.used.saturating_add(open.refused));
        }
    }

    /// Adopts the limit, window, algorithm and scope of `policy` as of `minute`. A span before that is sampled under
    /// the old ones.
    fn become_like(&mut self, policy: &TalliedPolicy, minute: Timestamp) {
        // Close the open span if it is over, or if the policy counts in another way now.
        let is_over = |open: Span| Timestamp::from_secs(open.start) != span_window(self.window).start(minute);
        let is_other = (self.window, self.algorithm) != (policy.window, policy.algorithm);
        if self.open.is_some_and(|open| is_other || is_over(open)) {
            self.close();
        }
        if self.window != policy.window {
            // The counters of the new window began at zero, and spans of another length tell nothing about it.
            self.hours.clear();
            self.demand = self.demand.as_ref().map(|_| Demand::default());
        }
        let TalliedPolicy { limit, window, algorithm, scope, .. } = *policy;
        (self.limit, self.window, self.algorithm, self.scope) = (limit, window, algorithm, scope);
    }

    /// Returns the open span of `minute`, or begins it.
    fn open_span(&mut self, minute: Timestamp) -> &mut Span {
        let start = span_window(self.window).start(minute).as_secs();
        self.open.get_or_insert(Span { start, used: 0, refused: 0 })
    }

    fn add_refused(&mut self, calls: u64, weight: u64, minute: Timestamp) {
        self.refused = self.refused.saturating_add(calls);
        if self.algorithm != Algorithm::Concurrency && calls > 0 {
            let open = self.open_span(minute);
            open.refused = open.refused.saturating_add(calls.saturating_mul(weight));
        }
    }

    fn add_used(&mut self, used: u64, minute: Timestamp) {
        self.used = self.used.saturating_add(used);
        if self.algorithm == Algorithm::Concurrency || used == 0 {
            return;
        }
        let open = self.open_span(minute);
        open.used = open.used.saturating_add(used);
        // Add to the hour of the day, for long windows.
        if is_by_hours(self.window) {
            self.hours.resize(HOURS, 0);
            let hour = minute.as_secs() / 3600 % 24;
            for in_hour in self.hours.iter_mut().skip(usize::try_from(hour).unwrap_or(0)).take(1) {
                *in_hour = in_hour.saturating_add(used);
            }
        }
    }
}

/// Returns true if the use of a policy with this window is kept by the hour.
pub(super) fn is_by_hours(window: Window) -> bool {
    match window {
        Window::Secs(secs) => secs >= BY_HOURS_FROM,
        Window::Month => true,
    }
}

/// Returns true if rows record `tally` for the policy in this place.
fn is_told(tally: &Tally, place: usize, policy: &TalliedPolicy) -> bool {
    match tally.refused_by {
        Some(refused_by) => refused_by == place,
        None => !matches!(policy.scope, PolicyScope::ClientAddress | PolicyScope::Share | PolicyScope::Global),
    }
}

impl DayRow {
    /// Creates an empty row.
    pub fn new(key: RowKey) -> Self {
        Self { key, folded: 0, policies: BTreeMap::new() }
    }

    /// Returns the row with `tallies` of `minute` added. Minutes must come in order: a minute that is not later than
    /// the last one changes nothing, so that folding it again is harmless. The order of the tallies makes no
    /// difference.
    #[must_use]
    pub fn fold(mut self, minute: u64, tallies: &[Tally]) -> Self {
        if minute <= self.folded {
            return self;
        }
        self.folded = minute;
        let moment = Timestamp::from_secs(minute.saturating_mul(60));
        // Collect the policies of this row, with the tallies that count for them.
        let mut told: Vec<(&TalliedPolicy, &Tally)> = Vec::new();
        for tally in tallies.iter().filter(|tally| tally.account == self.key.account) {
            let policies = tally.policies.iter().enumerate().filter(|(place, policy)| {
                is_told(tally, *place, policy) && Counted::for_policy(tally, policy) == self.key.counted
            });
            told.extend(policies.map(|(_, policy)| (policy, tally)));
        }
        // If a limit changed within the minute, the larger one is kept as the last one.
        told.sort_by_cached_key(|(policy, _)| {
            (policy.name.clone(), policy.window.name(), policy.algorithm as u8, policy.scope, policy.limit)
        });
        // Add the calls to each policy, as far as the row has room for it.
        for (policy, tally) in told {
            if self.policies.len() >= MOST_IN_A_ROW && !self.policies.contains_key(&policy.name) {
                continue;
            }
            let day = self.policies.entry(policy.name.clone()).or_insert_with(|| PolicyDay::new(policy));
            day.become_like(policy, moment);
            match tally.refused_by {
                Some(_) => day.add_refused(tally.calls, policy.weight, moment),
                None => day.add_used(tally.calls.saturating_mul(policy.weight), moment),
            }
        }
        self
    }
}
