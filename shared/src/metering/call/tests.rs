//! Tests of records and of the changes that they make to the sums.

use super::*;
use crate::metering::usage::Usage;

pub(crate) fn call() -> Call {
    Call {
        id: "1".to_owned(),
        attempt: 1,
        request_id: "r".to_owned(),
        account: "acme".to_owned(),
        integration: "crm".to_owned(),
        kind: IntegrationKind::Customer,
        provider: "primary".to_owned(),
        model: "m".to_owned(),
        started_at: 1_700_000_000,
        deadline: 1_700_000_300,
        further: false,
    }
}

pub(crate) fn used(input: u64, output: u64) -> Figures {
    Figures { usage: Usage { input, output, ..Usage::default() }, ..Figures::default() }
}

fn service(model: &str) -> Service {
    Service { model: model.to_owned(), ..Service::default() }
}

/// Returns the records that an attempt may have, the least final first.
fn records() -> [Record; 4] {
    let open = Record::open(call());
    let noted = Record { figures: used(10, 1), ..open.clone() };
    [open, noted.abandoned(), Record::closed(call(), used(10, 20), false), Record::void(call())]
}

#[test]
fn whatever_order_records_come_in_the_sums_are_those_of_the_record_that_stays() {
    for first in 0..4 {
        for second in 0..4 {
            for third in 0..4 {
                let (mut kept, mut sums) = (None::<Record>, Tally::default());
                for record in [first, second, third].map(|which| records()[which].clone()) {
                    if let Some(change) = step(kept.as_ref(), &record) {
                        sums = sums.plus(&change.total);
                        kept = Some(record);
                    }
                }
                assert_eq!(Some(sums), kept.map(|kept| kept.tally()), "{first} {second} {third}");
            }
        }
    }
}

#[test]
fn a_late_end_takes_the_place_of_an_abandoned_record_and_of_nothing_that_is_final() {
    let [open, abandoned, closed, void] = records();
    let late = step(Some(&abandoned), &closed).unwrap().total;
    assert_eq!((late.calls, late.estimated_calls, late.input, late.output), (0, -1, 0, 19));
    assert_eq!(step(Some(&abandoned), &void).unwrap().total.calls, -1);
    for (old, new) in
        [(&closed, &closed), (&closed, &abandoned), (&closed, &void), (&void, &closed), (&abandoned, &open)]
    {
        assert_eq!(step(Some(old), new), None, "{old:?} {new:?}");
    }
}

#[test]
fn a_record_is_read_as_it_was_written() {
    for record in records() {
        let text = serde_json::to_string(&record).unwrap();
        assert_eq!(serde_json::from_str::<Record>(&text).unwrap(), record, "{text}");
    }
    let part = |model: &str| Part { service: service(model), usage: used(1, 2).usage };
    let reading = Reading { figures: used(2, 4), parts: vec![part("m-1"), part("m-2")], ..Reading::default() };
    let record = Record::closed(Call { further: true, ..call() }, Figures::default(), false);
    let record = record.with_reading(&reading, true);
    let text = serde_json::to_string(&record).unwrap();
    assert_eq!(serde_json::from_str::<Record>(&text).unwrap(), record, "{text}");
}

#[test]
fn a_record_of_an_earlier_version_is_read_and_counts_on_its_old_line() {
    let text = r#"{"id":"1","attempt":1,"request_id":"r","account":"acme","integration":"crm","kind":"customer",
        "provider":"primary","model":"m","started_at":1700000000,"deadline":1700000300,"state":"abandoned","input":10,
        "output":1,"cache_read":0,"cache_write_5m":0,"cache_write_1h":0,"web_searches":0,"web_fetches":0,
        "tier":"standard","estimated":true}"#;
    let old: Record = serde_json::from_str(text).unwrap();
    let part = Part { service: service("m-1"), usage: used(12, 30).usage };
    let reading = Reading { figures: used(12, 30), parts: vec![part], ..Reading::default() };
    let new = Record::closed(call(), Figures::default(), false).with_reading(&reading, false);
    let change = step(Some(&old), &new).unwrap();
    assert_eq!((change.total.calls, change.total.input, change.total.output), (0, 2, 29));
    let lines: Vec<_> = change.lines.iter().map(|(line, tally)| (line.clone(), tally.calls, tally.input)).collect();
    assert_eq!(lines, [(None, -1, -10), (Some(service("m-1")), 1, 12)]);
}

#[test]
fn a_call_counts_once_however_many_of_its_attempts_used_tokens() {
    let cut = Record::closed(call(), used(10, 1), true);
    let served = Record::closed(Call { attempt: 2, further: true, ..call() }, used(10, 20), false);
    let sum = cut.tally().plus(&served.tally());
    assert_eq!((sum.calls, sum.attempts(), sum.estimated_calls, sum.input), (1, 2, 1, 20));
    let alone = Record::closed(Call { attempt: 2, ..call() }, used(10, 20), false).tally();
    let sum = Record::void(call()).tally().plus(&alone);
    assert_eq!((sum.calls, sum.attempts()), (1, 1), "an attempt that used nothing counts nowhere");
}

#[test]
fn each_part_counts_on_its_own_line_and_the_call_with_the_first() {
    let parts = ["m-1", "m-2", "m-1"].map(|model| Part { service: service(model), usage: used(5, 1).usage });
    let reading = Reading { figures: used(15, 3), parts: parts.into(), ..Reading::default() };
    let record = Record::closed(call(), Figures::default(), false).with_reading(&reading, false);
    let change = step(None, &record).unwrap();
    let lines: Vec<_> = change.lines.iter().map(|(line, it)| (line.clone(), it.calls, it.input)).collect();
    assert_eq!(lines, [(Some(service("m-1")), 1, 10), (Some(service("m-2")), 0, 5)]);
    assert_eq!((change.total.calls, change.total.input, change.total.output), (1, 15, 3));
    assert_eq!(record.tally(), change.total);
}
