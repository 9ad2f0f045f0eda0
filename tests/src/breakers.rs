//! Decisions about providers: reads them, and makes decisions for a test.

use levee::breaker::{BreakerState, BreakersTable, Grounds, Transition, Wrote};

use crate::Stack;

impl Stack {
    /// Returns the table of decisions.
    pub fn breakers(&self) -> BreakersTable {
        BreakersTable::new(self.dynamodb(), "Breakers")
    }
}

/// Writes the decision `to` about `provider`, made by `by` on `grounds`, after the current one in `table`. Returns
/// the decision as written.
pub async fn decide(
    table: &BreakersTable,
    provider: &str,
    to: BreakerState,
    grounds: Grounds,
    by: &str,
) -> BreakerState {
    let from = table.read(provider).await.expect("DynamoDB");
    let transition = Transition::new(provider, &from, to, grounds, by);
    assert_eq!(table.write(&transition, &from).await.expect("DynamoDB"), Wrote::Now);
    transition.to
}
