//! Computes from rows the counters that Redis would hold if it had not lost them. Pure. Start reading at [`recall()`].

use std::collections::BTreeMap;

use super::calendar::Day;
use super::day::{Counted, DayRow, PolicyDay, RowKey, is_by_hours};
use crate::clock::Timestamp;
use crate::limits::{Algorithm, LONGEST_WINDOW_SECS, Window, counter_key};

const HOUR_SECS: u64 = 3600;

/// Counter recalled from the statistics.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Recalled {
    /// Redis key of the counter.
    pub key: String,
    /// Count; at least 1.
    pub count: u64,
    /// Time after which the counter is not needed any more.
    pub needed_until: Timestamp,
}

/// Returns the first day on which the window that holds `now`, or the one before it, may begin.
pub(super) fn first_day(now: Timestamp) -> Day {
    let today = Day::from_timestamp(now);
    let two_windows = today.back(2 * LONGEST_WINDOW_SECS.div_ceil(24 * HOUR_SECS));
    two_windows.min(Day::from_timestamp(Window::Month.previous_start(now)))
}

/// Returns the counters of one account's policies with windows of an hour or more, from its rows in any order: the
/// current window's, and for a sliding policy also the previous one's. Hours that are only partly inside a window are
/// left out.
pub fn recall(rows: &[DayRow], now: Timestamp) -> Vec<Recalled> {
    // Group the days by policy.
    let mut policies = BTreeMap::<(&str, &Counted, &str), Vec<(Day, &PolicyDay)>>::new();
    for DayRow { key: RowKey { account, day, counted }, policies: of_day, .. } in rows {
        for (name, policy) in of_day.iter().filter(|(_, policy)| is_by_hours(policy.window)) {
            policies.entry((account, counted, name)).or_default().push((*day, policy));
        }
    }
    let mut counters = Vec::new();
    for ((account, counted, name), mut days) in policies {
        days.sort_by_key(|(day, _)| *day);
        // Use the policy's latest window and algorithm, and the days that had this window.
        let Some((_, last)) = days.last() else { continue };
        let (window, is_sliding) = (last.window, last.algorithm == Algorithm::Sliding);
        days.retain(|(_, policy)| policy.window == window);
        let (start, end) = (window.start(now), window.end(now));
        let mut add = |start: Timestamp, end: Timestamp, needed_until: Timestamp| {
            let used = days.iter().map(|(day, policy)| used_between(*day, policy, start, end));
            let count = used.fold(0, u64::saturating_add);
            if count > 0 {
                let key = counter_key(name, &subject(account, counted), window, start);
                counters.push(Recalled { key, count, needed_until });
            }
        };
        if is_sliding {
            add(window.previous_start(now), start, end);
            add(start, end, window.end(end));
        } else {
            add(start, end, end);
        }
    }
    counters
}

/// Returns the subject as it stands in the counters' keys
/// ([`LimitsConfig::charges`](crate::limits::LimitsConfig::charges)).
fn subject(account: &str, counted: &Counted) -> String {
    match counted {
        Counted::Account => account.to_owned(),
        Counted::Class(id) | Counted::Integration(id) => format!("{account}/{id}"),
        Counted::Key(id) => id.clone(),
    }
}

/// Returns the use in those hours of `day` that lie wholly between `start` and `end`.
fn used_between(day: Day, policy: &PolicyDay, start: Timestamp, end: Timestamp) -> u64 {
    let (start, end, midnight) = (start.as_secs(), end.as_secs(), day.start().as_secs());
    let begins = (0u64..).map(|hour| midnight + hour * HOUR_SECS);
    let inside = begins.zip(&policy.hours).filter(|(begin, _)| start <= *begin && begin + HOUR_SECS <= end);
    inside.map(|(_, used)| *used).fold(0, u64::saturating_add)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::statistics::tests::{at, tally};

    /// Noon of 22 November 2026, a Sunday.
    const NOON: u64 = 1_795_348_800;
    const HOUR: u64 = 3600;
    const DAY: u64 = 24 * HOUR;

    /// Returns the rows of calls under these policies, given as moments with numbers of calls.
    fn rows(policies: &str, calls: &[(u64, u64)]) -> Vec<DayRow> {
        let mut rows = BTreeMap::<RowKey, DayRow>::new();
        for (moment, calls) in calls {
            let tally = tally(&format!("0 acme/crm/k1/ai {policies}"), *calls);
            for key in RowKey::from_tally(&tally, Day::from_timestamp(at(*moment))) {
                let row = rows.remove(&key).unwrap_or_else(|| DayRow::new(key.clone()));
                rows.insert(key, row.fold(moment / 60, std::slice::from_ref(&tally)));
            }
        }
        rows.into_values().collect()
    }

    fn recalled(policies: &str, calls: &[(u64, u64)]) -> Vec<(String, u64)> {
        let recalled = recall(&rows(policies, calls), at(NOON));
        recalled.into_iter().map(|it| (it.key, it.count)).collect()
    }

    fn counter(name: &str, start: u64, count: u64) -> (String, u64) {
        (format!("{{levee}}:limit:{name}:{start}"), count)
    }

    #[test]
    fn a_days_counter_is_that_days_calls_by_their_weight() {
        let calls = [(NOON - 13 * HOUR, 1), (NOON - 12 * HOUR, 2), (NOON - HOUR, 4), (NOON - 60, 8)];
        assert_eq!(
            recalled("account-day:a:9:86400:f:3", &calls),
            [counter("account-day:acme:86400", NOON - DAY / 2, 42)]
        );
    }

    #[test]
    fn a_policy_that_looks_back_gets_the_window_before_as_well() {
        let calls = [(NOON - 37 * HOUR, 1), (NOON - 36 * HOUR, 2), (NOON - 13 * HOUR, 4), (NOON - HOUR, 8)];
        let recalled = recall(&rows("p:i:9:86400:s:1", &calls), at(NOON));
        let (today, midnight) = (NOON - DAY / 2, at(NOON + DAY / 2));
        let [before, current] = &recalled[..] else { panic!("{recalled:?}") };
        assert_eq!((&before.key, before.count), (&counter("p:acme/crm:86400", today - DAY, 0).0, 6));
        assert_eq!((&current.key, current.count), (&counter("p:acme/crm:86400", today, 0).0, 8));
        assert_eq!((before.needed_until, current.needed_until), (midnight, at(NOON + DAY + DAY / 2)));
    }

    #[test]
    fn a_month_is_the_sum_of_its_days() {
        let (first, calls) = (NOON - 21 * DAY - DAY / 2, |moment| (moment, 1));
        let calls = [first - 60, first, first + 5 * DAY, NOON].map(calls);
        assert_eq!(recalled("p:k:9:month:f:1", &calls), [counter("p:k1:month", first, 3)]);
    }

    #[test]
    fn an_hour_that_is_not_wholly_inside_is_left_out() {
        // Windows of an hour and a half: 10:30 to 12:00, then 12:00 to 13:30.
        let calls = [(NOON - 100 * 60, 1), (NOON - 80 * 60, 2), (NOON - 40 * 60, 4), (NOON, 8)];
        let expected = [counter("p:acme/ai:5400", NOON - 5400, 4), counter("p:acme/ai:5400", NOON, 8)];
        assert_eq!(recalled("p:r:9:5400:s:1", &calls), expected);
    }

    #[test]
    fn short_windows_calls_in_flight_and_what_is_shared_with_others_are_not_recalled() {
        let policies = "a:a:9:60:f:1 b:a:9:86400:c:1 c:g:9:86400:f:1 d:s:9:86400:f:1 e:c:9:86400:f:1";
        assert_eq!(recalled(policies, &[(NOON - 60, 5)]), []);
    }

    #[test]
    fn a_window_that_was_changed_begins_with_nothing() {
        let mut rows = rows("p:a:9:86400:f:1", &[(NOON - DAY, 1), (NOON - HOUR, 2)]);
        let tally = tally("0 acme/crm/k1/ai p:a:9:month:f:1", 4);
        let today = rows.pop().unwrap();
        rows.push(today.fold(NOON / 60, &[tally]));
        let recalled = recall(&rows, at(NOON));
        assert_eq!(recalled.iter().map(|it| it.count).collect::<Vec<_>>(), [4]);
    }
}
