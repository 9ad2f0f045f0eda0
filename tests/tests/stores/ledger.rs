//! The ledger on the emulator: whatever is repeated, comes late, meets others or is lost on its way, the sums are those of
//! the records.

mod bench;
mod index;
mod races;
mod state_machine;
mod sums;

use std::collections::BTreeSet;

use levee::accounts::IntegrationKind;
use levee::metering::{Call, Figures, Tier, Usage};

/// 2026-11-30T23:59:59Z, the last second of a day and a month.
const LAST_SECOND: u64 = 1_796_083_199;

/// The attempt `id` of `account`, of the integration `crm` and the model `m`, that began at `started_at` and must have
/// ended five minutes later.
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
    }
}

/// Figures that all differ, of the standard tier where `count` is even.
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

fn ids<'a>(calls: impl IntoIterator<Item = &'a Call>) -> BTreeSet<String> {
    calls.into_iter().map(|call| call.id.clone()).collect()
}
