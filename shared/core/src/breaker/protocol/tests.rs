use proptest::prelude::*;
use rstest::rstest;

use super::*;
use crate::breaker::state::{Forced, Mode, Penalty, Reason, Share};
use crate::clock::Timestamp;

fn state(generation: u64, since: u64) -> BreakerState {
    let reason = Reason::Failing;
    BreakerState {
        generation,
        since: Timestamp::from_secs(since),
        mode: Mode::Open,
        share: Share::NONE,
        reason,
        ..BreakerState::new()
    }
}

/// Returns a state with an override that was set in the generation `word`.
fn forced(generation: u64, word: u64, until: u64) -> BreakerState {
    let forced = Forced { share: Share::ALL, until: Timestamp::from_secs(until), by: "ada".to_owned() };
    BreakerState { reason: Reason::Forced, forced: Some(forced), word, ..state(generation, 9) }
}

/// Returns a decision that was made after the override of the generation `word` was over.
fn heard(generation: u64, since: u64, word: u64) -> BreakerState {
    BreakerState { word, ..state(generation, since) }
}

#[rstest]
#[case::a_later_one((3, false), (2, true), true)]
#[case::an_earlier_one((2, true), (3, false), false)]
#[case::the_same_that_dynamodb_has((3, true), (3, false), true)]
#[case::the_same_that_it_has_not((3, false), (3, true), false)]
#[case::the_same_that_neither_has((3, false), (3, false), false)]
#[case::the_same_that_both_have((3, true), (3, true), false)]
fn of_two_decisions_the_later_one_holds_and_of_one_generation_the_one_that_dynamodb_has(
    #[case] one: (u64, bool),
    #[case] other: (u64, bool),
    #[case] expected: bool,
) {
    assert_eq!(supersedes(one, other), expected);
}

#[rstest]
#[case::equal(state(3, 9), state(3, 9), false, Reconciliation::Agreed)]
#[case::saved(state(3, 9), state(3, 9), true, Reconciliation::Agreed)]
#[case::redis_behind(state(4, 10), state(3, 9), true, Reconciliation::Mirror(state(4, 10)))]
#[case::another_was_first(state(3, 10), state(3, 9), false, Reconciliation::Mirror(state(3, 10)))]
#[case::redis_ahead(state(3, 9), state(6, 20), false, Reconciliation::Write(state(6, 20)))]
#[case::table_restored(state(3, 9), state(6, 20), true, Reconciliation::Write(state(6, 20)))]
#[case::held_meanwhile(forced(4, 4, 99), state(6, 20), false, Reconciliation::Write(forced(7, 4, 99)))]
#[case::held_until_it_was_over(forced(4, 4, 20), state(5, 20), false, Reconciliation::Write(heard(6, 20, 4)))]
#[case::heard_before(forced(4, 4, 99), heard(6, 20, 4), false, Reconciliation::Write(heard(6, 20, 4)))]
#[case::held_in_both(forced(4, 4, 99), forced(6, 4, 99), false, Reconciliation::Write(forced(6, 4, 99)))]
#[case::held_anew(forced(5, 5, 120), forced(6, 4, 99), false, Reconciliation::Write(forced(7, 5, 120)))]
#[case::released_meanwhile(heard(5, 30, 5), forced(6, 4, 99), false, Reconciliation::Write(heard(7, 30, 5)))]
#[case::released_in_vain(heard(5, 30, 5), heard(6, 40, 4), false, Reconciliation::Write(heard(7, 40, 5)))]
fn what_dynamodb_has_and_what_redis_has_come_together(
    #[case] truth: BreakerState,
    #[case] mirrored: BreakerState,
    #[case] is_saved: bool,
    #[case] expected: Reconciliation,
) {
    assert_eq!(reconcile(&truth, &mirrored, is_saved), expected);
}

#[test]
fn a_figure_that_changed_in_its_last_digit_on_its_way_is_no_other_decision() {
    let of =
        |points: f64| -> Penalty { serde_json::from_value(serde_json::json!({ "points": points, "at": 1 })).unwrap() };
    let truth = BreakerState { penalty: of(1.234_567_890_123_456_7), ..state(3, 9) };
    let mirrored = BreakerState { penalty: of(1.234_567_890_123_457), ..state(3, 9) };
    assert_ne!(truth, mirrored);
    assert_eq!(reconcile(&truth, &mirrored, true), Reconciliation::Agreed);
}

fn states() -> impl Strategy<Value = BreakerState> {
    let word = prop_oneof![
        Just(None),
        (0u64..50, 0..3u8).prop_map(|(until, by)| {
            Some(Forced { share: Share::ALL, until: Timestamp::from_secs(until), by: by.to_string() })
        })
    ];
    let reasons = prop_oneof![Just(Reason::Forced), Just(Reason::Failing), Just(Reason::Clean)];
    (0u64..5, 0u64..50, reasons, word, 0u64..5).prop_map(|(generation, since, reason, forced, word)| BreakerState {
        reason,
        forced,
        word,
        ..state(generation, since)
    })
}

proptest! {
    #[test]
    fn after_a_mend_there_is_nothing_to_mend_and_no_generation_has_fallen(
        truth in states(),
        mirrored in states(),
        is_saved: bool,
    ) {
        let mended = match reconcile(&truth, &mirrored, is_saved) {
            Reconciliation::Agreed => {
                prop_assert_eq!(truth.generation, mirrored.generation);
                return Ok(());
            }
            Reconciliation::Mirror(state) => {
                prop_assert_eq!(&state, &truth, "DynamoDB keeps what it has");
                state
            }
            Reconciliation::Write(state) => {
                prop_assert!(state.generation > truth.generation, "a write is of a later generation");
                state
            }
        };
        prop_assert!(mended.generation >= truth.generation.max(mirrored.generation));
        let takes = supersedes((mended.generation, true), (mirrored.generation, is_saved));
        prop_assert!(takes || mended == mirrored, "Redis takes it");
        prop_assert_eq!(reconcile(&mended, &mended, true), Reconciliation::Agreed);
    }

    #[test]
    fn what_an_admin_said_last_is_in_force_after_a_mend_unless_it_was_over(truth in states(), mirrored in states()) {
        let Some(word) = &truth.forced else { return Ok(()) };
        let mended = match reconcile(&truth, &mirrored, false) {
            Reconciliation::Agreed => truth.clone(),
            Reconciliation::Mirror(state) | Reconciliation::Write(state) => state,
        };
        if truth.word > mirrored.word && word.until > mirrored.since {
            prop_assert_eq!(&mended.forced, &truth.forced);
        }
    }
}
