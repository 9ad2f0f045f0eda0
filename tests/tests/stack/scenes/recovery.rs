//! A provider that recovers: its share comes back by steps, and sessions stay at their provider.

use futures_util::{StreamExt, stream};
use levee::breaker::routing::place;
use levee::breaker::{BreakerState, Mode, Share};
use serde_json::{Value, json};
use tests::Language::Python;
use tests::messages;

use super::scene::{Scene, Seen, assert_served, mixed};

/// A time longer than the dwell time of each step, in seconds.
const DWELL: u64 = 11;
/// Number of additional calls at each step. A provider always gets one call a second, regardless of its session, and
/// among few calls these would be the majority.
const BESIDES: usize = 150;

/// A session and its place with the primary provider, which serves it if the place is below the share.
struct Session {
    call: Value,
    place: u16,
}

impl Session {
    fn is_below(&self, share: Share) -> bool {
        self.place < share.basis_points()
    }
}

/// Returns twelve sessions for each step of the ladder, which the primary serves from that step on.
fn sessions(account: &str) -> Vec<Session> {
    let mut sessions = Vec::new();
    let mut from = 0;
    for step in Share::LADDER {
        let to = step.basis_points();
        let names = (0..).map(|number| format!("s{number}"));
        let placed = names.map(|name| (place(&format!("{account}/{name}"), "primary"), name));
        let here = placed.filter(|(place, _)| (from..to).contains(place)).take(12);
        // Half of them are named in the metadata, half in a header.
        sessions.extend(here.enumerate().map(|(number, (place, name))| {
            let field = if number % 2 == 0 { "user" } else { "session" };
            Session { call: json!({ "streamed": number % 3 == 0, field: name }), place }
        }));
        from = to;
    }
    sessions
}

/// Advances the clock and makes single calls until a decision follows that of `generation`.
async fn until_decided(scene: &mut Scene, generation: u64) -> BreakerState {
    for _ in 0..40 {
        let state = scene.state().await;
        if state.generation > generation {
            return state;
        }
        assert_served(&scene.calls(mixed(3)).await);
        scene.stack.advance(2).await;
    }
    panic!("still at {generation}: {:#?}", scene.history().await);
}

#[tokio::test]
async fn a_provider_that_is_well_again_gets_its_share_back_by_steps_and_sessions_stay() {
    let mut scene = Scene::start(Python).await;
    let sessions = sessions(scene.stack.account_id());
    let calls = || sessions.iter().map(|session| session.call.clone()).collect::<Vec<_>>();
    scene.primary(json!({ "status": 500 })).await;
    let (seen, fallen) = scene.calls_until_it_falls(mixed(30)).await;
    assert_served(&seen);
    scene.primary(json!({ "status": null })).await;

    let mut state = fallen.state;
    let mut steps = Vec::new();
    let (mut strayed, mut above) = (0, 0);
    while state.mode != Mode::Closed {
        if state.mode == Mode::Ramp {
            hurry(&scene).await;
            let seen = scene.calls(calls()).await;
            assert_served(&seen);
            // On a busy machine the next step may already have been taken.
            if scene.state().await == state {
                steps.push((state.share, at_primary(&sessions, &seen, state.share)));
                let others = sessions.iter().zip(&seen).filter(|(session, _)| !session.is_below(state.share));
                above += others.clone().count();
                strayed += others.filter(|(_, seen)| seen.provider() == "primary").count();
            }
            scene.stack.advance(DWELL).await;
        }
        state = until_decided(&mut scene, state.generation).await;
    }
    let seen = scene.calls(calls()).await;
    assert_served(&seen);
    steps.push((state.share, at_primary(&sessions, &seen, state.share)));

    let counts: Vec<_> = steps.iter().map(|(share, there)| (share.basis_points(), there.len())).collect();
    eprintln!("of {} sessions at the primary provider, by its share: {counts:?}", sessions.len());
    assert_eq!(counts.last(), Some(&(10_000, sessions.len())));
    eprintln!("{strayed} of {above} calls beyond its share were among those that it gets in any case");
    // If the machine was too busy to observe a step, there is nothing to compare.
    assert!(above == 0 || strayed * 2 < above, "{strayed} of {above} calls beyond its share went there");
    let steps: Vec<_> = steps.iter().map(|(_, there)| there).collect();
    for pair in steps.windows(2) {
        assert!(pair[0].len() < pair[1].len(), "{counts:?}");
        assert!(pair[0].iter().all(|session| pair[1].contains(session)), "a session went away again: {steps:?}");
    }
    let way: Vec<_> = scene.history().await.iter().map(|it| (it.to.mode, it.to.share.basis_points())).collect();
    let last_open = way.iter().rposition(|(mode, _)| *mode == Mode::Open).unwrap();
    let ramp = |share| (Mode::Ramp, share);
    let climb =
        [(Mode::Open, 0), (Mode::Probe, 0), ramp(500), ramp(1_000), ramp(2_500), ramp(5_000), (Mode::Closed, 10_000)];
    assert_eq!(way[last_open..], climb, "{way:?}");
}

/// Makes many calls without a session.
async fn hurry(scene: &Scene) {
    let hello = messages("Hello");
    let calls = (0..BESIDES).map(|_| scene.stack.call("/v1/messages", &hello));
    stream::iter(calls).buffer_unordered(6).for_each(async |answer| assert_eq!(answer.status, 200, "{answer:?}")).await;
}

/// Returns the places of the `sessions` that the primary provider served because of its `share`, which have to be all
/// below it.
fn at_primary(sessions: &[Session], seen: &[Seen], share: Share) -> Vec<u16> {
    let mut there = Vec::new();
    for (session, seen) in sessions.iter().zip(seen) {
        let place = session.place;
        let is_there = seen.provider() == "primary";
        if session.is_below(share) {
            assert!(is_there, "{place} at {share}: {seen:?}");
            there.push(place);
        } else {
            assert!(is_there || seen.reason() == "breaker-share", "{place} at {share}: {seen:?}");
        }
    }
    there
}
