use levee::csp::counter::Example;
use levee::csp::project::ServedPolicy;
use levee::csp::{Directive, Policy};
use rstest::rstest;

use super::*;

/// 2026-11-30 12:30 UTC.
const NOW: Timestamp = Timestamp::from_secs(1_796_041_800);
const THRESHOLDS: CspThresholds = CspThresholds { reach: 5, spike: 20, reports: 50 };

fn row(directive: &str, class: Class) -> GroupRow {
    GroupRow {
        project: "shop".to_owned(),
        id: "0123456789abcdef".to_owned(),
        directive: Directive::parse(directive).unwrap(),
        class,
        blocked: "https://evil.example".to_owned(),
        document: "shop.example/cart".to_owned(),
        first_seen: NOW.as_secs() - 600,
        last_seen: NOW.as_secs() - 60,
        total: 9,
        reach: 5,
        state: GroupState::Open,
        state_since: 0,
        example: Example::default(),
        browsers: BTreeMap::new(),
        versions: BTreeMap::new(),
    }
}

fn project() -> Project {
    let mut project = Project {
        name: "shop".parse().unwrap(),
        document_hosts: vec!["shop.example".to_owned()],
        third_parties: vec![],
        sensitive_paths: vec!["/checkout".to_owned()],
        policies: vec![],
        revision: 1,
        changed_at: 0,
    };
    project.serve(&Policy::parse("default-src 'self'").unwrap(), false, NOW.minus(DAY * 30));
    project.serve(&Policy::parse("default-src 'none'").unwrap(), false, NOW.minus(Duration::from_secs(HOUR_SECS)));
    project
}

/// Returns the kinds of the alerts about a group without history.
fn kinds(row: GroupRow) -> Vec<String> {
    kinds_with(row, &[])
}

/// Returns the kinds of the alerts about a group with reports by hours ago.
fn kinds_with(row: GroupRow, history: &[(u64, u64)]) -> Vec<String> {
    let group = ActiveGroup { row, days: days(history) };
    let alerts = judge_group(&project(), &group, THRESHOLDS, NOW);
    alerts.into_iter().map(|alert| alert.key.split('/').next().unwrap().to_owned()).collect()
}

fn days(history: &[(u64, u64)]) -> BTreeMap<String, [u64; 24]> {
    let mut days: BTreeMap<String, [u64; 24]> = BTreeMap::new();
    for (ago, reports) in history {
        let at = NOW.minus(Duration::from_secs(ago * HOUR_SECS));
        days.entry(day(at)).or_default()[(at.as_secs() / HOUR_SECS % 24) as usize] += reports;
    }
    days
}

#[test]
fn a_new_script_is_an_alert_from_enough_networks() {
    let script = row("script-src-elem", Class::External);
    assert_eq!(kinds(script.clone()), ["csp.new"]);
    assert!(kinds(GroupRow { reach: 4, ..script.clone() }).is_empty());
    let a_day_ago = NOW.as_secs() - 24 * HOUR_SECS;
    assert_eq!(kinds(GroupRow { first_seen: a_day_ago, ..script.clone() }), ["csp.new"]);
    assert!(kinds(GroupRow { first_seen: a_day_ago - 1, ..script }).is_empty());
}

#[test]
fn two_networks_are_enough_on_a_sensitive_page() {
    let checkout = GroupRow {
        document: "shop.example/checkout/{n}".to_owned(),
        reach: 2,
        ..row("script-src-elem", Class::Inline)
    };
    assert_eq!(kinds(checkout.clone()), ["csp.new"]);
    assert!(kinds(GroupRow { reach: 1, ..checkout }).is_empty());
}

#[rstest]
#[case::noise("script-src-elem", Class::Extension)]
#[case::contradicted("script-src-elem", Class::Contradicted)]
#[case::no_script("img-src", Class::External)]
#[case::known_third_party("script-src-elem", Class::KnownThirdParty)]
fn other_new_groups_are_none(#[case] directive: &str, #[case] class: Class) {
    assert!(kinds(GroupRow { reach: 1_000, ..row(directive, class) }).is_empty());
}

#[test]
fn a_muted_group_raises_nothing() {
    let muted = GroupRow { state: GroupState::Muted, ..row("script-src-elem", Class::External) };
    assert!(kinds_with(muted, &[(0, 100_000)]).is_empty());
}

#[test]
fn a_resolved_group_is_back_after_the_grace_and_not_before() {
    let resolved = GroupRow { state: GroupState::Resolved, ..row("img-src", Class::External) };
    let since = |secs| GroupRow { state_since: secs, ..resolved.clone() };
    assert_eq!(kinds(since(resolved.last_seen - HOUR_SECS - 1)), ["csp.back"]);
    assert!(kinds(since(resolved.last_seen - HOUR_SECS)).is_empty());
}

#[test]
fn a_spike_is_measured_by_the_groups_own_average() {
    let old = GroupRow { first_seen: NOW.as_secs() - 48 * HOUR_SECS, ..row("img-src", Class::External) };
    let steady: Vec<_> = (1..=24).map(|ago| (ago, 5)).collect();
    let with_now = |reports| [vec![(0, reports)], steady.clone()].concat();
    assert_eq!(kinds_with(old.clone(), &with_now(100)), ["csp.spike"]);
    assert!(kinds_with(old.clone(), &with_now(99)).is_empty());
    // A quiet group needs the least number of reports.
    assert_eq!(kinds_with(old.clone(), &[(0, 50)]), ["csp.spike"]);
    assert!(kinds_with(old, &[(0, 49)]).is_empty());
    // A group of today has no average.
    assert!(kinds_with(row("img-src", Class::External), &[(0, 5_000)]).is_empty());
}

#[test]
fn inline_code_and_a_new_address_on_one_host_are_an_alert() {
    let code = row("script-src-elem", Class::Inline);
    let address = GroupRow { reach: 2, ..row("connect-src", Class::External) };
    let alert = |groups: &[GroupRow]| judge_theft(groups, NOW).map(|alert| alert.key);
    assert_eq!(alert(&[code.clone(), address.clone()]).as_deref(), Some("csp.theft/shop/0123456789abcdef"));
    assert_eq!(alert(std::slice::from_ref(&code)), None);
    assert_eq!(alert(std::slice::from_ref(&address)), None);
    assert_eq!(alert(&[code.clone(), GroupRow { reach: 1, ..address.clone() }]), None);
    assert_eq!(alert(&[code.clone(), GroupRow { document: "b.example/x".to_owned(), ..address.clone() }]), None);
    assert_eq!(alert(&[code.clone(), row("font-src", Class::External)]), None);
    let an_hour_ago = NOW.as_secs() - HOUR_SECS;
    assert!(alert(&[GroupRow { last_seen: an_hour_ago, ..code.clone() }, address.clone()]).is_some());
    assert_eq!(alert(&[GroupRow { last_seen: an_hour_ago - 1, ..code.clone() }, address.clone()]), None);
    let old = GroupRow { first_seen: NOW.as_secs() - 24 * HOUR_SECS - 1, ..address };
    assert_eq!(alert(&[code, old]), None);
}

/// Returns counts by hours ago, of the served version and of all.
fn counts(served: &[(u64, u64)], others: &[(u64, u64)]) -> Vec<DayCounts> {
    let version = project().served().map(|ServedPolicy { version, .. }| version.to_string()).unwrap();
    let (of_version, mut all) = (days(served), days(others));
    for (day, hours) in &of_version {
        let sums = all.entry(day.clone()).or_default();
        sums.iter_mut().zip(hours).for_each(|(sum, reports)| *sum += reports);
    }
    let counts = all.into_iter().map(|(day, hours)| {
        let versions =
            of_version.get(&day).map(|hours| BTreeMap::from([(version.clone(), *hours)])).unwrap_or_default();
        DayCounts { day, plain: BTreeMap::new(), hours, versions }
    });
    counts.collect()
}

#[test]
fn a_new_policy_that_blocks_more_is_an_alert() {
    let steady: Vec<_> = (1..=24).map(|ago| (ago, 12)).collect();
    let judged = |served: &[(u64, u64)], others: &[(u64, u64)]| {
        judge_counts(&project(), &counts(served, others), 0, THRESHOLDS, NOW).len()
    };
    // 288 a day are 24 in two hours; five times that are 120.
    assert_eq!(judged(&[(0, 120)], &steady), 1);
    assert_eq!(judged(&[(0, 119)], &steady), 0);
    assert_eq!(judged(&[(0, 60), (1, 60)], &steady), 1);
    // It is not new any more.
    assert_eq!(judged(&[(0, 120), (2, 1)], &steady), 0);
    // There was nothing before it.
    assert_eq!(judged(&[(0, 120)], &[]), 0);
    // Too few for a pattern.
    assert_eq!(judged(&[(0, 49)], &[(5, 1)]), 0);
    assert_eq!(judged(&[(0, 50)], &[(5, 1)]), 1);
}

#[test]
fn one_report_beyond_the_groups_is_an_alert() {
    let keys = |beyond| {
        judge_counts(&project(), &[], beyond, THRESHOLDS, NOW).into_iter().map(|alert| alert.key).collect::<Vec<_>>()
    };
    assert_eq!(keys(1), ["csp.flood/shop"]);
    assert!(keys(0).is_empty());
}

#[test]
fn a_day_without_reports_after_a_busy_week_is_an_alert() {
    let week = |reports: u64| (1..=9).map(|day| (day * 24 + 6, reports)).collect::<Vec<_>>();
    let is_silent =
        |history: &[(u64, u64)]| judge_silence(&project(), &counts(&[], history), THRESHOLDS, NOW).is_some();
    assert!(is_silent(&week(50)));
    assert!(!is_silent(&week(49)));
    assert!(!is_silent(&[week(50), vec![(24, 1)]].concat()));
    assert!(!is_silent(&[week(50), vec![(0, 1)]].concat()));
    assert!(!is_silent(&[]));
}
