//! Contributions of records to the sums.

use levee::metering::{Call, Month, Record, RecordState, Written, months};

use super::bench::{Bench, expected};
use super::{LAST_SECOND, by_model, call, figures, noted};

#[tokio::test]
async fn a_late_end_takes_the_place_of_an_estimate_and_of_nothing_else() {
    let bench = Bench::start().await;
    let (proxy, monitor) = (bench.ledger(), bench.ledger());
    let call = call("acme", "1", LAST_SECOND);
    assert_eq!(proxy.open(&Record::open(call.clone())).await.unwrap(), Written::Now);
    assert_eq!(proxy.open(&Record::open(call.clone())).await.unwrap(), Written::Before);
    proxy.note(&noted(&call, 10)).await.unwrap();
    assert!(bench.sums().await.is_empty(), "what is open counts nowhere");

    let open = bench.records().await["1"].clone();
    assert_eq!((open.state, open.figures, open.parts.len()), (RecordState::Open, figures(10), 2));
    let abandoned = open.abandoned();
    assert_eq!(monitor.write(&abandoned).await.unwrap(), Written::Now);
    assert_eq!(monitor.write(&abandoned).await.unwrap(), Written::Before);
    assert_eq!(proxy.open(&Record::open(call.clone())).await.unwrap(), Written::Before, "nothing opens it again");
    proxy.note(&noted(&call, 12)).await.unwrap();
    let lines = bench.months().read("acme", "2026-11".parse().unwrap()).await.unwrap();
    let tally = months::total(&lines);
    assert_eq!((tally.calls, tally.estimated_calls, tally.input, tally.output), (1, 1, 10, 20));

    let closed = Record::closed(call.clone(), figures(4), false);
    assert_eq!(proxy.write(&closed).await.unwrap(), Written::Now);
    for late in [&closed, &abandoned, &Record::void(call)] {
        assert_eq!(monitor.write(late).await.unwrap(), Written::Before, "{late:?}");
    }
    let records = bench.records().await;
    assert_eq!(records["1"], closed);
    assert_eq!(bench.sums().await, expected(&records));
    let tally = months::total(&bench.months().read("acme", "2026-11".parse().unwrap()).await.unwrap());
    assert_eq!((tally.calls, tally.estimated_calls, tally.input, tally.output), (1, 0, 4, 8));
}

#[tokio::test]
async fn a_call_counts_on_the_day_and_in_the_month_in_which_it_began() {
    let bench = Bench::start().await;
    for (id, started_at) in [("last", LAST_SECOND), ("first", LAST_SECOND + 1)] {
        let call = call("acme", id, started_at);
        bench.ledger().open(&Record::open(call.clone())).await.unwrap();
        bench.ledger().write(&Record::closed(call, figures(2), false)).await.unwrap();
    }
    let mut days = Vec::new();
    for month in ["2026-11", "2026-12"] {
        let lines = bench.months().read("acme", month.parse().unwrap()).await.unwrap();
        assert!(lines.iter().all(|line| line.tally.calls == 1));
        days.extend(lines.into_iter().map(|line| (month, line.day)));
    }
    assert_eq!(days, [("2026-11", 30), ("2026-12", 1)]);
}

#[tokio::test]
async fn a_part_of_a_sum_may_be_negative_and_no_sum_that_is_read_is() {
    let bench = Bench::start().await;
    let monitor = bench.ledger();
    // All estimates are in one shard; the records that replace them are in other shards too.
    for number in 0..16 {
        let open = Record::open(call("acme", &number.to_string(), LAST_SECOND));
        monitor.write(&Record { figures: figures(100), ..open }.abandoned()).await.unwrap();
    }
    for number in 0..16 {
        let closed = Record::closed(call("acme", &number.to_string(), LAST_SECOND), figures(1), false);
        bench.ledger().write(&closed).await.unwrap();
    }
    assert!(bench.parts().await.iter().any(|output| *output < 0));
    let month: Month = "2026-11".parse().unwrap();
    let lines = bench.months().read("acme", month).await.unwrap();
    assert_eq!(lines.len(), 1, "parts are merged");
    assert_eq!((lines[0].tally.calls, lines[0].tally.estimated_calls, lines[0].tally.output), (16, 0, 32));
    assert_eq!(bench.sums().await, expected(&bench.records().await));
}

#[tokio::test]
async fn attempts_that_used_nothing_leave_no_line_and_each_kind_of_call_has_its_own() {
    let bench = Bench::start().await;
    let ledger = bench.ledger();
    ledger.write(&Record::void(call("acme", "void", LAST_SECOND))).await.unwrap();
    let month: Month = "2026-11".parse().unwrap();
    assert_eq!(bench.months().read("acme", month).await.unwrap(), []);

    for (number, (integration, model)) in
        [("crm", "m"), ("crm", "n"), ("erp", "m"), ("crm", "m")].into_iter().enumerate()
    {
        let mut call = call("acme", &number.to_string(), LAST_SECOND);
        (call.integration, call.model) = (integration.to_owned(), model.to_owned());
        ledger.write(&Record::closed(call, figures(1), true)).await.unwrap();
    }
    let lines = bench.months().read("acme", month).await.unwrap();
    let told = lines.iter().map(|line| (line.integration.as_str(), line.model.as_str(), line.tally.calls));
    assert_eq!(told.collect::<Vec<_>>(), [("crm", "m", 2), ("crm", "n", 1), ("erp", "m", 1)]);
}

#[tokio::test]
async fn each_way_of_serving_has_a_line_of_its_own_and_a_late_end_moves_from_the_estimates_line_to_its_own() {
    let (bench, month) = (Bench::start().await, "2026-11".parse().unwrap());
    let call = call("acme", "1", LAST_SECOND);
    let lines = async || {
        let lines = bench.months().read("acme", month).await.unwrap();
        let told =
            lines.into_iter().map(|line| (line.provider, line.service.model, line.tally.calls, line.tally.input));
        told.collect::<Vec<_>>()
    };
    let line = |served: &str, calls, input| ("primary".to_owned(), served.to_owned(), calls, input);
    bench.ledger().write(&noted(&call, 10).abandoned()).await.unwrap();
    assert_eq!(lines().await, [line("advisor", 0, 5), line("m-0", 1, 5)]);
    let closed = by_model(Record::closed(call.clone(), figures(1), false), 1);
    bench.ledger().write(&closed).await.unwrap();
    // The advisor has output here, but no input.
    assert_eq!(lines().await, [line("advisor", 0, 0), line("m-1", 1, 1)]);

    // A record that an earlier version abandoned has a line of its own.
    let earlier = Record { figures: figures(9), ..Record::open(Call { id: "2".to_owned(), ..call }) }.abandoned();
    bench.ledger().write(&earlier).await.unwrap();
    assert_eq!(lines().await, [(String::new(), String::new(), 1, 9), line("advisor", 0, 0), line("m-1", 1, 1)]);
    let late = by_model(Record::closed(earlier.call, figures(1), false), 1);
    bench.ledger().write(&late).await.unwrap();
    assert_eq!(lines().await, [line("advisor", 0, 0), line("m-1", 2, 2)]);
    assert_eq!(bench.sums().await, expected(&bench.records().await));
}

#[tokio::test]
async fn attempts_of_one_call_are_one_call_in_the_sums() {
    let bench = Bench::start().await;
    let first = call("acme", "1", LAST_SECOND);
    let second = Call { attempt: 2, provider: "backup".to_owned(), further: true, ..first.clone() };
    bench.ledger().write(&by_model(Record::closed(first, figures(1), true), 1)).await.unwrap();
    bench.ledger().write(&by_model(Record::closed(second, figures(1), false), 1)).await.unwrap();
    let total = bench.months().total("acme", "2026-11".parse().unwrap()).await.unwrap();
    assert_eq!((total.calls, total.attempts(), total.estimated_calls, total.input), (1, 2, 1, 2));
}
