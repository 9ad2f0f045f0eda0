//! The limiter with a real Redis for each test: `check.lua` and `limits::decide` count as a plain log of the calls
//! would, limits are exact with concurrent calls, and the script's other guarantees hold.

mod clock;
mod commands;
mod markers;
mod model;
mod races;
mod refused;
mod sliding;
mod state_machine;
mod tallies;

use std::sync::Arc;

use levee::limits::{Algorithm, Ask, Charge, Class, Decision, Mode, Policy, PolicyScope, Subject, Window};
use proptest::prelude::{Just, Strategy, any, prop_oneof};

/// Returns a policy per account for AI calls with the given properties.
pub fn policy(name: &str, algorithm: Algorithm, mode: Mode, window: Window, limit: u64) -> Policy {
    Policy {
        name: name.to_owned(),
        scope: PolicyScope::Account,
        limit,
        window,
        algorithm,
        mode,
        classes: vec![Class::Ai],
        weights: Default::default(),
    }
}

pub fn charge(policy: &Policy, subject: &str, weight: u64) -> Charge {
    Charge { policy: Arc::new(policy.clone()), subject: Subject(subject.to_owned()), weight }
}

/// Returns a call with charges in the order of the configuration: windows first, then calls in flight.
pub fn ask(charges: impl IntoIterator<Item = Charge>, group: &str, id: &str) -> Ask {
    let mut charges: Vec<Charge> = charges.into_iter().collect();
    charges.sort_by_key(|charge| charge.policy.algorithm == Algorithm::Concurrency);
    Ask { charges, known: Vec::new(), group: group.to_owned(), id: id.to_owned() }
}

fn is_allowed(decision: &Decision) -> bool {
    match decision {
        Decision::Allowed(_) => true,
        Decision::Refused(_) => false,
        Decision::Stale(_) | Decision::Unchecked => panic!("nothing was decided: {decision:?}"),
    }
}

fn algorithms() -> impl Strategy<Value = Algorithm> {
    prop_oneof![Just(Algorithm::Fixed), Just(Algorithm::Sliding), Just(Algorithm::Concurrency)]
}

fn modes() -> impl Strategy<Value = Mode> {
    prop_oneof![4 => Just(Mode::Enforce), 1 => Just(Mode::Warn), 1 => Just(Mode::Shadow)]
}

/// Windows of 1 s to 31 days, including months.
fn windows() -> impl Strategy<Value = Window> {
    let secs = prop_oneof![Just(1), Just(60), Just(3_600), Just(86_400), Just(2_678_400), 1u64..=2_678_400, 1u64..=90];
    prop_oneof![5 => secs.prop_map(Window::Secs), 1 => Just(Window::Month)]
}

/// Policies named `p0`, `p1` and so on.
fn policies() -> impl Strategy<Value = Vec<Policy>> {
    let traits = (algorithms(), modes(), windows(), 1u64..=50, any::<bool>());
    proptest::collection::vec(traits, 1..=16).prop_map(|traits| {
        let named = |(n, (algorithm, mode, window, limit, is_tight)): (usize, _)| {
            let limit = if is_tight { 1 + limit % 8 } else { limit };
            policy(&format!("p{n}"), algorithm, mode, window, limit)
        };
        traits.into_iter().enumerate().map(named).collect()
    })
}
