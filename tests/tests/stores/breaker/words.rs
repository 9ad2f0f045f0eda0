//! Overrides by admins are written to DynamoDB only, and are soon in force everywhere.

use std::time::Duration;

use levee::breaker::{
    BreakerState, Grounds, ManualOverride, Mode, OverrideError, Reason, Share, Transition, Wrote, apply, force, release,
};
use local::dynamodb::{Faults, Mode as Front};

use super::bench::{Bench, PROVIDER, call, look, report};

const HOUR: Duration = Duration::from_secs(3600);

async fn say(bench: &Bench, to: BreakerState) -> BreakerState {
    let from = bench.saved().await;
    let transition = Transition::new(PROVIDER, &from, to, Grounds::default(), "ada");
    assert_eq!(bench.table().write(&transition, &from).await.unwrap(), Wrote::Now);
    transition.to
}

async fn hold(bench: &Bench, share: Share) -> BreakerState {
    let (from, now) = (bench.saved().await, bench.now());
    say(bench, force(&from, share, now.plus(HOUR), "ada", now)).await
}

#[tokio::test]
async fn a_word_is_reported_as_written_although_every_answer_was_lost() {
    let bench = Bench::start().await;
    bench.emulator.inject(Some(Faults { lost_ratio: 1.0, ..Faults::default() })).await;
    let (table, now) = (bench.table(), bench.now());
    let hold = ManualOverride::Hold { share: Share::NONE, lasts: HOUR };
    for word in [hold, hold, ManualOverride::Release] {
        let written = apply(&table, PROVIDER, word, "ada", now).await.unwrap();
        assert_eq!(bench.saved().await, written.to);
    }
    assert!(matches!(apply(&table, PROVIDER, ManualOverride::Release, "ada", now).await, Err(OverrideError::NotHeld)));
    assert_eq!(bench.saved().await.generation, 3);
}

#[tokio::test]
async fn a_word_is_in_force_within_five_seconds_and_what_is_seen_does_not_move_it() {
    let bench = Bench::start().await;
    let environments = bench.environments(4);
    look(&environments[0]).await;
    let held = hold(&bench, Share::NONE).await;
    bench.advance(5);
    for environment in &environments {
        assert_eq!(look(environment).await.state, held, "no call is reported, and it is in force all the same");
    }
    bench.advance(600);
    assert_eq!(look(&environments[2]).await.state, held);

    // A provider without calls has no reports, so reading its standing has to be enough.
    let (from, now) = (bench.saved().await, bench.now());
    let released = say(&bench, release(&from, now, environments[0].config()).unwrap()).await;
    assert_eq!(released.mode, Mode::Probe);
    bench.advance(5);
    for environment in &environments {
        assert_eq!(look(environment).await.state, released);
    }
    let held = hold(&bench, Share::ALL).await;
    bench.advance(5);
    call(&environments[0], true).await;
    for _ in 0..5 {
        for environment in &environments {
            report(environment, held.generation, false).await;
        }
        bench.advance(1);
    }
    assert_eq!(look(&environments[3]).await.state, held, "whatever happens");
    bench.advance(3600);
    let over = look(&environments[3]).await.state;
    assert_eq!((over.mode, over.forced), (Mode::Closed, None));
}

#[tokio::test]
async fn a_word_that_redis_had_gone_past_is_in_force_too_and_goes_past_it() {
    let bench = Bench::start().await;
    let environments = bench.environments(3);
    look(&environments[0]).await;
    bench.emulator.set(Front::Refuse).await;
    bench.until_changed(&environments, false).await;
    let probing = bench.until_changed(&environments, true).await.state;
    assert_eq!((probing.generation, probing.mode), (2, Mode::Probe));
    bench.emulator.set(Front::Serve).await;
    let held = hold(&bench, Share::from_basis_points(1_234)).await;
    assert_eq!(held.generation, 1);

    bench.advance(5);
    let expected = BreakerState { generation: 3, ..held };
    for environment in &environments {
        assert_eq!(look(environment).await.state, expected);
    }
    assert_eq!(bench.saved().await, expected);
    assert_eq!(bench.mirrored().await, Some((expected, true)));
    let generations: Vec<_> = bench.history().await.iter().map(|it| it.to.generation).collect();
    assert_eq!(generations, [3, 1]);
}

#[tokio::test]
async fn a_decision_that_is_being_made_does_not_write_over_a_word_that_it_does_not_know() {
    let bench = Bench::start().await;
    let environments = bench.environments(3);
    look(&environments[0]).await;
    let held = hold(&bench, Share::from_basis_points(1_234)).await;
    // Redis is ahead, and DynamoDB was read a moment ago.
    bench.set(&BreakerState { generation: 7, ..BreakerState::new() }, false).await;
    let later = (bench.now().as_millis() + 4_900).to_string();
    bench.server.command::<()>(&["HSET", "{levee}:breaker:primary", "truth", &later]).await;
    for _ in 0..2 {
        for environment in &environments {
            report(environment, 7, false).await;
        }
    }
    bench.advance(1);
    let standing = look(&environments[0]).await;
    assert_eq!(standing.state, BreakerState { generation: 9, ..held });
    assert_eq!(bench.saved().await, standing.state);
}

#[tokio::test]
async fn a_word_that_ended_while_dynamodb_refused_does_not_begin_again() {
    let bench = Bench::start().await;
    let environment = bench.environment();
    let held = hold(&bench, Share::from_basis_points(1_234)).await;
    assert_eq!(look(&environment).await.state, held);
    bench.emulator.set(Front::Refuse).await;
    bench.advance(3_601);
    let over = look(&environment).await.state;
    assert_eq!((over.forced.as_ref(), over.reason, over.generation), (None, Reason::Forced, held.generation + 1));
    bench.emulator.set(Front::Serve).await;
    bench.advance(5);
    assert_eq!(look(&environment).await.state, over);
    assert_eq!(bench.saved().await, over);
}
