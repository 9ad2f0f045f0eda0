//! Comparison of the three sides of a storm.

use std::collections::{BTreeMap, BTreeSet};

use levee::metering::{Call, Figures, Month, Record, RecordState, Tally, Usage, unwritten};
use serde_json::Value;
use tests::{Served, Stack, wait_for};

use super::storm::Heard;

/// A time longer than any call, in seconds.
const LONGER_THAN_ANY_CALL: u64 = 3600;

/// Waits for the calls whose clients have left, writes the records that are only in the log, and has the monitor
/// settle the calls that never ended.
pub async fn settle(stack: &Stack) {
    wait_for(async || {
        let environments = stack.environments("ai-proxy").await;
        let is_idle = environments.iter().all(|it| it["state"] == "idle");
        (is_idle && stack.provider("primary").await["in_flight"] == 0).then_some(())
    })
    .await;
    let ledger = stack.ledger();
    for record in stack.log("ai-proxy").iter().filter_map(|line| unwritten::read(line).ok()?) {
        match record.state {
            RecordState::Open => ledger.open(&record).await,
            _ => ledger.write(&record).await,
        }
        .unwrap();
    }
    stack.advance(LONGER_THAN_ANY_CALL).await;
    wait_for(async || {
        let answer = stack.control("POST", "/monitor/run", Value::Null).await;
        assert_eq!(answer.status, 200, "{answer:?}");
        let records = stack.records().await;
        (!records.iter().any(|record| record.state == RecordState::Open)).then_some(())
    })
    .await;
}

/// Compares every call's record with the stand-in's log and the client's observation, and the sums with the records.
pub async fn compare(stack: &Stack, heard: &[Heard], kills: usize) {
    let records = stack.records().await;
    let mut ledger = by(&records, |record| record.call.request_id.clone());
    let served = stack.served("primary").await;
    let mut served = by(&served, |served| served.user.clone());
    let ended = ended(stack);

    let (mut killed, mut nameless) = (Vec::new(), Vec::new());
    for call in heard {
        if call.request_id.is_empty() {
            nameless.push(call);
            continue;
        }
        let (record, served) = (ledger.remove(&call.request_id), served.remove(&call.name));
        let has_ended = ended.contains(&call.request_id);
        if call.is_whole || has_ended {
            assert_exact(call, record, served);
        } else {
            assert_interrupted(call, record, served);
        }
        // A proxy may also be killed between its report and its answer.
        if !(call.is_whole || call.has_left && has_ended) {
            killed.push((call, record.map(|record| record.state)));
        }
    }
    // The remaining records are of calls whose clients never got the request id. Match those with more data first.
    let mut left: Vec<_> = ledger.into_values().collect();
    left.sort_by_key(|record| is_expected(record));
    for record in left {
        let is_it = |call: &&Heard| is_record_of(record, call, served.get(&call.name).copied());
        let at = nameless.iter().position(is_it).unwrap_or_else(|| panic!("whose is it? {record:?}"));
        let call = nameless.swap_remove(at);
        assert_interrupted(call, Some(record), served.remove(&call.name));
        killed.push((call, Some(record.state)));
    }
    for call in nameless {
        assert_interrupted(call, None, served.remove(&call.name));
        killed.push((call, None));
    }
    assert!(served.is_empty(), "nobody made these calls: {served:?}");
    assert_sums(stack, &records).await;

    // Each kill ends one call at most. The test proves nothing unless some calls were ended by a kill.
    let left = heard.iter().filter(|call| call.has_left).count();
    let abandoned = killed.iter().filter(|(_, state)| *state == Some(RecordState::Abandoned)).count();
    assert!(left > heard.len() / 20, "{left} clients left");
    assert!(abandoned > 0 && killed.len() <= kills, "{kills} kills, {killed:?}");
}

/// Asserts that the ledger has what the provider served, for a call whose proxy was not killed.
fn assert_exact(call: &Heard, record: Option<&Record>, served: Option<&Served>) {
    let (Some(record), Some(served)) = (record, served) else { panic!("{call:?}: {record:?}, {served:?}") };
    assert_eq!(served.end, "completed", "{call:?}: {served:?}");
    assert_eq!(
        (record.state, record.estimated, record.figures),
        (RecordState::Closed, false, served.figures),
        "{call:?}"
    );
}

/// Asserts that a call whose proxy was killed is in the ledger once, as served or as an estimate that is marked as
/// one.
fn assert_interrupted(call: &Heard, record: Option<&Record>, served: Option<&Served>) {
    match record {
        // No call is served before its record is written.
        None => assert!(served.is_none() && call.status != 200, "{call:?}: {served:?}"),
        Some(record) if record.state == RecordState::Closed => assert_exact(call, Some(record), served),
        Some(record) => {
            assert_eq!((record.state, record.estimated), (RecordState::Abandoned, true), "{call:?}: {record:?}");
            let known = record.figures;
            let is_served = served.is_some_and(|served| is_part(&known, &served.figures));
            assert!(is_expected(record) || is_served, "{call:?}: {known:?} of {served:?}");
        }
    }
}

/// Returns true if `record` may belong to `call`, given what `served` shows.
fn is_record_of(record: &Record, call: &Heard, served: Option<&Served>) -> bool {
    let Call { account, integration, model, .. } = &record.call;
    let is_callers = call.caller == (account.clone(), integration.clone()) && call.model == *model;
    let known = &record.figures;
    let fits = |served: &Served| match record.state {
        RecordState::Closed => *known == served.figures,
        _ => is_part(known, &served.figures),
    };
    is_callers && (is_expected(record) || served.is_some_and(fits))
}

/// Returns true if `record` contains only the estimate of the prompt from before the provider answered.
fn is_expected(record: &Record) -> bool {
    let expected = Usage { input: record.figures.usage.input, ..Usage::default() };
    record.estimated && expected.input > 0 && record.figures.usage == expected
}

/// Returns true if `known` is a state in the course of a stream that used `all` in the end: the input side is
/// reported at the beginning, with a first output token.
fn is_part(known: &Figures, all: &Figures) -> bool {
    let input = |figures: &Figures| Tally { output: 0, web_searches: 0, web_fetches: 0, ..tally(figures) };
    input(known) == input(all) && known.usage.output <= all.usage.output.max(1)
}

fn tally(figures: &Figures) -> Tally {
    let figure = |figure: u64| i64::try_from(figure).unwrap();
    Tally {
        input: figure(figures.usage.input),
        output: figure(figures.usage.output),
        cache_read: figure(figures.usage.cache_read),
        cache_write_5m: figure(figures.usage.cache_write_5m),
        cache_write_1h: figure(figures.usage.cache_write_1h),
        web_searches: figure(figures.usage.web_searches),
        web_fetches: figure(figures.usage.web_fetches),
        ..Tally::default()
    }
}

/// Asserts that every account's month is the sum of its records, by day, integration and model.
async fn assert_sums(stack: &Stack, records: &[Record]) {
    let mut months: BTreeMap<_, BTreeMap<_, Tally>> = BTreeMap::new();
    for record in records {
        let call = &record.call;
        let (month, day) = Month::from_timestamp(call.started_at());
        let lines = months.entry((&call.account, month)).or_default();
        let line = lines.entry((day, call.integration.clone(), call.model.clone())).or_default();
        let counted = Tally { calls: 1, estimated_calls: record.estimated.into(), ..tally(&record.figures) };
        *line = line.plus(&counted);
    }
    let reader = stack.months();
    for ((account, month), expected) in months {
        let lines = reader.read(account, month).await.unwrap();
        let mut sums: BTreeMap<_, Tally> = BTreeMap::new();
        for line in lines {
            let sum = sums.entry((line.day, line.integration, line.model)).or_default();
            *sum = sum.plus(&line.tally);
        }
        assert_eq!(sums, expected, "{account} {month}");
    }
}

/// Returns the calls whose proxies have written their report, which is the last action for a call.
fn ended(stack: &Stack) -> BTreeSet<String> {
    // A killed proxy may leave a partial line.
    let lines = stack.log("ai-proxy").into_iter().filter_map(|line| serde_json::from_str::<Value>(&line).ok());
    let reports = lines.filter(|line| line["_aws"].is_object());
    reports.map(|report| report["request.id"].as_str().unwrap().to_owned()).collect()
}

/// Indexes items by a key that has to be unique.
fn by<T: std::fmt::Debug>(all: &[T], key: impl Fn(&T) -> String) -> BTreeMap<String, &T> {
    let mut found = BTreeMap::new();
    for one in all {
        assert!(found.insert(key(one), one).is_none(), "twice: {one:?}");
    }
    found
}
