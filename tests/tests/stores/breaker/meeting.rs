//! Concurrent decisions of environments, and the final agreement of DynamoDB and Redis.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use futures_util::future::join_all;
use levee::breaker::{BreakerState, Breakers, Grounds, Mode, Penalty, Reason, Share, Transition, Wrote};
use local::dynamodb::{Faults, Mode as Front};

use super::bench::{Bench, PROVIDER, look, report};

fn state(generation: u64, mode: Mode) -> BreakerState {
    BreakerState {
        generation,
        mode,
        share: Share::from_basis_points(2_500),
        reason: Reason::Clean,
        ..BreakerState::new()
    }
}

fn transition(from: &BreakerState, to: BreakerState) -> Transition {
    Transition::new(PROVIDER, from, to, Grounds::default(), "test")
}

#[tokio::test]
async fn a_decision_that_only_has_the_same_generation_is_not_replaced() {
    let bench = Bench::start().await;
    let (table, fresh) = (bench.table(), BreakerState::new());
    let forced = BreakerState { since: bench.now(), ..state(1, Mode::Open) };
    assert_eq!(table.write(&transition(&fresh, forced.clone()), &fresh).await.unwrap(), Wrote::Now);
    // Made during a DynamoDB outage, without knowledge of its current decision.
    let unsaved = BreakerState { since: bench.now().plus(Duration::from_millis(1)), ..state(1, Mode::Ramp) };
    let next = state(2, Mode::Ramp);
    let lost = table.write(&transition(&unsaved, next.clone()), &unsaved).await.unwrap();
    assert_eq!(lost, Wrote::Lost(Box::new(forced.clone())));
    assert_eq!(table.write(&transition(&forced, next), &forced).await.unwrap(), Wrote::Now);
}

#[tokio::test]
async fn of_two_who_decide_at_once_one_does_and_the_other_adopts_it() {
    let bench = Bench::start().await;
    let table = bench.table();
    for generation in 0..10 {
        let from = state(generation, Mode::Ramp);
        let write = async |share: u16| {
            let to = BreakerState { share: Share::from_basis_points(share), ..state(generation + 1, Mode::Ramp) };
            (to.clone(), table.write(&transition(&from, to), &from).await.unwrap())
        };
        let (one, other) = tokio::join!(write(1), write(2));
        let (winner, loser) = if one.1 == Wrote::Now { (one, other) } else { (other, one) };
        assert_eq!(winner.1, Wrote::Now);
        assert_eq!(loser.1, Wrote::Lost(Box::new(winner.0.clone())));
        assert_eq!(bench.saved().await, winner.0);
        assert_eq!(bench.history().await[0].to, winner.0);
    }
    assert_eq!(bench.history().await.len(), 10);
}

/// Lets all environments fail and evaluate concurrently, and returns the decisions that they received, by generation.
async fn fail_at_once(bench: &Bench, environments: &[Breakers], generation: u64) -> BTreeMap<u64, BTreeSet<String>> {
    let failing = environments.iter().map(async |environment| {
        let mut told = Vec::new();
        for _ in 0..6 {
            bench.server.command::<()>(&["HDEL", "{levee}:breaker:primary", "next"]).await;
            told.push(report(environment, generation, false).await.state);
        }
        told
    });
    let mut decisions = BTreeMap::<_, BTreeSet<_>>::new();
    for state in join_all(failing).await.into_iter().flatten() {
        decisions.entry(state.generation).or_default().insert(format!("{state:?}"));
    }
    decisions
}

#[tokio::test(flavor = "multi_thread")]
async fn however_many_evaluate_at_once_there_is_one_decision_of_a_generation() {
    let bench = Bench::start().await;
    let environments = bench.environments(8);
    look(&environments[0]).await;
    for round in 0..6 {
        // Reset the provider to a healthy state.
        let generation = bench.saved().await.generation;
        bench.set(&BreakerState { generation, ..BreakerState::new() }, true).await;
        let told = fail_at_once(&bench, &environments, generation).await;
        assert!(told.values().all(|states| states.len() == 1), "round {round}: {told:?}");
        bench.advance(1);
        let standings = join_all(environments.iter().map(look)).await;
        let saved = bench.saved().await;
        assert_eq!(bench.mirrored().await, Some((saved.clone(), true)), "round {round}");
        assert!(standings.iter().all(|it| it.state == saved), "round {round}");
        assert!(saved.generation > generation);
    }
    let generations: Vec<_> = bench.history().await.iter().map(|it| it.to.generation).collect();
    let each: BTreeSet<_> = generations.iter().copied().collect();
    assert_eq!(each.len(), generations.len());
    assert_eq!(generations[0], bench.saved().await.generation);
}

#[tokio::test(flavor = "multi_thread")]
async fn of_those_who_cannot_write_the_first_one_in_redis_decides_and_the_others_adopt_it() {
    let bench = Bench::start().await;
    let environments = bench.environments(8);
    look(&environments[0]).await;
    bench.emulator.set(Front::Refuse).await;
    for generation in [0, 10, 20] {
        bench.set(&BreakerState { generation, ..BreakerState::new() }, false).await;
        let told = fail_at_once(&bench, &environments, generation).await;
        assert!(told.len() >= 2 && told.values().all(|states| states.len() == 1), "{told:?}");
    }
}

#[tokio::test]
async fn a_decision_whose_answer_is_lost_and_one_that_met_another_write_are_made_all_the_same() {
    for faults in [
        Faults { lost_ratio: 0.5, seed: Some(3), ..Faults::default() },
        Faults { conflict_ratio: 0.5, seed: Some(4), ..Faults::default() },
    ] {
        let bench = Bench::start().await;
        let environments = bench.environments(3);
        bench.emulator.inject(Some(faults)).await;
        bench.until_changed(&environments, false).await;
        for _ in 0..6 {
            bench.until_changed(&environments, true).await;
        }
        bench.emulator.inject(None).await;
        bench.advance(6);
        let holds = look(&environments[1]).await.state;
        assert_eq!(bench.saved().await, holds, "{faults:?}");
        let history = bench.history().await;
        let each: BTreeSet<_> = history.iter().map(|it| it.to.generation).collect();
        assert_eq!((history.len(), history[0].to.generation), (each.len(), holds.generation), "{faults:?}");
    }
}

#[tokio::test]
async fn a_decision_holds_in_redis_while_dynamodb_refuses_and_the_last_one_is_written_when_it_is_back() {
    let bench = Bench::start().await;
    let environments = bench.environments(3);
    look(&environments[0]).await;
    bench.emulator.set(Front::Throttle).await;
    let opened = bench.until_changed(&environments, false).await.state;
    let probing = bench.until_changed(&environments, true).await.state;
    let ramp = bench.until_changed(&environments, true).await.state;
    assert_eq!([opened.mode, probing.mode, ramp.mode], [Mode::Open, Mode::Probe, Mode::Ramp]);
    for environment in &environments {
        assert_eq!(look(environment).await.state, ramp, "all know it");
    }
    assert_eq!(bench.mirrored().await, Some((ramp.clone(), false)));

    bench.emulator.set(Front::Serve).await;
    assert_eq!(bench.saved().await, BreakerState::new());
    bench.advance(5);
    let evidence = bench.fields().await.get("results").cloned();
    assert_eq!(look(&environments[2]).await.state, ramp);
    assert_eq!(bench.saved().await, ramp);
    assert_eq!(bench.mirrored().await, Some((ramp, true)));
    assert_eq!(bench.fields().await.get("results").cloned(), evidence, "what was seen since stays");
    let generations: Vec<_> = bench.history().await.iter().map(|it| it.to.generation).collect();
    assert_eq!(generations, [3], "those before it were never written");
}

#[tokio::test]
async fn of_two_decisions_of_one_generation_the_one_that_dynamodb_has_holds() {
    let bench = Bench::start().await;
    let environments = bench.environments(2);
    let (mine, theirs) =
        (state(5, Mode::Shed), BreakerState { share: Share::from_basis_points(1), ..state(5, Mode::Shed) });
    assert_eq!(
        bench.table().write(&transition(&BreakerState::new(), mine.clone()), &BreakerState::new()).await.unwrap(),
        Wrote::Now
    );
    for at in [theirs.clone(), BreakerState { generation: 4, ..theirs }] {
        bench.set(&at, false).await;
        bench.advance(5);
        for environment in &environments {
            assert_eq!(look(environment).await.state, mine);
        }
        assert_eq!(bench.mirrored().await, Some((mine.clone(), true)));
    }
    assert_eq!(bench.history().await.len(), 1);
}

#[tokio::test]
async fn a_figure_that_no_format_keeps_exactly_is_no_reason_for_a_decision() {
    let bench = Bench::start().await;
    let environment = bench.environment();
    let mut at = BreakerState::new();
    for number in 1..=40u64 {
        let half_life = std::time::Duration::from_secs(300);
        let penalty = Penalty::NONE.raised(bench.now(), half_life);
        let penalty = penalty.raised(bench.now().plus(half_life.mul_f64(0.013 * number as f64)), half_life);
        // Keep its share from rising meanwhile.
        let not_before = bench.now().plus(std::time::Duration::from_secs(86_400));
        let next = BreakerState { penalty, not_before, ..state(number, Mode::Ramp) };
        bench.table().write(&transition(&at, next.clone()), &at).await.unwrap();
        at = next;
        bench.advance(5);
        // Mirrored by the first look, compared by the second.
        for _ in 0..2 {
            assert_eq!(look(&environment).await.state.generation, number);
            bench.advance(5);
        }
    }
    assert_eq!(bench.saved().await, at);
}
