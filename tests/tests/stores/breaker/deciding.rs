//! Decisions of environments.

use levee::breaker::{Mode, Share};

use super::bench::{Bench, PROVIDER, call, look, report};

#[tokio::test]
async fn bad_results_of_three_environments_open_it_for_all_and_those_of_one_alone_do_not() {
    let bench = Bench::start().await;
    let environments = bench.environments(6);
    for environment in &environments {
        assert_eq!(call(environment, true).await.state.generation, 0);
    }
    for _ in 0..20 {
        bench.advance(1);
        assert_eq!(report(&environments[0], 0, false).await.state.mode, Mode::Closed);
    }
    for environment in &environments[1..3] {
        report(environment, 0, false).await;
    }
    bench.advance(1);
    let standing = look(&environments[5]).await;
    assert_eq!((standing.state.mode, standing.state.share, standing.is_shared), (Mode::Open, Share::NONE, true));
    for environment in &environments {
        assert_eq!(look(environment).await.state, standing.state);
    }
    assert_eq!(bench.saved().await, standing.state);
    // Results of calls from before the decision do not count.
    let before = bench.fields().await;
    report(&environments[0], 0, true).await;
    assert_eq!(bench.fields().await.get("results"), before.get("results"));
    let backup = environments[0].look("m", "acme", true).await.remove(1);
    assert_eq!(backup.state.mode, Mode::Closed, "each provider stands for itself");
}

#[tokio::test]
async fn a_provider_comes_back_by_steps_and_the_history_has_each_decision_once() {
    let bench = Bench::start().await;
    let environments = bench.environments(3);
    let opened = bench.until_changed(&environments, false).await.state;
    assert_eq!(opened.mode, Mode::Open);
    let mut steps = Vec::new();
    loop {
        let state = bench.until_changed(&environments, true).await.state;
        steps.push((state.mode, state.share.basis_points()));
        if state.mode == Mode::Closed {
            break;
        }
    }
    let ramp = [500, 1_000, 2_500, 5_000].map(|share| (Mode::Ramp, share));
    assert_eq!(steps, [&[(Mode::Probe, 0)][..], &ramp, &[(Mode::Closed, 10_000)]].concat());

    let history = bench.history().await;
    let generations: Vec<_> = history.iter().map(|it| it.to.generation).collect();
    assert_eq!(generations, [7, 6, 5, 4, 3, 2, 1]);
    assert_eq!(history[0].to, bench.saved().await);
    for pair in history.windows(2) {
        assert_eq!((pair[0].from, pair[0].from_share), (pair[1].to.mode, pair[1].to.share));
        assert!(pair[0].at >= pair[1].at);
    }
    let first = &history[6];
    assert!(first.grounds.bad >= 5 && first.grounds.troubled_environments == 3, "{first:?}");

    let page = async |before: Option<u64>| {
        let page = bench.table().history(PROVIDER, before, 3).await.unwrap();
        page.iter().map(|it| it.to.generation).collect::<Vec<_>>()
    };
    assert_eq!(page(None).await, [7, 6, 5]);
    assert_eq!(page(Some(5)).await, [4, 3, 2]);
    assert_eq!(page(Some(2)).await, [1]);
    assert_eq!((page(Some(1)).await, page(Some(0)).await), (vec![], vec![]));
}

#[tokio::test]
async fn while_all_is_well_nothing_is_written_to_dynamodb_and_one_read_in_some_seconds_is_enough() {
    let bench = Bench::start().await;
    let environments = bench.environments(4);
    look(&environments[0]).await;
    assert_eq!(bench.asked(), [("GetItem".to_owned(), 2)].into(), "one read a provider");
    for _ in 0..100 {
        for environment in &environments {
            assert_eq!(call(environment, true).await.state.mode, Mode::Closed);
        }
        bench.advance(1);
    }
    let asked = bench.asked();
    assert!(asked.keys().all(|operation| operation == "GetItem"), "{asked:?}");
    // One read per 4 s for the reported provider, one per 5 s for the other; the machine may be slow.
    assert!((40..=60).contains(&asked["GetItem"]), "{asked:?}");
    assert_eq!(bench.saved().await.generation, 0);
}

#[tokio::test]
async fn a_result_costs_redis_one_round_trip_and_so_does_a_call_that_begins() {
    let bench = Bench::start().await;
    let environment = bench.environment();
    call(&environment, true).await;
    call(&environment, true).await;
    bench.server.forget_commands().await;
    for _ in 0..50 {
        call(&environment, true).await;
    }
    let commands = bench.server.commands().await;
    assert_eq!(commands["evalsha"], 150, "two providers are looked at, one is reported");
    assert!(!commands.contains_key("eval") && !commands.contains_key("script|load"), "{commands:?}");
    bench.server.snapshot().await;
}
