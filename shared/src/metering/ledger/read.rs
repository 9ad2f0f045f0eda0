//! Reads of one record.

use super::write::key;
use super::{Ledger, LedgerError};
use crate::metering::call::{Call, Record};
use crate::stores::dynamodb::describe;

impl Ledger {
    /// The record of an attempt as it is now; `None` where there is none, or none any more.
    ///
    /// # Errors
    /// When the table cannot be read in time, or holds something else than a record.
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
