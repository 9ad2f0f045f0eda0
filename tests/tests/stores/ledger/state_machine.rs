//! Any records in any order by any number of environments, with conflicts and lost answers: final records stay, and
//! the sums equal the records.

use std::collections::{BTreeMap, BTreeSet};

use futures_util::future::join_all;
use levee::clock::Timestamp;
use levee::metering::{Call, Figures, Ledger, LedgerError, Month, Record, RecordState, Written};
use proptest::prelude::*;
use tests::property;
use tokio::runtime::Runtime;

use super::bench::{Bench, expected};
use super::{LAST_SECOND, by_model, call, figures, noted};

const LEDGERS: usize = 3;
const CALLS: usize = 6;

/// Operation of one environment.
#[derive(Debug, Clone)]
enum Op {
    /// Opens a call.
    Open(usize),
    /// Adds figures to an open record.
    Note(usize, u64),
    /// Closes a call.
    Close(usize, u64, bool),
    /// Voids a call that used nothing.
    Void(usize),
    /// Abandons a call, with the figures that are known.
    Abandon(usize, u64),
    /// Abandons all calls in the index.
    Settle,
}

fn ops() -> impl Strategy<Value = Op> {
    let call = 0..CALLS;
    prop_oneof![
        4 => call.clone().prop_map(Op::Open),
        2 => (call.clone(), 1u64..50).prop_map(|(call, count)| Op::Note(call, count)),
        4 => (call.clone(), 1u64..50, any::<bool>()).prop_map(|(call, count, is)| Op::Close(call, count, is)),
        1 => call.clone().prop_map(Op::Void),
        2 => (call, 1u64..50).prop_map(|(call, count)| Op::Abandon(call, count)),
        1 => Just(Op::Settle),
    ]
}

/// Conflict ratio, ratio of lost answers, and the seed.
fn faults() -> impl Strategy<Value = (f64, f64, u64)> {
    (prop_oneof![Just(0.0), Just(0.3)], prop_oneof![Just(0.0), Just(0.3)], any::<u64>())
}

/// Returns the calls: of two accounts, integrations and models, on both sides of the end of a month.
fn calls() -> Vec<Call> {
    let call = |number: usize| {
        let account = if number.is_multiple_of(3) { "acme" } else { "acme-2" };
        let call = call(account, &number.to_string(), LAST_SECOND + number as u64 % 2);
        let integration = if number < 4 { "crm" } else { "erp" }.to_owned();
        let model = if number < 5 { "m" } else { "n" }.to_owned();
        Call { integration, model, ..call }
    };
    (0..CALLS).map(call).collect()
}

#[derive(Default)]
struct History {
    /// All records that were attempted to be written, by call.
    tried: BTreeMap<String, Vec<Record>>,
    /// Figures noted for each call.
    noted: BTreeMap<String, Vec<Figures>>,
    /// Records that could not be written, or whose answer was lost.
    unwritten: Vec<Record>,
    /// Number of times that a write reported the end of a call.
    ended: BTreeMap<String, usize>,
    /// Records that are final.
    last: BTreeMap<String, Record>,
}

impl History {
    fn wrote(&mut self, record: Record, result: Result<Written, LedgerError>) {
        let is_end = matches!(record.state, RecordState::Closed | RecordState::Void);
        let id = record.call.id.clone();
        match result {
            Ok(Written::Now) if is_end => *self.ended.entry(id.clone()).or_default() += 1,
            Ok(_) => {}
            Err(_) => self.unwritten.push(record.clone()),
        }
        self.tried.entry(id).or_default().push(record);
    }

    /// Checks the state of the table.
    async fn check(&mut self, bench: &Bench) -> Result<(), TestCaseError> {
        let records = bench.records().await;
        prop_assert_eq!(bench.sums().await, expected(&records));
        let open = records.values().filter(|record| record.state == RecordState::Open);
        prop_assert_eq!(bench.open().await, super::ids(open.map(|record| &record.call)));
        for (id, record) in &records {
            if let Some(last) = self.last.get(id) {
                prop_assert_eq!(last, record, "what is final stays");
            }
            let was_tried = self.tried.get(id).is_some_and(|tried| tried.contains(record));
            let was_noted = record.state == RecordState::Open
                && self.noted.get(id).is_some_and(|noted| noted.contains(&record.figures));
            prop_assert!(was_tried || was_noted, "nobody wrote {:?}", record);
            if matches!(record.state, RecordState::Closed | RecordState::Void) {
                self.last.insert(id.clone(), record.clone());
            }
        }
        let twice: Vec<_> = self.ended.iter().filter(|(_, times)| **times > 1).collect();
        prop_assert!(twice.is_empty(), "ended more than once: {:?}", twice);
        Ok(())
    }
}

/// Result of an operation: records with the results of their writes, and the figures noted for a call.
type Done = (Vec<(Record, Result<Written, LedgerError>)>, Option<(String, Figures)>);

async fn apply(ledger: &Ledger, op: Op, calls: &[Call]) -> Done {
    let record = match op {
        Op::Open(number) => {
            let result = ledger.open(&Record::open(calls[number].clone())).await;
            return (vec![(Record::open(calls[number].clone()), result)], None);
        }
        Op::Note(number, count) => {
            ledger.note(&noted(&calls[number], count)).await.unwrap();
            return (Vec::new(), Some((calls[number].id.clone(), figures(count))));
        }
        Op::Settle => {
            let mut done = Vec::new();
            for open in ledger.overdue(Timestamp::from_secs(LAST_SECOND + 302), 100).await.unwrap() {
                let record = open.abandoned();
                let result = ledger.write(&record).await;
                done.push((record, result));
            }
            return (done, None);
        }
        Op::Close(number, count, is_estimated) => {
            by_model(Record::closed(calls[number].clone(), figures(count), is_estimated), count)
        }
        Op::Void(number) => Record::void(calls[number].clone()),
        Op::Abandon(number, count) => noted(&calls[number], count).abandoned(),
    };
    let result = ledger.write(&record).await;
    (vec![(record, result)], None)
}

async fn run(rounds: Vec<Vec<Op>>, (conflicts, lost, seed): (f64, f64, u64)) -> Result<(), TestCaseError> {
    let bench = Bench::start().await;
    let (ledgers, calls) = (Vec::from_iter((0..LEDGERS).map(|_| bench.ledger())), calls());
    let mut history = History::default();
    bench.inject(conflicts, lost, seed).await;
    // Operations of one round run concurrently.
    for round in rounds {
        let ops = round.into_iter().enumerate().map(|(at, op)| apply(&ledgers[at % LEDGERS], op, &calls));
        for (written, noted) in join_all(ops).await {
            written.into_iter().for_each(|(record, result)| history.wrote(record, result));
            if let Some((id, figures)) = noted {
                history.noted.entry(id).or_default().push(figures);
            }
        }
        history.check(&bench).await?;
    }

    // Replay the logged records, twice.
    bench.mend().await;
    for record in [history.unwritten.clone(), history.unwritten.clone()].concat() {
        let result = match record.state {
            RecordState::Open => bench.ledger().open(&record).await,
            _ => bench.ledger().write(&record).await,
        };
        prop_assert!(result.is_ok(), "{:?}", result);
        history.wrote(record, result);
    }
    history.check(&bench).await?;
    let records = bench.records().await;
    for (id, tried) in &history.tried {
        let rank = |state: RecordState| match state {
            RecordState::Open => 0,
            RecordState::Abandoned => 1,
            RecordState::Closed | RecordState::Void => 2,
        };
        let most_final = tried.iter().map(|record| rank(record.state)).max();
        prop_assert_eq!(records.get(id).map(|record| rank(record.state)), most_final, "call {}", id);
    }
    for account in ["acme", "acme-2"] {
        for month in ["2026-11", "2026-12"] {
            let month: Month = month.parse().unwrap();
            let is_open = |record: &&Record| {
                let call = &record.call;
                record.state == RecordState::Open
                    && call.account == account
                    && Month::from_timestamp(call.started_at()).0 == month
            };
            let open = records.values().filter(is_open).count() as u64;
            prop_assert_eq!(bench.ledger().open_calls(account, month).await.unwrap(), open);
        }
    }
    Ok(())
}

#[test]
fn whatever_is_written_the_sums_are_those_of_the_records_and_each_call_ends_once() {
    let kinds: BTreeSet<_> = calls().iter().map(|call| (call.account.clone(), call.started_at)).collect();
    assert_eq!(kinds.len(), 4, "both accounts have calls of both months");
    let runtime = Runtime::new().unwrap();
    let config = property(8);
    let rounds = proptest::collection::vec(proptest::collection::vec(ops(), 1..8), 1..8);
    proptest!(config, |(rounds in rounds, faults in faults())| {
        runtime.block_on(run(rounds, faults))?;
    });
}
