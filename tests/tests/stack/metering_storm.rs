//! Exact metering, proved whole: what the ledger says of a storm of calls is what the provider says it served, call by
//! call, whoever left and whatever was killed meanwhile.
//!
//! [`plan`] says who calls for what, [`storm`] makes the calls and breaks things, [`books`] lays the three sides
//! beside each other: what the clients saw, what the stand-in served, what the ledger holds. [`caps`] looks at what was
//! told of the accounts' caps meanwhile, and [`turn`] at the month's end.

#![expect(clippy::panic, clippy::unwrap_used, reason = "helpers of tests are tests")]

mod books;
mod caps;
mod plan;
mod storm;
mod turn;

use tests::Stack;

use self::storm::Storm;

/// Calls in the storm.
const CALLS: usize = 2_000;

#[tokio::test]
async fn of_2000_calls_over_20_accounts_the_ledger_is_the_providers_own_count_whatever_breaks() {
    let builder = Stack::builder().environments("ai-proxy=6,authorizer=3").only_primary();
    let stack = builder.without_limits().env("AI_TOKEN_CAP_DEFAULT", &caps::CAP.to_string()).start().await;
    caps::within_a_month(&stack).await;
    let keys = plan::accounts(&stack).await;

    let Storm { heard, kills } = storm::rage(&stack, &keys, CALLS).await;
    books::settle(&stack).await;
    books::compare(&stack, &heard, kills).await;
    caps::compare(&stack, &keys).await;
}
