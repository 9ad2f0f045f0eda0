//! One row of the statistics: what an account, or a part of it, used of its limits on one day. Pure.

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

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::limits::statistics::tests::{at, tally};

    /// Midnight of 22 November 2026, in minutes.
    const MIDNIGHT: u64 = 29_921_760;
    const CALLER: &str = "acme/crm/k1/ai";
    const POLICIES: &str = "ai-address:c:30:60:f:1 key:k:50:60:f:1 integration:i:300:60:f:1 account-ai:r:9:3600:s:1 \
                            account:a:600:60:f:1 account-day:a:1000:86400:f:2 global-share:s:9:60:f:1 \
                            global:g:9:60:f:1 in-flight:a:20:60:c:1";

    fn day() -> Day {
        Day::of(at(MIDNIGHT * 60))
    }

    fn key(counted: Counted) -> RowKey {
        RowKey { account: "acme".to_owned(), day: day(), counted }
    }

    /// Passed calls and refused ones, by the refusing policy's place from 1 on.
    fn tallies(policies: &str, calls: &[(usize, u64)]) -> Vec<Tally> {
        calls.iter().map(|(place, calls)| tally(&format!("{place} {CALLER} {policies}"), *calls)).collect()
    }

    fn fold_all(counted: Counted, policies: &str, minutes: &[(u64, &[(usize, u64)])]) -> DayRow {
        let fold = |row: DayRow, (minute, calls): &(u64, &[(usize, u64)])| row.fold(*minute, &tallies(policies, calls));
        minutes.iter().fold(DayRow::new(key(counted)), fold)
    }

    #[test]
    fn each_policy_is_in_the_row_of_those_it_counts_and_shared_ones_tell_refusals_alone() {
        let rows = RowKey::of(&tallies(POLICIES, &[(0, 1)])[0], day());
        let told: Vec<String> = rows.iter().map(|row| row.counted.to_string()).collect();
        assert_eq!(told, ["account", "class/ai", "integration/crm", "key/k1"]);
        for counted in rows.into_iter().map(|row| row.counted) {
            assert_eq!(counted.to_string().parse(), Ok(counted));
        }

        let calls: &[(usize, u64)] = &[(0, 7), (1, 2), (3, 9), (7, 3), (8, 4), (9, 5)];
        let row = fold_all(Counted::Account, POLICIES, &[(MIDNIGHT, calls)]);
        let told = |(name, it): (&String, &PolicyDay)| (name.clone(), it.used, it.refused);
        let expected = [
            ("account", 7, 0),
            ("account-day", 14, 0),
            ("ai-address", 0, 2),
            ("global", 0, 4),
            ("global-share", 0, 3),
            ("in-flight", 7, 5),
        ];
        assert_eq!(row.policies.iter().map(told).collect::<Vec<_>>(), expected.map(|(n, u, r)| (n.to_owned(), u, r)));
        let refused_by_integration = fold_all(Counted::Integration("crm".to_owned()), POLICIES, &[(MIDNIGHT, calls)]);
        assert_eq!(refused_by_integration.policies["integration"].refused, 9);
        assert_eq!(refused_by_integration.policies["integration"].used, 7);
    }

    #[test]
    fn a_refusal_alone_is_in_the_row_of_the_policy_that_refused() {
        let rows = RowKey::of(&tallies(POLICIES, &[(2, 1)])[0], day());
        assert_eq!(rows, [key(Counted::Key("k1".to_owned()))]);
    }

    #[test]
    fn a_span_is_sampled_when_a_later_one_begins_and_readers_see_it_before() {
        let minutes: [(u64, &[(usize, u64)]); 4] = [
            (MIDNIGHT, &[(0, 300)]),
            (MIDNIGHT + 1, &[(0, 301)]),
            (MIDNIGHT + 9, &[(0, 600), (1, 5)]),
            (MIDNIGHT + 10, &[(1, 5)]),
        ];
        let row = fold_all(Counted::Account, "account:a:600:60:f:1", &minutes);
        let account = &row.policies["account"];
        let (closed, all) = ([0, 0, 0, 0, 1, 1, 0, 0, 0, 1, 0], [0, 0, 0, 0, 1, 1, 0, 0, 0, 1, 0]);
        assert_eq!((account.histogram.0, account.histogram_so_far().0), (closed, all));
        let row = row.fold(MIDNIGHT + 11, &tallies("account:a:600:60:f:1", &[(0, 1)]));
        let account = &row.policies["account"];
        assert_eq!(account.histogram_so_far().0, [1, 0, 0, 0, 1, 1, 0, 0, 0, 1, 0]);
        assert_eq!(account.open, Some(Span { start: (MIDNIGHT + 11) * 60, used: 1 }));
    }

    #[test]
    fn long_windows_are_told_by_the_hour_and_short_ones_are_not() {
        let minutes: [(u64, &[(usize, u64)]); 3] =
            [(MIDNIGHT, &[(0, 1)]), (MIDNIGHT + 59, &[(0, 2)]), (MIDNIGHT + 60 * 23, &[(0, 4)])];
        let row = fold_all(Counted::Account, "a:a:9:60:f:1 d:a:9:86400:f:1", &minutes);
        assert!(row.policies["a"].hours.is_empty());
        assert_eq!((row.policies["d"].hours[0], row.policies["d"].hours[23]), (3, 4));
        assert_eq!(row.policies["d"].hours.iter().sum::<u64>(), 7);
        assert_eq!(row.policies["d"].open.unwrap().used, 7);
    }

    #[test]
    fn a_row_holds_no_more_policies_than_it_has_room_for() {
        let mut row = DayRow::new(key(Counted::Account));
        for number in 0..2 * MOST_IN_A_ROW as u64 {
            row = row.fold(MIDNIGHT + number, &tallies(&format!("p{number}:a:9:60:f:1"), &[(0, 1)]));
        }
        assert_eq!(row.policies.len(), MOST_IN_A_ROW);
        assert_eq!(row.fold(MIDNIGHT + 100, &tallies("p0:a:9:60:f:1", &[(0, 1)])).policies["p0"].used, 2);
    }

    prop_compose! {
        /// Minutes of a day in their order, each with tallies of policies whose limit and window change.
        fn some_minutes()(
            minutes in prop::collection::btree_map(
                0u64..1440,
                prop::collection::vec((0usize..3, 1u64..100, 1u64..20, 0usize..5), 0..6),
                0..20,
            )
        ) -> Vec<(u64, Vec<Tally>)> {
            let tallies = |calls: Vec<(usize, u64, u64, usize)>| calls.into_iter().map(|(place, calls, limit, window)| {
                let window = ["1", "60", "5400", "86400", "month"][window];
                tally(&format!("{place} {CALLER} p:a:{limit}:{window}:f:2 q:a:{limit}:60:c:1"), calls)
            });
            minutes.into_iter().map(|(minute, calls)| (MIDNIGHT + minute, tallies(calls).collect())).collect()
        }
    }

    fn fold(minutes: &[(u64, Vec<Tally>)]) -> DayRow {
        minutes.iter().fold(DayRow::new(key(Counted::Account)), |row, (minute, tallies)| row.fold(*minute, tallies))
    }

    proptest! {
        #[test]
        fn folding_goes_on_from_any_stored_row_and_in_any_order_of_a_minutes_tallies(
            minutes in some_minutes(),
            cut in 0usize..20,
        ) {
            let (first, rest) = minutes.split_at(cut.min(minutes.len()));
            let stored = fold(first);
            let policies: BTreeMap<String, PolicyDay> =
                serde_json::from_value(serde_json::to_value(&stored.policies).unwrap()).unwrap();
            let turned = rest.iter().map(|(minute, tallies)| (*minute, tallies.iter().rev().cloned().collect::<Vec<_>>()));
            let read = DayRow { policies, ..stored };
            let row = turned.fold(read, |row, (minute, tallies)| row.fold(minute, &tallies));
            prop_assert_eq!(row, fold(&minutes));
        }

        #[test]
        fn folding_a_minute_again_changes_nothing(minutes in some_minutes(), again in 0usize..20) {
            let row = fold(&minutes);
            if let Some((minute, tallies)) = minutes.get(again) {
                prop_assert_eq!(row.clone().fold(*minute, tallies), row);
            }
        }

        #[test]
        fn sums_are_those_of_the_calls(minutes in some_minutes()) {
            let row = fold(&minutes);
            let all = || minutes.iter().flat_map(|(_, tallies)| tallies);
            let passed: u64 = all().filter(|it| it.refused_by.is_none()).map(|it| it.calls).sum();
            for (name, weight, place) in [("p", 2, 0), ("q", 1, 1)] {
                let refused: u64 = all().filter(|it| it.refused_by == Some(place)).map(|it| it.calls).sum();
                let told = row.policies.get(name).map_or((0, 0), |it| (it.used, it.refused));
                prop_assert_eq!(told, (passed * weight, refused));
            }
            if let Some(policy) = row.policies.get("p") {
                // Every sample has calls of its own.
                let samples: u64 = policy.histogram_so_far().0.iter().sum();
                prop_assert!(samples <= all().count() as u64);
                prop_assert_eq!(samples == 0, passed == 0);
                prop_assert!(policy.hours.iter().sum::<u64>() <= policy.used);
            }
        }
    }
}
