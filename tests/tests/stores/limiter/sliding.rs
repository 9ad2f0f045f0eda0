//! Error of a sliding count: within the bounds given in `limits::decide`.

use levee::clock::Timestamp;
use levee::limits::{Algorithm, Decision, Mode, Reading, Window};
use proptest::prelude::*;
use tests::property;
use tokio::runtime::Runtime;

use super::{ask, charge, policy};
use crate::redis_server::Server;

/// 2027-01-30T23:59:30Z.
const BEGINNING: u64 = 1_801_353_570_000;

/// A call that passed: its time and weight.
type Passed = (u64, u64);

fn weigh<'a>(passed: impl IntoIterator<Item = &'a Passed>) -> u64 {
    passed.into_iter().map(|(_, weight)| weight).sum()
}

#[test]
fn a_sliding_count_is_as_near_to_the_exact_one_as_is_said_and_no_span_of_a_window_holds_twice_the_limit() {
    let runtime = Runtime::new().unwrap();
    let server = runtime.block_on(Server::start());
    let config = property(16);
    let steps = prop_oneof![3 => 0u64..200, 1 => 0u64..2_000];
    let calls = proptest::collection::vec((steps, 1u64..=3), 1..120);
    proptest!(config, |(secs in 1u64..=90, limit in 3u64..=50, calls in calls)| {
        runtime.block_on(async {
            server.command::<()>(&["FLUSHALL"]).await;
            let limiter = server.limiter();
            let policy = policy("sliding", Algorithm::Sliding, Mode::Enforce, Window::Secs(secs), limit);
            let length = secs * 1000;
            let (mut now, mut passed) = (BEGINNING, Vec::<Passed>::new());
            for (n, (thousandths, weight)) in calls.into_iter().enumerate() {
                now += length * thousandths / 1000;
                let (moment, id) = (Timestamp::from_millis(now), n.to_string());
                server.set_clock(moment);
                // Each call has a group of its own, so that none is refused from memory.
                let ask = ask([charge(&policy, "s", weight)], &id, &id);
                let (reading, is_allowed) = match limiter.check(ask, moment).await {
                    Decision::Allowed(readings) => (readings[0].clone(), true),
                    Decision::Refused(refusal) => (refusal.binding, false),
                    other => panic!("nothing was decided: {other:?}"),
                };
                if is_allowed {
                    passed.push((now, weight));
                }
                is_near(&reading, &passed, now, length)?;
            }
            for (from, _) in &passed {
                let within = weigh(passed.iter().filter(|(at, _)| (*from..*from + length).contains(at)));
                prop_assert!(within < 2 * limit, "{} within one window's length", within);
            }
            Ok::<_, TestCaseError>(())
        })?;
    });
}

/// Checks that a count is at most `previous × f` below the exact one and `previous × (1 − f)` above it, plus one for
/// rounding up.
fn is_near(reading: &Reading, passed: &[Passed], now: u64, length: u64) -> Result<(), TestCaseError> {
    let start = now - now % length;
    let exact = weigh(passed.iter().filter(|(at, _)| at + length > now));
    let previous = weigh(passed.iter().filter(|(at, _)| (start - length..start).contains(at)));
    let (used, exact, previous) = (reading.used as f64, exact as f64, previous as f64);
    let gone = (now - start) as f64 / length as f64;
    let (below, above) = (exact - previous * gone, exact + previous * (1.0 - gone) + 1.0);
    prop_assert!(below - 1e-6 <= used && used <= above + 1e-6, "{} is not in {}..{}", used, below, above);
    Ok(())
}
