//! Many environments and one account.

use levee::metering::{Ledger, Record, Written, months};
use tokio::task::JoinSet;

use super::bench::{Bench, expected};
use super::{LAST_SECOND, call, figures};

const LEDGERS: u64 = 8;
const CALLS: u64 = 20;

/// Writes `record` until it succeeds, as replays of log lines do.
async fn write(ledger: &Ledger, record: &Record) -> Written {
    loop {
        if let Ok(written) = ledger.write(record).await {
            return written;
        }
    }
}

#[tokio::test]
async fn a_write_whose_answer_is_lost_is_there_and_one_that_conflicts_is_not_and_both_may_be_repeated() {
    let bench = Bench::start().await;
    let closed = |id: &str| Record::closed(call("acme", id, LAST_SECOND), figures(1), false);
    let output = async || bench.parts().await.into_iter().sum::<i64>();
    bench.inject(0.0, 1.0, 1).await;
    assert!(bench.ledger().write(&closed("lost")).await.is_err());
    assert_eq!(output().await, 2);
    bench.inject(1.0, 0.0, 1).await;
    assert!(bench.ledger().write(&closed("conflicting")).await.unwrap_err().to_string().contains("Conflict"));
    assert_eq!(output().await, 2);

    bench.mend().await;
    assert_eq!(bench.ledger().write(&closed("lost")).await.unwrap(), Written::Before);
    assert_eq!(bench.ledger().write(&closed("conflicting")).await.unwrap(), Written::Now);
    assert_eq!(output().await, 4);
}

#[tokio::test(flavor = "multi_thread")]
async fn of_eight_environments_that_close_calls_of_one_account_at_once_nothing_is_lost_or_doubled() {
    let bench = Bench::start().await;
    bench.inject(0.5, 0.1, 5).await;
    let mut environments = JoinSet::new();
    for environment in 0..LEDGERS {
        let ledger = bench.ledger();
        environments.spawn(async move {
            for number in 0..CALLS {
                let call = call("acme", &format!("{environment}-{number}"), LAST_SECOND);
                // Opening may fail, which costs only a log line.
                let _maybe_unopened = ledger.open(&Record::open(call.clone())).await;
                write(&ledger, &Record::closed(call, figures(1), false)).await;
            }
        });
    }
    environments.join_all().await;

    let records = bench.records().await;
    assert_eq!(records.len() as u64, LEDGERS * CALLS);
    assert_eq!(bench.sums().await, expected(&records));
    let tally = months::total(&bench.months().read("acme", "2026-11".parse().unwrap()).await.unwrap());
    assert_eq!((tally.calls, tally.output), (160, 320));
    assert!(bench.open().await.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn of_eight_that_end_one_call_at_once_one_does() {
    let bench = Bench::start().await;
    bench.inject(0.3, 0.0, 8).await;
    for round in 0..8 {
        let call = call("acme", &round.to_string(), LAST_SECOND);
        bench.ledger().open(&Record::open(call.clone())).await.unwrap();
        let mut racing = JoinSet::new();
        for number in 0..LEDGERS {
            let (ledger, call) = (bench.ledger(), call.clone());
            racing.spawn(async move { write(&ledger, &Record::closed(call, figures(number), number == 3)).await });
        }
        let first = racing.join_all().await.into_iter().filter(|written| *written == Written::Now).count();
        assert_eq!(first, 1, "round {round}");
    }
    let records = bench.records().await;
    assert_eq!(bench.sums().await, expected(&records));
}

#[tokio::test(flavor = "multi_thread")]
async fn of_two_monitors_and_a_late_end_at_once_the_end_stays() {
    let bench = Bench::start().await;
    bench.inject(0.3, 0.1, 9).await;
    for round in 0..12 {
        let call = call("acme", &round.to_string(), LAST_SECOND);
        let abandoned = Record { figures: figures(9), ..Record::open(call.clone()) }.abandoned();
        let closed = Record::closed(call.clone(), figures(2), false);
        let (one, other, proxy) = (bench.ledger(), bench.ledger(), bench.ledger());
        let _maybe_unopened = proxy.open(&Record::open(call.clone())).await;
        tokio::join!(write(&one, &abandoned), write(&other, &abandoned), write(&proxy, &closed));
        assert_eq!(bench.records().await[&call.id], closed, "round {round}");
    }
    assert_eq!(bench.sums().await, expected(&bench.records().await));
}
