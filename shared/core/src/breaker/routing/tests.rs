use std::collections::HashSet;
use std::time::Duration;

use proptest::prelude::*;

use super::*;
use crate::breaker::evidence::{Evidence, SecondBucket};
use crate::breaker::provider_status::Pause;
use crate::breaker::state::Forced;
use crate::breaker::step;

const NOW: Timestamp = Timestamp::from_secs(1_795_310_000);
const SESSIONS: u32 = 20_000;
const NAMES: [&str; 4] = ["primary", "backup", "third", "fourth"];

fn standing(mode: Mode, share: Share) -> ProviderStatus {
    ProviderStatus {
        state: BreakerState { mode, share, ..BreakerState::new() },
        rate: 100.0,
        late_after: None,
        first_content: None,
        is_shared: true,
        is_away: false,
        has_room: false,
        pause: None,
        served_another: false,
        now: NOW,
    }
}

fn closed() -> ProviderStatus {
    standing(Mode::Closed, Share::ALL)
}

fn open() -> ProviderStatus {
    let mut standing = standing(Mode::Open, Share::NONE);
    standing.state.not_before = NOW.plus(Duration::from_secs(9));
    standing
}

fn paused(standing: ProviderStatus, is_probe_due: bool, may_ask: bool) -> ProviderStatus {
    let until = NOW.plus(Duration::from_secs(7_200));
    ProviderStatus { pause: Some(Pause { until, is_probe_due, may_ask }), ..standing }
}

/// Returns the stops of a call as pairs of provider and condition.
fn stops(standings: &[ProviderStatus]) -> Vec<(usize, Entry)> {
    go("session", standings, 0).unwrap().stops.iter().map(|stop| (stop.provider, stop.entry)).collect()
}

fn forced(standing: ProviderStatus, share: u16, secs: i64) -> ProviderStatus {
    let until = Timestamp::from_secs(NOW.as_secs().saturating_add_signed(secs));
    let forced = Some(Forced { share: Share::from_basis_points(share), until, by: "ada".to_owned() });
    ProviderStatus { state: BreakerState { forced, ..standing.state }, ..standing }
}

fn candidates(standings: &[ProviderStatus]) -> Vec<Candidate<'_>> {
    NAMES.iter().zip(standings).map(|(name, standing)| Candidate { name, standing, is_allowed: true }).collect()
}

fn go(session: &str, standings: &[ProviderStatus], warm: u16) -> Result<RoutePlan, NoRoute> {
    route(alone(session), &candidates(standings), Share::from_basis_points(warm), &BreakerConfig::default())
}

/// Returns a call without a session.
fn alone(session: &str) -> Affinity<'_> {
    Affinity { session, call: session }
}

/// Returns the provider that each of many sessions is sent to first.
fn firsts(standings: &[ProviderStatus], warm: u16) -> Vec<Option<usize>> {
    let first = |session: u32| go(&format!("session-{session}"), standings, warm).ok().map(|it| it.stops[0].provider);
    (0..SESSIONS).map(first).collect()
}

#[test]
fn a_provider_is_judged_by_single_calls_where_no_session_is_in_its_share() {
    let ramp = ProviderStatus { rate: 20.0, ..standing(Mode::Ramp, Share::from_basis_points(500)) };
    let standings = [ramp, standing(Mode::Closed, Share::ALL)];
    let session = (0..).map(|n| format!("busy-{n}")).find(|session| place(session, NAMES[0]) > 9_000).unwrap();
    let goes = |call: u32| {
        let call = format!("call-{call}");
        let whose = Affinity { session: &session, call: &call };
        let route = route(whose, &candidates(&standings), Share::NONE, &BreakerConfig::default()).unwrap();
        route.stops[0].provider == 0
    };
    // One call a second, of 20.
    is_about((0..SESSIONS).filter(|call| goes(*call)).count() as f64, 0.05);
}

/// A healthy provider gets back all of its calls even if a single session makes all calls.
#[test]
fn one_busy_session_brings_a_healthy_provider_back_to_all_of_its_calls() {
    let session = (0..).map(|n| format!("busy-{n}")).find(|session| place(session, NAMES[0]) > 9_000).unwrap();
    let config = BreakerConfig::default();
    let rate = 20;
    let mut ramp = ProviderStatus { rate: f64::from(rate), ..standing(Mode::Ramp, Share::from_basis_points(500)) };
    ramp.state.since = NOW;
    let (mut seconds, mut at) = (Vec::new(), NOW);
    for second in 0..3_600_u64 {
        at = NOW.plus(Duration::from_secs(second));
        let goes = |call: &u32| {
            let (call, standings) =
                (format!("call-{second}-{call}"), [ramp.clone(), standing(Mode::Closed, Share::ALL)]);
            let whose = Affinity { session: &session, call: &call };
            route(whose, &candidates(&standings), Share::NONE, &config).unwrap().stops[0].provider == 0
        };
        let good = (0..rate).filter(goes).count() as u32;
        seconds.push(SecondBucket { at: at.as_secs(), good, on_time: good, ..SecondBucket::default() });
        let (seconds_seen, rate) = (seconds.clone(), f64::from(rate));
        let evidence = Evidence { seconds: seconds_seen, rate, environments: 3, ..Evidence::default() };
        if let Some(next) = step(&ramp.state, &evidence, at, 0.5, &config) {
            (ramp.state, _) = (next, seconds.clear());
        }
        if ramp.state.mode == Mode::Closed {
            break;
        }
    }
    assert_eq!(ramp.state.mode, Mode::Closed, "not within an hour; at {at:?} {:?}", ramp.state);
}

fn count(firsts: &[Option<usize>], provider: usize) -> f64 {
    firsts.iter().filter(|first| **first == Some(provider)).count() as f64
}

/// Asserts that `hits` of [`SESSIONS`] are a sample of `share` (within five standard deviations).
fn is_about(hits: f64, share: f64) {
    let (all, spread) = (f64::from(SESSIONS), (f64::from(SESSIONS) * share * (1.0 - share)).sqrt());
    assert!((hits - all * share).abs() <= 5.0 * spread, "{hits} of {all}, not {share}");
}

#[test]
fn a_share_of_the_sessions_is_that_share() {
    for share in [500, 1_000, 2_500, 5_000, 7_321] {
        let firsts = firsts(&[standing(Mode::Ramp, Share::from_basis_points(share)), closed()], 0);
        is_about(count(&firsts, 0), f64::from(share) / 10_000.0);
    }
}

#[test]
fn places_with_two_providers_have_nothing_to_do_with_each_other() {
    let half = |provider| move |session: &String| place(session, provider) < 5_000;
    let sessions: Vec<String> = (0..SESSIONS).map(|session| format!("session-{session}")).collect();
    let both = sessions.iter().filter(|session| half("primary")(session) && half("backup")(session)).count();
    is_about(both as f64, 0.25);
    let warm = sessions.iter().filter(|session| half("primary")(session) && half("warm")(session)).count();
    is_about(warm as f64, 0.25);
}

#[test]
fn the_backup_is_kept_warm_while_the_first_one_is_whole_and_so_comes_back_unneeded() {
    for backup in [closed(), standing(Mode::Ramp, Share::from_basis_points(500)), standing(Mode::Probe, Share::NONE)] {
        is_about(count(&firsts(&[closed(), backup], 200), 1), 0.02);
    }
    let probing = [closed(), standing(Mode::Probe, Share::NONE)];
    let routes = (0..SESSIONS).filter_map(|session| go(&format!("session-{session}"), &probing, 200).ok());
    for RoutePlan { stops, .. } in routes.filter(|route| route.stops[0].provider == 1) {
        assert_eq!(stops[0].entry, Entry::Probe);
        assert_eq!(stops[1], Target { provider: 0, entry: Entry::Free });
    }
    let away = ProviderStatus { is_away: true, ..closed() };
    for cold in [open(), away, forced(closed(), 10_000, 60)] {
        let firsts = firsts(&[closed(), cold], 200);
        assert!(firsts.iter().all(|first| *first == Some(0)), "what is given up, or held, is not warmed");
    }
    for sick in [standing(Mode::Ramp, Share::from_basis_points(5_000)), open()] {
        assert_eq!(firsts(&[sick.clone(), closed()], 200), firsts(&[sick, closed()], 0));
    }
    let pinned = firsts(&[forced(closed(), 10_000, 60), closed()], 200);
    assert!(pinned.iter().all(|first| *first == Some(0)), "an admin says that it gets all");
}

#[test]
fn behind_the_first_one_all_others_are_asked_in_the_order_of_how_well_they_are() {
    let shed = standing(Mode::Shed, Share::from_basis_points(1));
    let ramp = standing(Mode::Ramp, Share::from_basis_points(1));
    let probe = ProviderStatus { state: BreakerState { mode: Mode::Probe, ..open().state }, ..open() };
    let (room, free) = (Entry::Room, Entry::Free);
    assert_eq!(stops(&[open(), ramp.clone(), shed.clone(), closed()]), [(3, free), (2, room), (1, room), (0, room)]);
    assert_eq!(stops(&[open(), open()]), [(0, room), (1, room)], "by preference where nothing tells them apart");
    assert_eq!(stops(&[open(), ramp.clone()]), [(1, room), (0, room)]);
    let larger = standing(Mode::Ramp, Share::from_basis_points(2));
    assert_eq!(stops(&[ramp.clone(), larger, open()]), [(1, room), (0, room), (2, room)], "by share among equals");
    assert_eq!(stops(&[probe.clone(), closed()]), [(0, Entry::Probe), (1, free), (0, room)]);
    assert_eq!(stops(&[probe]), [(0, Entry::Probe), (0, room)], "a probe may be refused, and nobody else is left");
    let away = ProviderStatus { is_away: true, ..closed() };
    assert_eq!(stops(&[away, open()]), [(1, room), (0, room)], "this environment cannot reach it");
}

#[test]
fn room_decides_about_the_calls_of_a_share_where_no_other_provider_can_help() {
    let ramp = || standing(Mode::Ramp, Share::ALL);
    let roomy = |standing: ProviderStatus| ProviderStatus { has_room: true, ..standing };
    for others in
        [vec![], vec![open()], vec![ramp()], vec![paused(closed(), false, false)], vec![forced(closed(), 0, 60)]]
    {
        let standings: Vec<ProviderStatus> = std::iter::once(ramp()).chain(others).collect();
        assert_eq!(stops(&standings)[0], (0, Entry::Room), "{standings:?}");
    }
    for standings in
        [vec![ramp(), closed()], vec![ramp(), roomy(ramp())], vec![roomy(ramp())], vec![forced(ramp(), 10_000, 60)]]
    {
        assert_eq!(stops(&standings)[0], (0, Entry::Free), "{standings:?}");
    }
    assert_eq!(stops(&[closed()])[0], (0, Entry::Free), "a closed provider gets every call");
}

#[test]
fn what_an_admin_gives_up_or_what_is_spent_gets_nothing_even_where_nobody_else_is_left() {
    let spent = |secs: u64| {
        let not_before = NOW.plus(Duration::from_secs(secs));
        ProviderStatus { state: BreakerState { reason: Reason::Spent, not_before, ..open().state }, ..open() }
    };
    assert_eq!(stops(&[forced(open(), 0, 60), open()]), [(1, Entry::Room)]);
    assert_eq!(stops(&[spent(60), open()]), [(1, Entry::Room)]);
    assert_eq!(go("session", &[forced(open(), 0, 60)], 0), Err(NoRoute::AllOut(NOW.plus(Duration::from_secs(9)))));
    assert_eq!(go("session", &[spent(60)], 0), Err(NoRoute::AllOut(NOW.plus(Duration::from_secs(60)))));
    assert_eq!(
        stops(&[forced(open(), 0, 0)]),
        [(0, Entry::Room)],
        "it is an opening as any other when its time is over"
    );
    assert_eq!(stops(&[spent(0)]), [(0, Entry::Room)], "its budget is there again");
    assert_eq!(stops(&[forced(spent(60), 10_000, 60)]), [(0, Entry::Free)], "an admin knows better");
    assert_eq!(stops(&[forced(closed(), 1, 60)]), [(0, Entry::Room)], "a pinned share says who is asked first");
}

#[test]
fn who_asks_to_be_left_alone_is_asked_now_and_then_and_where_nobody_else_is_left() {
    assert_eq!(stops(&[paused(closed(), false, false), closed()]), [(1, Entry::Free)]);
    assert_eq!(stops(&[paused(closed(), false, true), closed()]), [(1, Entry::Free), (0, Entry::LastPause)]);
    assert_eq!(stops(&[paused(closed(), true, true), closed()]), [(0, Entry::Pause), (1, Entry::Free)]);
    assert_eq!(stops(&[closed(), forced(paused(closed(), false, false), 10_000, 60)])[1], (1, Entry::Free));
    assert_eq!(stops(&[paused(closed(), false, true)]), [(0, Entry::LastPause)]);
    assert_eq!(
        go("session", &[paused(closed(), false, false)], 0),
        Err(NoRoute::AllOut(NOW.plus(Duration::from_secs(7_200))))
    );
    let both = [paused(open(), false, false), paused(closed(), false, true)];
    assert_eq!(stops(&both), [(1, Entry::LastPause)], "the one that has not told this account so");
}

fn any_standing() -> impl Strategy<Value = ProviderStatus> {
    let mode = prop_oneof![
        Just((Mode::Closed, Share::ALL)),
        Just((Mode::Open, Share::NONE)),
        Just((Mode::Probe, Share::NONE)),
        (1..10_000u16).prop_map(|share| (Mode::Shed, Share::from_basis_points(share))),
        (1..10_000u16).prop_map(|share| (Mode::Ramp, Share::from_basis_points(share))),
    ];
    let word = proptest::option::weighted(0.3, (0..=10_000u16, -60..60i64));
    let pause = proptest::option::weighted(0.2, (any::<bool>(), any::<bool>()));
    (mode, 0.0..200.0f64, any::<bool>(), any::<bool>(), -60..60i64, word, pause).prop_map(
        |((mode, share), rate, is_shared, is_away, not_before, word, pause)| {
            let mut it = ProviderStatus { rate, is_shared, is_away, ..standing(mode, share) };
            if let Some((is_probe_due, may_ask)) = pause {
                it = paused(it, is_probe_due, may_ask);
            }
            it.state.not_before = Timestamp::from_secs(NOW.as_secs().saturating_add_signed(not_before));
            word.into_iter().fold(it, |it, (share, secs)| forced(it, share, secs))
        },
    )
}

fn any_candidates() -> impl Strategy<Value = Vec<(ProviderStatus, bool)>> {
    proptest::collection::vec((any_standing(), proptest::bool::weighted(0.8)), 0..=NAMES.len())
}

proptest! {
    #[test]
    fn who_is_let_through_at_a_share_is_let_through_at_every_larger_one(
        session in ".{0,40}",
        smaller in 0..=10_000u16,
        larger in 0..=10_000u16,
        is_forced: bool,
    ) {
        let (smaller, larger) = (smaller.min(larger), smaller.max(larger));
        let passes = |share| {
            let ramp = standing(Mode::Ramp, Share::from_basis_points(share));
            let it = if is_forced { forced(ramp, share, 60) } else { ramp };
            go(&session, &[it, closed()], 0).unwrap().stops[0].provider == 0
        };
        prop_assert!(!passes(smaller) || passes(larger));
        prop_assert!(passes(10_000) && (!is_forced || !passes(0)));
    }

    #[test]
    fn every_call_gets_a_route_without_repetition_or_a_reason(
        session in "[a-z0-9-]{1,20}",
        all in any_candidates(),
        warm in 0..1_000u16,
    ) {
        let at = |(name, (standing, is_allowed))| Candidate { name, standing, is_allowed };
        let pairs = all.iter().map(|(standing, is_allowed)| (standing, *is_allowed));
        let candidates: Vec<Candidate<'_>> = NAMES.into_iter().zip(pairs).map(at).collect();
        let ask = || route(alone(&session), &candidates, Share::from_basis_points(warm), &BreakerConfig::default());
        let outcome = ask();
        prop_assert_eq!(&outcome, &ask(), "the same session goes the same way");
        let may_get = |candidate: &Candidate<'_>| {
            let ProviderStatus { state, pause, .. } = candidate.standing;
            let forced = state.forced.as_ref().filter(|forced| NOW < forced.until).map(|forced| forced.share);
            candidate.is_allowed && forced != Some(Share::NONE) && (pause.is_none() || forced.is_some())
        };
        let it = match outcome {
            Err(NoRoute::Restricted) => {
                prop_assert!(candidates.iter().all(|candidate| !candidate.is_allowed));
                return Ok(());
            }
            Err(NoRoute::AllOut(moment)) => {
                prop_assert!(moment >= NOW);
                prop_assert!(candidates.iter().any(|candidate| candidate.is_allowed));
                prop_assert!(!candidates.iter().any(may_get), "somebody could have been asked");
                return Ok(());
            }
            Ok(it) => it,
        };
        prop_assert!(!it.stops.is_empty());
        prop_assert_eq!(it.detour.is_some(), it.stops[0].provider != 0);
        let asked: HashSet<usize> = it.stops.iter().map(|stop| stop.provider).collect();
        for (provider, candidate) in candidates.iter().enumerate() {
            prop_assert!(!may_get(candidate) || asked.contains(&provider), "{provider} is not on the list");
        }
        for (at, Target { provider, entry }) in it.stops.iter().enumerate() {
            let Candidate { standing, is_allowed, .. } = &candidates[*provider];
            let ProviderStatus { state, is_away, is_shared, pause, .. } = standing;
            prop_assert!(*is_allowed);
            let again = it.stops[..at].iter().find(|stop| stop.provider == *provider);
            prop_assert!(again.is_none_or(|before| before.entry == Entry::Probe && *entry == Entry::Room));
            prop_assert!(*entry != Entry::Probe || (at == 0 && state.mode == Mode::Probe && *is_shared && !is_away));
            let forced = state.forced.as_ref().filter(|forced| NOW < forced.until);
            prop_assert!(forced.is_none_or(|forced| forced.share > Share::NONE));
            let in_pause = matches!(entry, Entry::Pause | Entry::LastPause);
            prop_assert!(pause.is_none() || in_pause || forced.is_some());
        }
    }
}
