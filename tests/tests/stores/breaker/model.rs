//! The evidence always equals that of a plain log of the reports, for any reports at any time.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;
use proptest::test_runner::TestRunner;
use tests::property;
use tokio::runtime::Runtime;

use super::script::{Report, Scripts, Seen};

/// Time for which results count, in seconds.
const KEPT: u64 = 300;

#[derive(Clone, Debug)]
enum Event {
    Report { environment: u8, counts: [u64; 5], is_stale: bool },
    Wait(u64),
    Decide,
}

fn events() -> impl Strategy<Value = Vec<Event>> {
    let report = (0u8..10, proptest::array::uniform5(0u64..3), proptest::bool::weighted(0.1))
        .prop_map(|(environment, counts, is_stale)| Event::Report { environment, counts, is_stale });
    let event = prop_oneof![
        12 => report,
        4 => (0u64..3_000).prop_map(Event::Wait),
        2 => (0u64..400_000).prop_map(Event::Wait),
        1 => Just(Event::Decide),
    ];
    proptest::collection::vec(event, 1..60)
}

/// Returns the evidence according to a log of times, environments and counts.
fn expected(log: &[(u64, u8, [u64; 5])], now: u64) -> Seen {
    let lately = log.iter().filter(|(at, _, counts)| *at > now / 1000 - KEPT && counts.iter().any(|count| *count > 0));
    let mut seconds = BTreeMap::<i64, [u64; 5]>::new();
    let (mut all, mut troubled) = (BTreeSet::new(), BTreeSet::new());
    for (at, environment, counts) in lately {
        let sums = seconds.entry(at.cast_signed()).or_default();
        *sums = std::array::from_fn(|index| sums[index] + counts[index]);
        all.insert(environment);
        if counts[1] + counts[2] + counts[3] > 0 {
            troubled.insert(environment);
        }
    }
    let text = |counts: [u64; 5]| counts.map(|count| count.to_string()).join(" ");
    Seen {
        environments: i64::try_from(all.len()).unwrap(),
        troubled: i64::try_from(troubled.len()).unwrap(),
        accounts: 0,
        troubled_accounts: 0,
        late_accounts: 0,
        retry_after: 0,
        spent_until: 0,
        seconds: seconds.into_iter().map(|(at, counts)| (at, text(counts))).collect(),
    }
}

#[test]
fn the_evidence_is_what_a_log_of_the_reports_says() {
    let runtime = Runtime::new().unwrap();
    // Each case continues from the state of the previous one.
    let state = RefCell::new((runtime.block_on(Scripts::start("closed")), 1));
    let config = property(20);
    let result = TestRunner::new(config).run(&events(), |events| {
        let (scripts, generation) = &mut *state.borrow_mut();
        runtime.block_on(async {
            let mut log = Vec::new();
            *generation += 1;
            scripts.put(*generation, "closed", &generation.to_string(), true).await;
            for event in events {
                match event {
                    Event::Report { environment, counts, is_stale } => {
                        let generation = *generation - u64::from(is_stale);
                        let report = Report { generation, ..Report::new(&environment.to_string(), counts) };
                        scripts.report(&report).await;
                        if !is_stale {
                            log.push((scripts.now / 1000, environment, counts));
                        }
                    }
                    Event::Wait(millis) => scripts.now += millis,
                    Event::Decide => {
                        log.clear();
                        *generation += 1;
                        scripts.put(*generation, "closed", &generation.to_string(), true).await;
                    }
                }
                prop_assert_eq!(scripts.seen().await, expected(&log, scripts.now));
            }
            Ok(())
        })
    });
    result.unwrap_or_else(|error| panic!("{error}"));
}
