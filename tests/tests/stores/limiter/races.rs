//! Concurrent calls: limits are exact, and a call is charged under all of its policies or under none.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use futures_util::future::join_all;
use levee::clock::Timestamp;
use levee::limits::{Algorithm, Charge, Limiter, Mode, Policy, Window, leases};
use proptest::prelude::*;
use proptest::test_runner::TestRunner;
use tests::property;
use tokio::runtime::Runtime;

use super::{ask, charge, is_allowed, policy};
use crate::redis_server::{Server, Stored};

/// 2027-03-01T00:00:01Z: all windows used here have just begun.
const NOW: Timestamp = Timestamp::from_secs(1_803_859_201);
/// Number of limiters, each with its own connection.
const LIMITERS: usize = 8;
/// Number of calls of each.
const CALLS: usize = 40;

/// A call: the subject and the weight under each policy that applies.
type Call = Vec<Option<(u8, u64)>>;

fn policies() -> impl Strategy<Value = Vec<Policy>> {
    let windows =
        prop_oneof![Just(Window::Secs(60)), Just(Window::Secs(3_600)), Just(Window::DAY), Just(Window::Month)];
    proptest::collection::vec((super::algorithms(), super::modes(), windows, 1u64..=120), 1..=8).prop_map(|traits| {
        let named = |(n, (algorithm, mode, window, limit)): (usize, _)| {
            policy(&format!("p{n}"), algorithm, mode, window, limit)
        };
        traits.into_iter().enumerate().map(named).collect()
    })
}

fn calls() -> impl Strategy<Value = Vec<Call>> {
    let charged = proptest::option::weighted(0.7, (0u8..2, prop_oneof![4 => Just(1), 1 => 1u64..=3]));
    proptest::collection::vec(proptest::collection::vec(charged, 8), LIMITERS * CALLS)
}

fn charges(policies: &[Policy], call: &Call) -> Vec<Charge> {
    let charge = |(policy, charged): (&Policy, &Option<(u8, u64)>)| {
        let (subject, weight) = (*charged)?;
        let weight = if policy.algorithm == Algorithm::Concurrency { 1 } else { weight };
        Some(charge(policy, &format!("s{subject}"), weight))
    };
    ask(policies.iter().zip(call).filter_map(charge), "", "").charges
}

/// Returns the key in which a charge is counted.
fn home(charge: &Charge) -> String {
    if charge.policy.algorithm == Algorithm::Concurrency { charge.leases() } else { charge.counter(NOW) }
}

fn count(stored: &Stored) -> u64 {
    if stored.value.len() == 1 { stored.value[0].parse().unwrap() } else { stored.pairs().len() as u64 }
}

/// Makes the calls of one limiter in sequence, and returns for each true if it passed.
async fn run(limiter: Limiter, calls: Vec<(String, Vec<Charge>)>) -> Vec<(Vec<Charge>, bool)> {
    let mut made = Vec::with_capacity(calls.len());
    for (id, charges) in calls {
        let decision = limiter.check(ask(charges.clone(), "", &id), limiter.now()).await;
        made.push((charges, is_allowed(&decision)));
    }
    made
}

#[test]
fn whatever_interleaves_is_charged_everywhere_or_nowhere_and_refused_only_where_a_limit_is_reached() {
    let runtime = Runtime::new().unwrap();
    let server = runtime.block_on(Server::start());
    // Failures depend on timing as well as on the input, so shrinking is of no use.
    let config = ProptestConfig { max_shrink_iters: 0, ..property(6) };
    let result = TestRunner::new(config).run(&(policies(), calls()), |(policies, calls)| {
        runtime.block_on(async {
            server.command::<()>(&["FLUSHALL"]).await;
            server.set_clock(NOW);
            let named = |(n, call): (usize, &Call)| (format!("c{n}"), charges(&policies, call));
            let calls: Vec<_> = calls.iter().enumerate().map(named).collect();
            let tasks = calls.chunks(CALLS).map(|calls| tokio::spawn(run(server.limiter(), calls.to_vec())));
            let made: Vec<_> = join_all(tasks).await.into_iter().flat_map(Result::unwrap).collect();

            // Each counter has to be the sum of the weights of the calls that passed.
            let mut expected = BTreeMap::<String, u64>::new();
            for charge in made.iter().filter(|(_, passed)| *passed).flat_map(|(charges, _)| charges) {
                *expected.entry(home(charge)).or_default() += charge.weight;
            }
            let counts: BTreeMap<String, u64> =
                server.snapshot().await.iter().map(|(key, stored)| (key.clone(), count(stored))).collect();
            prop_assert_eq!(&expected, &counts);

            let enforced = |charges: &[Charge]| -> Vec<Charge> {
                charges.iter().filter(|charge| charge.policy.mode == Mode::Enforce).cloned().collect()
            };
            let used = |charge: &Charge| counts.get(&home(charge)).copied().unwrap_or(0);
            for (charges, passed) in &made {
                for charge in enforced(charges) {
                    prop_assert!(used(&charge) <= charge.policy.limit, "{} beyond {:?}", used(&charge), charge);
                }
                // Nothing is refunded here, so a counter that was full then is still full; exactly so for calls of
                // weight one.
                let is_full = |charge: &Charge| used(charge) + charge.weight > charge.policy.limit;
                prop_assert!(*passed || enforced(charges).iter().any(is_full), "refused for nothing: {:?}", charges);
            }
            Ok(())
        })
    });
    result.unwrap_or_else(|error| panic!("{error}"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn at_no_time_are_more_calls_in_flight_than_the_limit_and_none_is_left_over() {
    const LIMIT: u64 = 5;
    let server = Server::start().await;
    server.set_clock(NOW);
    let held = Arc::new(AtomicU64::new(0));
    let (most, passed) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0)));
    let tasks = (0..LIMITERS).map(|n| {
        let (limiter, redis) = (server.limiter(), server.redis());
        let (held, most, passed) = (held.clone(), most.clone(), passed.clone());
        tokio::spawn(async move {
            let policy = policy("in-flight", Algorithm::Concurrency, Mode::Enforce, Window::MINUTE, LIMIT);
            let charge = charge(&policy, "s", 1);
            for m in 0..100 {
                let id = format!("{n}-{m}");
                if is_allowed(&limiter.check(ask([charge.clone()], "", &id), limiter.now()).await) {
                    passed.fetch_add(1, Ordering::SeqCst);
                    most.fetch_max(held.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                    tokio::task::yield_now().await;
                    held.fetch_sub(1, Ordering::SeqCst);
                    let release = leases::Release { id, leases: vec![charge.leases()], until: limiter.now() };
                    leases::release(&redis, &[release]).await.unwrap();
                }
            }
        })
    });
    for task in join_all(tasks).await {
        task.unwrap();
    }
    assert!(most.load(Ordering::SeqCst) <= LIMIT);
    assert!(passed.load(Ordering::SeqCst) > LIMIT);
    assert!(server.snapshot().await.is_empty());
}
