use proptest::prelude::*;

use super::*;
use crate::statistics::tests::{at, tally};

/// Midnight of 22 November 2026, minutes since the Unix epoch.
const MIDNIGHT: u64 = 29_921_760;
const CALLER: &str = "acme/crm/k1/ai";
const POLICIES: &str = "ai-address:c:30:60:f:1 key:k:50:60:f:1 integration:i:300:60:f:1 account-ai:r:9:3600:s:1 \
                        account:a:600:60:f:1 account-day:a:1000:86400:f:2 global-share:s:9:60:f:1 \
                        global:g:9:60:f:1 in-flight:a:20:60:c:1";

fn day() -> Day {
    Day::from_timestamp(at(MIDNIGHT * 60))
}

fn key(counted: Counted) -> RowKey {
    RowKey { account: "acme".to_owned(), day: day(), counted }
}

/// Returns tallies of calls: those that passed under place 0, those that a policy refused under its place from 1 on.
fn tallies(policies: &str, calls: &[(usize, u64)]) -> Vec<Tally> {
    calls.iter().map(|(place, calls)| tally(&format!("{place} {CALLER} {policies}"), *calls)).collect()
}

fn fold_all(counted: Counted, policies: &str, minutes: &[(u64, &[(usize, u64)])]) -> DayRow {
    let fold = |row: DayRow, (minute, calls): &(u64, &[(usize, u64)])| row.fold(*minute, &tallies(policies, calls));
    minutes.iter().fold(DayRow::new(key(counted)), fold)
}

#[test]
fn each_policy_is_in_the_row_of_those_it_counts_and_shared_ones_tell_refusals_alone() {
    let rows = RowKey::from_tally(&tallies(POLICIES, &[(0, 1)])[0], day());
    let told: Vec<String> = rows.iter().map(|row| row.counted.to_string()).collect();
    assert_eq!(told, ["account", "class/ai", "integration/crm", "key/k1"]);
    for counted in rows.into_iter().map(|row| row.counted) {
        assert_eq!(counted.to_string().parse(), Ok(counted));
    }

    // Policies that accounts share appear with their refusals only.
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
    // The integration's row has its own policy's refusals.
    let refused_by_integration = fold_all(Counted::Integration("crm".to_owned()), POLICIES, &[(MIDNIGHT, calls)]);
    assert_eq!(refused_by_integration.policies["integration"].refused, 9);
    assert_eq!(refused_by_integration.policies["integration"].used, 7);
}

#[test]
fn a_refusal_alone_is_in_the_row_of_the_policy_that_refused() {
    let rows = RowKey::from_tally(&tallies(POLICIES, &[(2, 1)])[0], day());
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
    let used = [0, 0, 0, 0, 1, 1, 0, 0, 0, 1, 0];
    assert_eq!((account.histogram.0, account.histogram_so_far().0), (used, used));
    // A span in which all calls were refused is demand, but no use.
    assert_eq!(account.open, Some(Span { start: (MIDNIGHT + 10) * 60, used: 0, refused: 5 }));
    let demand = |account: &PolicyDay| account.demand_so_far().unwrap();
    assert_eq!((demand(account).spans(), demand(account).above(304).at_least), (4, 1));
    assert_eq!(demand(account).above(4).at_least, 4);
    // A later span closes the one before.
    let row = row.fold(MIDNIGHT + 11, &tallies("account:a:600:60:f:1", &[(0, 1)]));
    let account = &row.policies["account"];
    assert_eq!(account.histogram_so_far().0, [1, 0, 0, 0, 1, 1, 0, 0, 0, 1, 0]);
    assert_eq!(account.open, Some(Span { start: (MIDNIGHT + 11) * 60, used: 1, refused: 0 }));
}

#[test]
fn a_row_of_a_release_without_demand_stays_readable_and_says_nothing_about_demand() {
    let row = fold_all(Counted::Account, "account:a:600:60:f:1", &[(MIDNIGHT, &[(0, 3)])]);
    let mut stored = serde_json::to_value(&row.policies).unwrap();
    stored["account"].as_object_mut().unwrap().remove("demand");
    stored["account"]["open"].as_object_mut().unwrap().remove("refused");
    let row = DayRow { policies: serde_json::from_value(stored).unwrap(), ..row };
    // The day is recorded in part, so it stays unknown until the next one.
    let row = row.fold(MIDNIGHT + 1, &tallies("account:a:600:60:f:1", &[(0, 4)]));
    assert_eq!((row.policies["account"].used, row.policies["account"].demand_so_far()), (7, None));
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
    // A full row still takes further calls of its policies.
    assert_eq!(row.fold(MIDNIGHT + 100, &tallies("p0:a:9:60:f:1", &[(0, 1)])).policies["p0"].used, 2);
}

prop_compose! {
    /// Generates minutes of a day in order, each with tallies of policies whose limit and window change.
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
            // Each sample needs calls of its own.
            let demand = policy.demand_so_far().unwrap();
            prop_assert!(demand.spans() <= all().count() as u64);
            let samples: u64 = policy.histogram_so_far().0.iter().sum();
            prop_assert!(samples <= all().count() as u64);
            prop_assert_eq!(samples == 0, passed == 0);
            prop_assert!(policy.hours.iter().sum::<u64>() <= policy.used);
        }
    }
}
