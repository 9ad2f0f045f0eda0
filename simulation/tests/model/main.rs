//! Model checks (<https://docs.rs/stateright>). [`world`] covers the protocol by which environments, an admin,
//! DynamoDB and Redis agree on one decision: every order of a few events of each, with faults. The decisions are the
//! breaker's own (`step`, `force`, `release`, `reconcile` and `supersedes`); only the plumbing between them is modelled.
//! Start reading there. [`calls`] is a second model: it checks that calls are served while providers fail and come
//! back.

#![allow(clippy::print_stdout, reason = "how much was visited, and what was found, is for the reader of a failure")]

mod calls;
mod decision;
mod environment;
mod rules;
mod things;
mod world;

use std::time::Duration;

use calls::Calls;
use levee_core::breaker::BreakerConfig;
use rstest::rstest;
use rules::Rules;
use stateright::{Checker, HasDiscoveries, Model};
use things::{Budget, Things};
use world::World;

const NOTHING: Budget = Budget { generations: 3, looks: 2, words: 1, table_faults: 0, mirror_faults: 0, crashes: 0 };
/// Budget that is large enough to find each way of breaking the rules.
const SMALL: Budget = Budget { looks: 3, table_faults: 2, ..NOTHING };

fn holds(budget: Budget, at_least: usize) {
    let checker =
        World::new(Rules::LEVEE, budget).checker().symmetry_fn(Things::in_order).threads(2).spawn_dfs().join();
    println!("{budget:?}: {} states, {} of them different", checker.state_count(), checker.unique_state_count());
    checker.assert_properties();
    assert!(checker.unique_state_count() >= at_least, "{} states", checker.unique_state_count());
}

#[test]
fn decisions_come_together_though_dynamodb_refuses_and_answers_late() {
    holds(Budget { looks: 3, table_faults: 1, ..NOTHING }, 10_000);
}

#[test]
fn decisions_come_together_though_redis_forgets_and_environments_crash() {
    holds(Budget { table_faults: 1, mirror_faults: 1, crashes: 1, ..NOTHING }, 10_000);
}

#[test]
fn decisions_come_together_though_an_admin_changes_her_mind() {
    holds(Budget { words: 2, table_faults: 2, ..NOTHING }, 10_000);
}

#[test]
#[ignore = "it takes minutes"]
fn decisions_come_together_though_much_fails() {
    holds(Budget { looks: 3, words: 2, table_faults: 3, ..NOTHING }, 100_000);
    holds(Budget { looks: 3, table_faults: 1, mirror_faults: 1, crashes: 1, ..NOTHING }, 100_000);
    holds(Budget { mirror_faults: 2, table_faults: 2, crashes: 1, ..NOTHING }, 100_000);
}

#[rstest]
#[case::a_write_without_a_condition(Rules { writes_unconditionally: true, ..Rules::LEVEE }, world::NOT_UNSEEN)]
#[case::a_decision_in_redis_that_any_other_replaces(
    Rules { puts_unconditionally: true, ..Rules::LEVEE },
    world::NEVER_BACK
)]
#[case::a_loser_that_keeps_its_own_decision(Rules { loser_insists: true, ..Rules::LEVEE }, world::ONE_CONTENT)]
#[case::a_generation_taken_for_the_decision_that_has_it(
    Rules { goes_by_number: true, ..Rules::LEVEE },
    world::WORD_HOLDS
)]
#[case::an_environment_that_never_mends(Rules { never_mends: true, ..Rules::LEVEE }, world::COMES_TOGETHER)]
fn each_way_of_breaking_the_rules_is_found(#[case] rules: Rules, #[case] property: &'static str) {
    let finish = HasDiscoveries::AllOf([property].into());
    let checker = World::new(rules, SMALL).checker().threads(2).finish_when(finish).spawn_bfs().join();
    let found = checker.assert_any_discovery(property);
    println!("{property}: {:?}", found.into_actions());
}

fn levee(providers: usize, events: u8) -> Calls {
    Calls { providers, config: BreakerConfig::default(), has_room: true, events }
}

fn serves(calls: Calls, at_least: usize) {
    let checker = calls.checker().threads(2).spawn_bfs().join();
    println!("{} states, {} of them different", checker.state_count(), checker.unique_state_count());
    checker.assert_properties();
    assert!(checker.unique_state_count() >= at_least, "{} states", checker.unique_state_count());
}

#[rstest]
#[case::one_provider(1, 5, 5_000)]
#[case::two_providers(2, 5, 5_000)]
fn whoever_calls_is_served_in_every_order_of_events(
    #[case] providers: usize,
    #[case] events: u8,
    #[case] at_least: usize,
) {
    serves(levee(providers, events), at_least);
}

#[test]
#[ignore = "it takes minutes"]
fn whoever_calls_is_served_in_every_order_of_more_events() {
    serves(levee(1, 7), 100_000);
    serves(levee(2, 7), 100_000);
    serves(levee(3, 6), 100_000);
}

#[rstest]
#[case::shares_that_refuse(Calls { has_room: false, ..levee(1, 5) }, calls::SERVED)]
#[case::one_account_that_is_enough(
    Calls { config: BreakerConfig { account_quorum: 1, ..BreakerConfig::default() }, ..levee(1, 4) },
    calls::ONES_OWN
)]
#[case::shares_that_wait_for_results(
    Calls {
        config: BreakerConfig { quiet_dwell: Duration::MAX, results_to_rise: u32::MAX, ..BreakerConfig::default() },
        ..levee(1, 5)
    },
    calls::COMES_BACK
)]
fn each_way_of_refusing_calls_is_found(#[case] calls: Calls, #[case] property: &'static str) {
    let finish = HasDiscoveries::AllOf([property].into());
    let checker = calls.checker().threads(2).finish_when(finish).spawn_bfs().join();
    let found = checker.assert_any_discovery(property);
    println!("{property}: {:?}", found.into_actions());
}
