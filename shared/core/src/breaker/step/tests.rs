use std::time::Duration;

use proptest::prelude::*;

use super::*;
use crate::breaker::state::Penalty;

const NOW: Timestamp = Timestamp::from_secs(1_795_310_000);

/// Returns `count` seconds up to now, each with the counts of `second`.
fn seconds(count: u64, second: SecondBucket) -> Vec<SecondBucket> {
    (0..count).rev().map(|ago| SecondBucket { at: NOW.as_secs() - ago, ..second }).collect()
}

/// Returns evidence that many environments saw.
fn seen(seconds: Vec<SecondBucket>) -> Evidence {
    Evidence { seconds, rate: 50.0, environments: 40, troubled_environments: 40, ..Evidence::default() }
}

fn state(mode: Mode, share: Share) -> BreakerState {
    BreakerState { generation: 7, mode, share, since: ago(60), ..BreakerState::new() }
}

fn ago(secs: u64) -> Timestamp {
    Timestamp::from_secs(NOW.as_secs() - secs)
}

fn decide(state: &BreakerState, evidence: &Evidence) -> Option<BreakerState> {
    step(state, evidence, NOW, 0.5, &BreakerConfig::default())
}

const GOOD: SecondBucket = SecondBucket { at: 0, good: 2, bad: 0, throttled: 0, late: 0, on_time: 2 };
const BAD: SecondBucket = SecondBucket { at: 0, good: 0, bad: 2, throttled: 0, late: 0, on_time: 0 };
const LATE: SecondBucket = SecondBucket { at: 0, good: 0, bad: 0, throttled: 0, late: 2, on_time: 0 };
const THROTTLED: SecondBucket = SecondBucket { at: 0, good: 0, bad: 0, throttled: 2, late: 0, on_time: 0 };
const MIXED: SecondBucket = SecondBucket { at: 0, good: 7, bad: 3, throttled: 0, late: 0, on_time: 0 };

#[test]
fn a_provider_that_fails_is_given_up_and_one_that_errs_gets_less() {
    let closed = state(Mode::Closed, Share::ALL);
    let failing = decide(&closed, &seen(seconds(3, BAD))).unwrap();
    assert_eq!((failing.mode, failing.share, failing.reason), (Mode::Open, Share::NONE, Reason::Failing));
    assert_eq!(failing.not_before, NOW.plus(Duration::from_secs(5)));
    let erring = decide(&closed, &seen(seconds(5, MIXED))).unwrap();
    assert_eq!((erring.mode, erring.reason), (Mode::Shed, Reason::Erring));
    assert!(erring.share < Share::ALL && erring.share > Share::NONE);
    assert_eq!(decide(&closed, &seen(seconds(300, GOOD))), None);
}

#[test]
fn a_provider_that_stalls_is_given_up_before_a_single_call_is_back() {
    let stalling = decide(&state(Mode::Closed, Share::ALL), &seen(seconds(4, LATE))).unwrap();
    assert_eq!((stalling.mode, stalling.reason), (Mode::Open, Reason::Stalling));
}

#[test]
fn being_limited_costs_a_share_and_never_all_of_it() {
    let mut at = state(Mode::Closed, Share::ALL);
    for _ in 0..10 {
        at = decide(&at, &seen(seconds(20, THROTTLED))).unwrap_or(at);
        assert_ne!(at.mode, Mode::Open);
    }
    assert_eq!((at.mode, at.share, at.reason), (Mode::Shed, Share::from_basis_points(500), Reason::Throttled));
    let probed = decide(&state(Mode::Probe, Share::NONE), &seen(seconds(1, THROTTLED))).unwrap();
    assert_eq!(probed.mode, Mode::Open, "a probe that is limited has failed");
}

#[test]
fn a_provider_is_asked_again_when_it_wants_to_be_within_reason() {
    let ask = |secs| Evidence { retry_after: Some(NOW.plus(Duration::from_secs(secs))), ..seen(seconds(3, BAD)) };
    let closed = state(Mode::Closed, Share::ALL);
    assert_eq!(decide(&closed, &ask(90)).unwrap().not_before, NOW.plus(Duration::from_secs(90)));
    assert_eq!(decide(&closed, &ask(9_000)).unwrap().not_before, NOW.plus(Duration::from_secs(300)));
    assert_eq!(decide(&closed, &ask(1)).unwrap().not_before, NOW.plus(Duration::from_secs(5)));
}

#[test]
fn a_spent_budget_opens_until_its_date_and_once() {
    let until = NOW.plus(Duration::from_secs(86_400));
    let spent = Evidence { spent_until: Some(until), ..seen(Vec::new()) };
    let open = decide(&state(Mode::Closed, Share::ALL), &spent).unwrap();
    assert_eq!((open.mode, open.not_before, open.reason), (Mode::Open, until, Reason::Spent));
    assert_eq!(decide(&open, &spent), None);
}

#[test]
fn one_environment_alone_decides_nothing_unless_it_is_the_only_one() {
    let closed = state(Mode::Closed, Share::ALL);
    for (environments, troubled, falls) in [(40, 1, false), (40, 2, false), (40, 3, true), (2, 2, true), (1, 1, true)] {
        let evidence = Evidence { environments, troubled_environments: troubled, ..seen(seconds(5, BAD)) };
        assert_eq!(decide(&closed, &evidence).is_some(), falls, "{troubled} of {environments}");
    }
}

#[test]
fn a_pause_doubles_with_every_round_of_probes_that_fails() {
    let mut at = BreakerState { failed_rounds: 0, ..state(Mode::Probe, Share::NONE) };
    let mut pauses = Vec::new();
    for _ in 0..5 {
        at = decide(&at, &seen(seconds(1, BAD))).unwrap();
        pauses.push(NOW.until(at.not_before).as_secs());
        at.mode = Mode::Probe;
    }
    assert_eq!(pauses, [10, 20, 40, 60, 60]);
}

#[test]
fn a_share_comes_back_by_steps() {
    let mut at = BreakerState { not_before: ago(1), ..state(Mode::Open, Share::NONE) };
    let mut way = Vec::new();
    // No call was let through while the circuit was open.
    let none = std::iter::once(seen(Vec::new()));
    let mut evidence = none.chain(std::iter::repeat_with(|| seen(seconds(10, GOOD))));
    while let Some(next) = evidence.next().and_then(|evidence| decide(&at, &evidence)) {
        way.push((next.mode, next.share.basis_points()));
        at = BreakerState { since: ago(60), ..next };
    }
    let ramp = |share| (Mode::Ramp, share);
    let expected = [(Mode::Probe, 0), ramp(500), ramp(1_000), ramp(2_500), ramp(5_000), (Mode::Closed, 10_000)];
    assert_eq!(way, expected);
}

#[test]
fn a_provider_that_was_given_up_often_comes_back_slowly() {
    let ramp = BreakerState { since: ago(15), ..state(Mode::Ramp, Share::from_basis_points(500)) };
    let often = (0..3).fold(Penalty::NONE, |penalty, _| penalty.raised(NOW, Duration::from_secs(300)));
    assert!(decide(&ramp, &seen(seconds(10, GOOD))).is_some());
    assert_eq!(decide(&BreakerState { penalty: often, ..ramp }, &seen(seconds(10, GOOD))), None);
}

#[test]
fn what_an_admin_said_holds_until_it_is_over() {
    let forced = |share, until| {
        let forced = Forced { share, until, by: "ada".to_owned() };
        BreakerState { forced: Some(forced), share, ..state(Mode::Ramp, share) }
    };
    assert_eq!(decide(&forced(Share::ALL, NOW.plus(Duration::from_secs(1))), &seen(seconds(20, BAD))), None);
    for (share, mode) in
        [(Share::ALL, Mode::Closed), (Share::NONE, Mode::Probe), (Share::from_basis_points(3_000), Mode::Ramp)]
    {
        let released = decide(&forced(share, NOW), &seen(Vec::new())).unwrap();
        assert_eq!((released.mode, released.share, released.forced), (mode, share, None));
    }
}

fn any_second() -> impl Strategy<Value = SecondBucket> {
    let few = || prop_oneof![4 => Just(0u32), 3 => 0..4u32, 1 => 0..2_000u32];
    (few(), few(), few(), few(), few()).prop_map(|(good, bad, throttled, late, on_time)| SecondBucket {
        at: 0,
        good,
        bad,
        throttled,
        late,
        on_time,
    })
}

fn any_evidence() -> impl Strategy<Value = Evidence> {
    let moment =
        || proptest::option::of((0..100_000u64).prop_map(|secs| Timestamp::from_secs(NOW.as_secs() - 50 + secs)));
    let seconds = proptest::collection::vec(any_second(), 0..40);
    (seconds, 0.0..200.0f64, 0..50u32, 0..50u32, moment(), moment()).prop_map(
        |(mut seconds, rate, environments, troubled, retry_after, spent_until)| {
            let first = NOW.as_secs() - seconds.len() as u64;
            (first..).zip(&mut seconds).for_each(|(at, second)| second.at = at);
            let troubled_environments = troubled.min(environments);
            Evidence {
                seconds,
                rate,
                environments,
                troubled_environments,
                accounts: 0,
                troubled_accounts: 0,
                late_accounts: 0,
                retry_after,
                spent_until,
            }
        },
    )
}

fn any_state() -> impl Strategy<Value = BreakerState> {
    let mode = prop_oneof![
        Just((Mode::Closed, Share::ALL)),
        Just((Mode::Open, Share::NONE)),
        Just((Mode::Probe, Share::NONE)),
        (500..10_000u16).prop_map(|share| (Mode::Shed, Share::from_basis_points(share))),
        (500..10_000u16).prop_map(|share| (Mode::Ramp, Share::from_basis_points(share))),
    ];
    (mode, 0..400u64, 0..600u64, 0..30u32, 0..6usize).prop_map(|((mode, share), since, not_before, failed, opened)| {
        let half_life = Duration::from_secs(300);
        let penalty = (0..opened).fold(Penalty::NONE, |penalty, _| penalty.raised(ago(100), half_life));
        let not_before = Timestamp::from_secs(NOW.as_secs() + 300 - not_before);
        BreakerState { since: ago(since), not_before, failed_rounds: failed, penalty, ..state(mode, share) }
    })
}

proptest! {
    #[test]
    fn every_decision_is_along_a_known_edge_and_one_generation_on(
        before in any_state(),
        evidence in any_evidence(),
        jitter in 0.0..1.0f64,
    ) {
        let Some(after) = step(&before, &evidence, NOW, jitter, &BreakerConfig::default()) else { return Ok(()) };
        use Mode::{Closed, Open, Probe, Ramp, Shed};
        prop_assert_eq!(after.generation, before.generation + 1);
        prop_assert_eq!(after.since, NOW);
        prop_assert!(matches!(
            (before.mode, after.mode),
            (Closed, Shed | Open)
                | (Shed | Ramp, Shed | Open | Ramp | Closed)
                | (Open, Probe | Open | Ramp)
                | (Probe, Open | Ramp)
        ));
        let fits = match after.mode {
            Closed => after.share == Share::ALL,
            Open | Probe => after.share == Share::NONE,
            Shed | Ramp => after.share > Share::NONE && after.share < Share::ALL,
        };
        prop_assert!(fits, "{:?}", after);
        prop_assert!(after.mode != Open || after.not_before > NOW);
    }

    #[test]
    fn a_share_never_rises_without_enough_fresh_results_or_time_nor_before_its_time(
        before in any_state(),
        evidence in any_evidence(),
    ) {
        let Some(after) = step(&before, &evidence, NOW, 0.5, &BreakerConfig::default()) else { return Ok(()) };
        if after.share > before.share {
            let totals = evidence.totals();
            let is_held = before.since.until(NOW) >= Duration::from_secs(30) && totals.troubled() == 0;
            let enough = match before.mode {
                Mode::Open => evidence.good_since_trouble() >= 5,
                Mode::Probe => totals.results >= 5 || (totals.results >= 1 && is_held),
                _ => totals.results >= 10 || is_held,
            };
            prop_assert!(enough);
            prop_assert!(matches!(before.mode, Mode::Probe | Mode::Open) || NOW >= before.not_before);
        }
        if before.mode == Mode::Open && after.mode == Mode::Probe {
            prop_assert!(NOW >= before.not_before);
        }
    }

    #[test]
    fn without_anything_bad_no_share_falls(before in any_state(), evidence in any_evidence()) {
        let clean = |second: &SecondBucket| SecondBucket { bad: 0, throttled: 0, late: 0, ..*second };
        let seconds = evidence.seconds.iter().map(clean).collect();
        let evidence = Evidence { seconds, spent_until: None, ..evidence };
        if let Some(after) = step(&before, &evidence, NOW, 0.5, &BreakerConfig::default()) {
            prop_assert!(after.share >= before.share && after.mode != Mode::Open);
        }
    }

    /// Covers every state that a crash may leave behind: with time and health all traffic comes back.
    #[test]
    fn from_every_state_a_healthy_provider_comes_back(before in any_state(), rate in 0.1..200.0f64) {
        let (mut state, mut now) = (before, NOW);
        for _ in 0..100 {
            now = now.plus(Duration::from_secs(60));
            let good = SecondBucket { at: now.as_secs(), good: 12, on_time: 12, ..SecondBucket::default() };
            let evidence = Evidence { seconds: vec![good], rate, environments: 3, ..Evidence::default() };
            state = step(&state, &evidence, now, 1.0, &BreakerConfig::default()).unwrap_or(state);
        }
        prop_assert_eq!((state.mode, state.share), (Mode::Closed, Share::ALL));
    }

    #[test]
    fn the_floor_is_a_call_a_second_and_never_more_than_half(rate in 0.0..10_000.0f64) {
        let share = f64::from(floor(rate, &BreakerConfig::default()).basis_points()) / 10_000.0;
        prop_assert!(share <= 0.5 && share * rate <= 1.0 + 1e-9);
        prop_assert!(share == 0.5 || (share + 0.0001) * rate >= 1.0);
    }
}

#[test]
fn one_accounts_bad_results_are_not_the_providers_while_another_one_calls() {
    let of_accounts = |accounts, troubled_accounts| Evidence { accounts, troubled_accounts, ..seen(seconds(6, BAD)) };
    let closed = state(Mode::Closed, Share::ALL);
    for (accounts, troubled, is_decided) in [(0, 0, true), (1, 1, true), (2, 1, false), (2, 2, true)] {
        let decided = decide(&closed, &of_accounts(accounts, troubled));
        assert_eq!(decided.is_some(), is_decided, "{troubled} of {accounts} accounts");
        let decided = decide(&state(Mode::Probe, Share::NONE), &of_accounts(accounts, troubled));
        assert_eq!(decided.is_some(), is_decided, "{troubled} of {accounts} accounts on probation");
    }
}

#[test]
fn a_provider_that_serves_what_nobody_else_can_take_is_open_no_longer() {
    let open = BreakerState { not_before: NOW.plus(Duration::from_secs(60)), ..state(Mode::Open, Share::NONE) };
    let mut seconds = seconds(4, BAD);
    seconds.extend([0, 1].map(|after| SecondBucket { at: NOW.as_secs() + 1 + after, ..GOOD }));
    assert_eq!(decide(&open, &seen(seconds.clone())), None, "four good results are not enough");
    seconds.push(SecondBucket { at: NOW.as_secs() + 3, ..GOOD });
    let ramp = decide(&open, &seen(seconds)).unwrap();
    assert_eq!((ramp.mode, ramp.share, ramp.reason), (Mode::Ramp, Share::LADDER[0], Reason::Recovered));
}

#[test]
fn a_share_comes_back_by_time_where_there_are_few_results_and_none_is_bad() {
    let ramp = |since| BreakerState { since: ago(since), ..state(Mode::Ramp, Share::from_basis_points(500)) };
    let quiet = |seconds| Evidence { rate: 0.01, ..seen(seconds) };
    assert_eq!(decide(&ramp(29), &quiet(Vec::new())), None);
    for (held, share) in [(30, 1_000), (60, 2_500), (90, 5_000), (120, 10_000), (86_400, 10_000)] {
        assert_eq!(
            decide(&ramp(held), &quiet(Vec::new())).unwrap().share,
            Share::from_basis_points(share),
            "after {held} s"
        );
    }
    assert_eq!(decide(&ramp(30), &quiet(seconds(2, GOOD))).unwrap().share, Share::from_basis_points(1_000));
    assert_eq!(decide(&ramp(86_400), &quiet(seconds(1, MIXED))), None, "not while some are bad");
    let probe = |since| BreakerState { since: ago(since), ..state(Mode::Probe, Share::NONE) };
    assert_eq!(decide(&probe(86_400), &quiet(Vec::new())), None, "nothing is known");
    assert_eq!(decide(&probe(29), &quiet(seconds(1, GOOD))), None);
    assert_eq!(decide(&probe(30), &quiet(seconds(1, GOOD))).unwrap().mode, Mode::Ramp);
}
