//! Answers what another limit would have refused, from the recorded demand. Pure. Start reading at [`trial`].
//!
//! Demand includes calls that were refused. A client that retries counts once more with each attempt, so the answer for
//! a limit below the demand is at least the truth, and for a raised limit at most.

use std::collections::BTreeMap;

use super::calendar::Day;
use super::day::{Counted, DayRow, PolicyDay};
use super::demand::Between;
use super::histogram::span_window;
use crate::clock::Timestamp;
use crate::limits::{Algorithm, Window};

/// Windows and days on which a limit would have refused calls.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trial {
    /// First day with recorded demand; `None` if there is none.
    pub since: Option<Day>,
    /// Days with calls.
    pub days: u64,
    /// Days on which the limit would have refused calls.
    pub days_over: Between,
    /// Windows with calls. Windows shorter than a minute are counted by the minute, with the limit scaled to it.
    pub windows: u64,
    /// Windows in which the limit would have refused calls.
    pub windows_over: Between,
}

/// Returns what `limit` would have refused under `policy` by the rows of the part `counted` of one account, in any order
/// and with or without rows of other parts; `None` for calls in flight, whose demand is not recorded. Days whose window
/// was another than on the latest day are left out.
pub fn trial(rows: &[DayRow], counted: &Counted, policy: &str, limit: u64) -> Option<Trial> {
    // Collect the policy's days in order.
    let of_part = rows.iter().filter(|row| row.key.counted == *counted);
    let mut days: Vec<(Day, &PolicyDay)> =
        of_part.filter_map(|row| Some((row.key.day, row.policies.get(policy)?))).collect();
    days.sort_by_key(|(day, _)| *day);
    let last = days.last().map(|(_, last)| (*last).clone());
    if last.as_ref().is_some_and(|last| last.algorithm == Algorithm::Concurrency) {
        return None;
    }
    let window = last.map(|last| last.window);
    days.retain(|(_, it)| Some(it.window) == window && it.demand.is_some() && it.used.saturating_add(it.refused) > 0);
    let empty = Trial {
        since: days.first().map(|(day, _)| *day),
        days: days.len() as u64,
        days_over: Between::default(),
        windows: 0,
        windows_over: Between::default(),
    };
    let Some(window) = window else { return Some(empty) };
    let is_longer_than_a_day = window.secs(Timestamp::from_secs(0)) > Window::DAY.secs(Timestamp::from_secs(0));
    Some(if is_longer_than_a_day { by_day(&days, window, limit, empty) } else { by_span(&days, window, limit, empty) })
}

/// Adds up windows of at most a day, from the demand of each day.
fn by_span(days: &[(Day, &PolicyDay)], window: Window, limit: u64, mut trial: Trial) -> Trial {
    // Scale the limit to the span that was recorded.
    let zero = Timestamp::from_secs(0);
    let (span, window) = (span_window(window).secs(zero), window.secs(zero).max(1));
    let limit = limit.saturating_mul(span) / window;
    // Add up the days.
    for (_, day) in days {
        let demand = day.demand_so_far().unwrap_or_default();
        let above = demand.above(limit);
        trial.windows = trial.windows.saturating_add(demand.spans());
        trial.windows_over = trial.windows_over + above;
        trial.days_over = trial.days_over + Between { at_least: above.at_least.min(1), at_most: above.at_most.min(1) };
    }
    trial
}

/// Adds up windows of several days, from the sums of each day.
fn by_day(days: &[(Day, &PolicyDay)], window: Window, limit: u64, mut trial: Trial) -> Trial {
    // A day is over if the sum of its window until then is above the limit.
    let mut sums = BTreeMap::<Timestamp, u64>::new();
    for (day, policy) in days {
        let sum = sums.entry(window.start(day.start())).or_default();
        *sum = sum.saturating_add(policy.used).saturating_add(policy.refused);
        let over = u64::from(*sum > limit);
        trial.days_over = trial.days_over + Between { at_least: over, at_most: over };
    }
    let over = sums.values().filter(|sum| **sum > limit).count() as u64;
    trial.windows = sums.len() as u64;
    trial.windows_over = Between { at_least: over, at_most: over };
    trial
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::limits::tally::Tally;
    use crate::statistics::RowKey;
    use crate::statistics::tests::tally;

    /// Midnight of 22 November 2026, minutes since the Unix epoch.
    const MIDNIGHT: u64 = 29_921_760;
    const DAY: u64 = 24 * 60;

    /// Returns the account's rows after the minutes with these passed and refused calls were folded.
    fn rows(policy: &str, minutes: &[(u64, u64, u64)]) -> Vec<DayRow> {
        let mut rows = BTreeMap::<Day, DayRow>::new();
        for (minute, passed, refused) in minutes {
            let day = Day::from_timestamp(Timestamp::from_secs(minute * 60));
            let key = RowKey { account: "acme".to_owned(), day, counted: Counted::Account };
            let row = rows.remove(&day).unwrap_or_else(|| DayRow::new(key));
            let tallies: Vec<Tally> = [(0, passed), (1, refused)]
                .into_iter()
                .filter(|(_, calls)| **calls > 0)
                .map(|(place, calls)| tally(&format!("{place} acme/crm/k1/ai {policy}"), *calls))
                .collect();
            rows.insert(day, row.fold(*minute, &tallies));
        }
        rows.into_values().collect()
    }

    proptest! {
        /// Replays the recorded minutes one by one, and compares.
        #[test]
        fn a_trial_agrees_with_the_recorded_minutes_within_its_bounds(
            minutes in prop::collection::btree_map(0..3 * DAY, (0u64..400, 0u64..100), 1..60),
            limit in 1u64..500,
            window in prop::sample::select(vec![60u64, 300, 3_600, 86_400]),
        ) {
            let minutes: Vec<(u64, u64, u64)> =
                minutes.into_iter().map(|(minute, (passed, refused))| (MIDNIGHT + minute, passed, refused)).collect();
            let mut by_window = BTreeMap::<u64, u64>::new();
            for (minute, passed, refused) in &minutes {
                *by_window.entry(minute * 60 / window).or_default() += passed + refused;
            }
            by_window.retain(|_, demand| *demand > 0);
            let over: Vec<u64> =
                by_window.iter().filter(|(_, demand)| **demand > limit).map(|(start, _)| start * window).collect();
            let mut days_over: Vec<u64> = over.iter().map(|start| start / 86_400).collect();
            days_over.dedup();

            let rows = rows(&format!("account:a:600:{window}:f:1"), &minutes);
            let told = trial(&rows, &Counted::Account, "account", limit).unwrap();
            let holds = |between: Between, exact: usize| (between.at_least..=between.at_most).contains(&(exact as u64));
            prop_assert_eq!(told.windows, by_window.len() as u64);
            prop_assert!(holds(told.windows_over, over.len()), "{told:?} {over:?}");
            prop_assert!(holds(told.days_over, days_over.len()), "{told:?} {days_over:?}");
        }
    }

    #[test]
    fn a_month_is_added_up_from_its_days() {
        let minutes = [(MIDNIGHT, 600, 0), (MIDNIGHT + DAY, 300, 200), (MIDNIGHT + 12 * DAY, 50, 0)];
        let rows = rows("month:a:5000:month:f:1", &minutes);
        let told = trial(&rows, &Counted::Account, "month", 1_000).unwrap();
        let exactly = |count| Between { at_least: count, at_most: count };
        assert_eq!((told.windows, told.windows_over, told.days_over), (2, exactly(1), exactly(1)));
        assert_eq!((told.days, told.since.unwrap().to_string().as_str()), (3, "2026-11-22"));
    }

    #[test]
    fn days_without_recorded_demand_calls_in_flight_and_other_policies_are_not_answered_for() {
        let mut old = rows("account:a:600:60:f:1", &[(MIDNIGHT, 500, 0), (MIDNIGHT + DAY, 500, 0)]);
        old[0].policies.get_mut("account").unwrap().demand = None;
        let told = trial(&old, &Counted::Account, "account", 100).unwrap();
        assert_eq!((told.days, told.since.unwrap().to_string().as_str()), (1, "2026-11-23"));
        let none = trial(&old, &Counted::Account, "integration", 100).unwrap();
        assert_eq!((none.days, none.since), (0, None));
        let in_flight = rows("in-flight:a:20:60:c:1", &[(MIDNIGHT, 3, 1)]);
        assert_eq!(trial(&in_flight, &Counted::Account, "in-flight", 10), None);
    }

    #[test]
    fn a_window_of_seconds_is_counted_by_the_minute() {
        let rows = rows("burst:a:10:10:f:1", &[(MIDNIGHT, 61, 0), (MIDNIGHT + 1, 59, 0)]);
        let told = trial(&rows, &Counted::Account, "burst", 10).unwrap();
        // 61 is in a bucket from 60 to 63, of which 10 in each 10 seconds allow 60.
        assert_eq!((told.windows, told.windows_over), (2, Between { at_least: 0, at_most: 1 }));
    }
}
