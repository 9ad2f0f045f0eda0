//! The ledger with the emulator: the sums equal the records in all cases of repeated, late, concurrent and lost
//! writes.

mod bench;
mod index;
mod races;
mod state_machine;
mod sums;

use std::collections::BTreeSet;

use levee::accounts::IntegrationKind;
use levee::metering::{Call, Figures, Part, Reading, Record, Service, Tier, Usage};

/// 2026-11-30T23:59:59Z, the last second of a day and a month.
const LAST_SECOND: u64 = 1_796_083_199;

/// Returns the attempt `id` of `account`, with the integration `crm` and the model `m`, which began at `started_at`
/// and has its deadline five minutes later.
fn call(account: &str, id: &str, started_at: u64) -> Call {
    Call {
        id: id.to_owned(),
        attempt: 1,
        request_id: format!("r-{id}"),
        account: account.to_owned(),
        integration: "crm".to_owned(),
        kind: IntegrationKind::Customer,
        provider: "primary".to_owned(),
        model: "m".to_owned(),
        started_at,
        deadline: started_at + 300,
        further: false,
    }
}

/// Returns figures that are all different, of the standard tier if `count` is even.
fn figures(count: u64) -> Figures {
    let usage = Usage {
        input: count,
        output: 2 * count,
        cache_read: 3 * count,
        cache_write_5m: 4 * count,
        cache_write_1h: 5 * count,
        web_searches: 6 * count,
        web_fetches: 7 * count,
    };
    let tier = if count.is_multiple_of(2) { Tier::Standard } else { Tier::Batch };
    Figures { usage, tier, ..Figures::default() }
}

/// Returns `record` with its figures split between two models. If `count` is a multiple of three, returns it as an
/// earlier version wrote it.
fn by_model(record: Record, count: u64) -> Record {
    if count.is_multiple_of(3) {
        return record;
    }
    let whole = record.figures.usage;
    let advisor = Usage { input: whole.input / 2, output: whole.output / 2, ..Usage::default() };
    let part = |model: String, usage| Part { service: Service { model, ..Service::default() }, usage };
    let parts = vec![part(format!("m-{}", count % 2), whole.less(&advisor)), part("advisor".to_owned(), advisor)];
    let (reading, is_estimated) = (Reading { figures: record.figures, parts, ..Reading::default() }, record.estimated);
    record.with_reading(&reading, is_estimated)
}

/// Returns the open record of `call` with the figures of `count`.
fn noted(call: &Call, count: u64) -> Record {
    by_model(Record { figures: figures(count), ..Record::open(call.clone()) }, count)
}

fn ids<'a>(calls: impl IntoIterator<Item = &'a Call>) -> BTreeSet<String> {
    calls.into_iter().map(|call| call.id.clone()).collect()
}
