//! Reads of single records.

use super::write::key;
use super::{Ledger, LedgerError};
use crate::metering::call::{Call, Record};
use crate::stores::dynamodb::describe;

impl Ledger {
    /// Reads the present record of an attempt. Returns `None` if there is none, or if it has expired.
    ///
    /// # Errors
    /// Returns [`LedgerError`] if the table cannot be read in time, or if the item is not a record.
    pub async fn record(&self, call: &Call) -> Result<Option<Record>, LedgerError> {
        self.in_time(async {
            let request = self.client.get_item().table_name(&self.table).consistent_read(true);
            let answer =
                request.set_key(Some(key(call))).send().await.map_err(|error| LedgerError(describe(&error)))?;
            let record = answer.item.map(serde_dynamo::from_item).transpose();
            record.map_err(|error| LedgerError(error.to_string()))
        })
        .await
    }
}
