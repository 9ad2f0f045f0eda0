//! Tests the breaker in the simulated world.

use rstest::rstest;
use simulation::designs::Which;
use simulation::provider::FALLS_ILL;
use simulation::{Faults, Outcome, Scenario, Settings, run};

/// Calls a second, and a number of environments that is large enough for them.
const BUSY: (f64, usize) = (50.0, 200);
const NORMAL: (f64, usize) = (5.0, 40);
const QUIET: (f64, usize) = (0.5, 10);

fn settings(scenario: Scenario, (rate, environments): (f64, usize), seed: u64) -> Settings {
    Settings { scenario, rate, environments, seed, faults: Faults::default() }
}

fn live(which: Which, settings: &Settings) -> Outcome {
    run(which.build(settings).as_mut(), settings)
}

/// Returns the mean number of bad calls with Levee, and with the design that it started from.
fn bad(scenario: Scenario, fleet: (f64, usize), seeds: std::ops::Range<u64>) -> (f64, f64) {
    let mean = |which| {
        let bad = seeds.clone().map(|seed| live(which, &settings(scenario, fleet, seed)).bad);
        bad.sum::<u64>() as f64 / seeds.clone().count() as f64
    };
    (mean(Which::Levee), mean(Which::Windowed))
}

#[rstest]
fn it_spoils_no_more_calls_than_what_it_set_out_from(
    #[values(
        Scenario::Healthy,
        Scenario::Blip,
        Scenario::Outage,
        Scenario::Hang,
        Scenario::Errors,
        Scenario::Slow,
        Scenario::Flapping,
        Scenario::LimitedRecovery
    )]
    scenario: Scenario,
) {
    for (fleet, seeds) in [(NORMAL, 1_000..1_008), (QUIET, 1_000..1_008), (BUSY, 1_000..1_004)] {
        let (ours, theirs) = bad(scenario, fleet, seeds);
        // In health all designs should be equal up to chance, so allow a margin.
        assert!(ours <= theirs * 1.01, "{scenario:?} at {} a second: {ours} and {theirs}", fleet.0);
    }
}

#[rstest]
fn a_provider_that_is_well_again_gets_all_calls_again(
    #[values(
        Scenario::Healthy,
        Scenario::Blip,
        Scenario::Outage,
        Scenario::Hang,
        Scenario::Errors,
        Scenario::Slow,
        Scenario::Flapping,
        Scenario::LimitedRecovery
    )]
    scenario: Scenario,
) {
    for fleet in [NORMAL, QUIET] {
        for seed in 2_000..2_006 {
            let outcome = live(Which::Levee, &settings(scenario, fleet, seed));
            assert!(outcome.whole_after.is_some(), "{scenario:?} at {} a second, seed {seed}", fleet.0);
        }
    }
}

#[test]
fn an_outage_is_noticed_by_the_traffic_that_there_is() {
    for seed in 3_000..3_008 {
        let reduced = |fleet| live(Which::Levee, &settings(Scenario::Outage, fleet, seed)).reduced_after.unwrap();
        assert!(reduced(NORMAL) <= 8.0, "seed {seed}: {}", reduced(NORMAL));
        assert!(reduced(QUIET) <= 41.0, "seed {seed}: {}", reduced(QUIET));
    }
}

#[test]
fn probes_are_few_however_many_calls_there_are() {
    for seed in 4_000..4_004 {
        let outcome = live(Which::Levee, &settings(Scenario::Outage, BUSY, seed));
        let (from, to) = (FALLS_ILL as usize + 10, FALLS_ILL as usize + 120);
        let probes = &outcome.probes[from..to];
        let most = probes.windows(10).map(|window| window.iter().sum::<u32>()).max();
        assert!(most <= Some(8), "seed {seed}: {most:?} within 10 s");
        assert!(probes.iter().sum::<u32>() <= 40, "seed {seed}");
    }
}

#[test]
fn one_poisoned_environment_takes_no_share_from_the_others_and_helps_itself() {
    for seed in 5_000..5_004 {
        let faults = Faults { poisoned: 1, ..Faults::default() };
        let poisoned = live(Which::Levee, &Settings { faults, ..settings(Scenario::Healthy, NORMAL, seed) });
        let healthy = live(Which::Levee, &settings(Scenario::Healthy, NORMAL, seed));
        assert_eq!(poisoned.transitions, 0, "seed {seed}");
        // It gets one of 40 calls, and tries one every ten seconds.
        assert!(poisoned.bad <= healthy.bad + 160, "seed {seed}: {} and {}", poisoned.bad, healthy.bad);
    }
}

#[test]
fn without_the_store_environments_help_themselves_and_nothing_is_stuck_afterwards() {
    for seed in 6_000..6_006 {
        for gone in [FALLS_ILL - 20.0..FALLS_ILL + 60.0, FALLS_ILL + 30.0..FALLS_ILL + 200.0, 100.0..1_000.0] {
            let faults = Faults { store_is_gone: Some(gone.clone()), ..Faults::default() };
            let outcome = live(Which::Levee, &Settings { faults, ..settings(Scenario::Outage, NORMAL, seed) });
            assert!(outcome.shares.last() == Some(&1.0), "seed {seed}, gone {gone:?}");
            // All calls of the outage would be 600, in addition to the 100 that are bad in health.
            assert!(outcome.bad < 400, "seed {seed}, gone {gone:?}: {}", outcome.bad);
        }
    }
}

#[test]
fn clocks_that_differ_by_seconds_change_little() {
    for scenario in [Scenario::Outage, Scenario::Errors, Scenario::Flapping] {
        for seed in 7_000..7_004 {
            let exact = settings(scenario, NORMAL, seed);
            let faults = Faults { skew: 1.0, ..Faults::default() };
            let (skewed, exact) =
                (live(Which::Levee, &Settings { faults, ..exact.clone() }), live(Which::Levee, &exact));
            assert!(skewed.whole_after.is_some(), "{scenario:?}, seed {seed}");
            assert!(skewed.bad <= exact.bad * 3 / 2, "{scenario:?}, seed {seed}: {} and {}", skewed.bad, exact.bad);
        }
    }
}

#[test]
fn hardly_any_traffic_is_enough_in_the_end() {
    for seed in 8_000..8_004 {
        let outcome = live(Which::Levee, &settings(Scenario::Outage, (0.2, 5), seed));
        assert!(outcome.reduced_after.is_some() && outcome.shares.last() == Some(&1.0), "seed {seed}");
    }
}
