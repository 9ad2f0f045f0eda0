use rstest::rstest;

use super::*;
use crate::quotas::PoolEvidence;

const NOW: Timestamp = Timestamp::from_secs(1_796_000_000);

fn days_ago(days: u64) -> u64 {
    NOW.as_secs() - days * DAY_SECS
}

/// Returns evidence by which twice the limit of 600 is granted.
fn evidence() -> Evidence {
    Evidence {
        account_created_at: Some(days_ago(14)),
        present: 600,
        source: LimitSource::Default,
        standard: 600,
        days_observed: 7,
        windows: 1_000,
        demand_p95: Some(360),
        days_refused: 0,
        used_today: 0,
        refused_today: 0,
        last_granted_at: None,
        pool: Some(PoolEvidence { limit: 6_000, share: 1_200, used: Some(4_200) }),
        would_refuse: None,
    }
}

fn rule_for(limit: u64, until: Option<u64>, evidence: &Evidence) -> Rule {
    judge(limit, until, evidence, &QuotaRules::default(), NOW).rule
}

/// Each row: evidence at the border of a rule, and beyond it.
#[rstest]
#[case::age(Rule::Age, Evidence { account_created_at: Some(days_ago(14) + 1), ..evidence() })]
#[case::age_unknown(Rule::Age, Evidence { account_created_at: None, ..evidence() })]
#[case::admin(Rule::AdminLimit, Evidence { source: LimitSource::Override, ..evidence() })]
#[case::raise(Rule::Raise, Evidence { present: 599, ..evidence() })]
#[case::ceiling(Rule::Ceiling, Evidence { standard: 299, ..evidence() })]
#[case::share(Rule::Pool, pool(1_199, Some(4_200)))]
#[case::pool(Rule::Pool, pool(1_200, Some(4_201)))]
#[case::pool_unknown(Rule::Pool, pool(1_200, None))]
#[case::cooldown(Rule::Cooldown, Evidence { last_granted_at: Some(days_ago(30) + 1), ..evidence() })]
#[case::no_demand(Rule::NoDemand, Evidence { demand_p95: Some(359), ..evidence() })]
#[case::demand_unknown(Rule::NoDemand, Evidence { demand_p95: None, ..evidence() })]
#[case::refused_days(Rule::NoDemand, Evidence { demand_p95: None, days_refused: 2, ..evidence() })]
#[case::refused_today(Rule::NoDemand, Evidence { demand_p95: None, used_today: 1_920, refused_today: 100, ..evidence() })]
fn just_beyond_the_border_of_a_rule_an_admin_decides(#[case] rule: Rule, #[case] evidence: Evidence) {
    assert_eq!(rule_for(1_200, None, &evidence), rule);
}

fn pool(share: u64, used: Option<u64>) -> Evidence {
    Evidence { pool: Some(PoolEvidence { limit: 6_000, share, used }), ..evidence() }
}

#[rstest]
#[case::all_at_the_border(evidence())]
#[case::ceiling(Evidence { standard: 300, ..evidence() })]
#[case::cooldown(Evidence { last_granted_at: Some(days_ago(30)), ..evidence() })]
#[case::no_pool(Evidence { pool: None, ..evidence() })]
#[case::after_a_grant(Evidence { source: LimitSource::Grant, ..evidence() })]
#[case::off_for_all(Evidence { standard: 0, ..evidence() })]
#[case::refused_days(Evidence { demand_p95: None, days_refused: 3, ..evidence() })]
#[case::refused_today(Evidence { demand_p95: None, used_today: 1_900, refused_today: 100, ..evidence() })]
fn at_the_border_of_each_rule_twice_the_limit_is_granted(#[case] evidence: Evidence) {
    let judgement = judge(1_200, None, &evidence, &QuotaRules::default(), NOW);
    assert_eq!((judgement.rule, judgement.granted_until), (Rule::Demand, Some(NOW.as_secs() + 90 * DAY_SECS)));
}

#[test]
fn a_grant_ends_when_it_was_asked_to_or_after_the_longest_time() {
    let until = |until| judge(1_200, until, &evidence(), &QuotaRules::default(), NOW).granted_until;
    let (soon, late) = (NOW.as_secs() + 5 * DAY_SECS, NOW.as_secs() + 200 * DAY_SECS);
    assert_eq!((until(Some(soon)), until(Some(late))), (Some(soon), Some(NOW.as_secs() + 90 * DAY_SECS)));
}

#[test]
fn a_short_grant_needs_one_refusal_and_a_shorter_pause() {
    let once = Evidence { demand_p95: None, days_refused: 1, last_granted_at: Some(days_ago(7)), ..evidence() };
    let (short, long) = (NOW.as_secs() + 72 * HOUR_SECS, NOW.as_secs() + 72 * HOUR_SECS + 1);
    assert_eq!(rule_for(1_200, Some(short), &once), Rule::Short);
    assert_eq!(rule_for(1_200, Some(long), &once), Rule::Cooldown);
    assert_eq!(rule_for(1_200, Some(long), &Evidence { last_granted_at: None, ..once.clone() }), Rule::NoDemand);
    assert_eq!(rule_for(1_200, Some(short), &Evidence { days_refused: 0, ..once.clone() }), Rule::NoDemand);
    let recent = Evidence { last_granted_at: Some(days_ago(7) + 1), ..once };
    assert_eq!(rule_for(1_200, Some(short), &recent), Rule::Cooldown);
}

#[test]
fn without_automatic_grants_every_request_waits() {
    let rules = QuotaRules { automatic: false, ..QuotaRules::default() };
    let judgement = judge(601, None, &evidence(), &rules, NOW);
    assert_eq!((judgement.rule, judgement.granted_until), (Rule::Manual, None));
}

#[test]
fn a_judgement_says_what_would_change_it_and_nothing_about_the_pool() {
    let told = |limit, evidence: &Evidence| judge(limit, None, evidence, &QuotaRules::default(), NOW).explanation;
    assert!(told(5_000, &evidence()).ends_with("Up to 1,200 may be."));
    let recent = Evidence { last_granted_at: Some(days_ago(1)), ..evidence() };
    assert!(told(700, &recent).contains("From 2026-12-29T00:53:20Z on"), "{}", told(700, &recent));
    let full = pool(1_200, Some(5_999));
    assert!(!told(700, &full).contains(['5', '6']), "{}", told(700, &full));
}

#[test]
fn a_rule_is_printed_as_it_is_stored() {
    for rule in Rule::ALL {
        assert_eq!(serde_json::to_value(rule).unwrap(), rule.name());
    }
}
