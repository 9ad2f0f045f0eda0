//! Tests that a call is served if some provider would have served it, whatever was decided before.

use rstest::rstest;
use simulation::goodput::routers::Which;
use simulation::goodput::{Goodput, Scene, Settings, run};

/// Calls a second, environments, seeds. Quiet stacks get more seeds because a run has few calls.
const FLEETS: [(f64, usize, u64); 3] = [(50.0, 200, 2), (5.0, 40, 8), (0.5, 10, 32)];

fn live(which: Which, settings: Settings) -> Goodput {
    run(which.build(&settings).as_mut(), &settings)
}

#[rstest]
fn what_a_provider_would_serve_is_served(
    #[values(
        Scene::AllOut,
        Scene::WhileRamping,
        Scene::Flapping,
        Scene::Limited,
        Scene::Poison,
        Scene::PoisonedOutage
    )]
    scene: Scene,
    #[values(1, 2, 3)] providers: usize,
) {
    for (rate, environments, seeds) in FLEETS.into_iter().filter(|_| scene.is_for(providers)) {
        let settings = |seed| Settings { scene, providers, rate, environments, seed };
        let goodput = (1_000..1_000 + seeds).map(|seed| live(Which::Levee, settings(seed))).sum();
        assert_eq!(scene.miss(rate, &goodput), None, "at {rate} calls a second: {goodput:?}");
        assert!(goodput.servable > 60.0, "{goodput:?}");
    }
}

/// Checks that the figures tell routers apart: those that refuse calls miss the targets.
#[test]
fn shares_alone_and_throttling_alone_are_found_out() {
    let settings = Settings { scene: Scene::AllOut, providers: 1, rate: 5.0, environments: 40, seed: 1_000 };
    for which in [Which::Shares, Which::Throttling] {
        let goodput = live(which, settings);
        assert!(Scene::AllOut.miss(5.0, &goodput).is_some(), "{which:?}: {goodput:?}");
    }
    assert!(live(Which::InOrder, settings).ratio() > 0.999);
    let limited = Settings { scene: Scene::Limited, rate: 50.0, environments: 200, ..settings };
    assert!(Scene::Limited.miss(50.0, &live(Which::InOrder, limited)).is_some(), "it asks three times too often");
}
