//! Exact metering under load: after a storm of calls the ledger equals the provider's own count, call by call,
//! although clients leave and functions are killed meanwhile.
//!
//! [`plan`] determines the calls, [`storm`] makes them and injects faults, and [`books`] compares the three sides:
//! the clients' observations, the stand-in's calls, and the ledger. [`caps`] checks the alerts about the accounts'
//! caps, and [`turn`] the end of a month.

#![expect(clippy::panic, clippy::unwrap_used, reason = "helpers of tests are tests")]

mod books;
mod caps;
mod plan;
mod storm;
mod turn;

use tests::Stack;

use self::storm::Storm;

/// Number of calls in the storm.
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
