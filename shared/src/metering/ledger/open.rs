//! Reads of the index of open records.

use aws_sdk_dynamodb::types::{AttributeValue, Select};
use futures_util::future::try_join_all;

use super::write::{partition, text};
use super::{Ledger, LedgerError, SHARDS};
use crate::clock::Timestamp;
use crate::metering::call::Record;
use crate::metering::month::Month;
use crate::stores::dynamodb::describe;

const INDEX: &str = "open";

impl Ledger {
    /// Open records whose deadline is before `before`, at most `limit` of each of the [`SHARDS`] parts, the oldest first
    /// within a part. The index may lag behind: what is here may be over meanwhile.
    ///
    /// # Errors
    /// When the index cannot be read, or holds something else than records.
    pub async fn overdue(&self, before: Timestamp, limit: usize) -> Result<Vec<Record>, LedgerError> {
        let limit = i32::try_from(limit).unwrap_or(i32::MAX);
        let parts = (0..SHARDS).map(async |shard| {
            let query = self.client.query().table_name(&self.table).index_name(INDEX);
            let query = query
                .key_condition_expression("#open = :open AND #due < :before")
                .expression_attribute_names("#open", "open")
                .expression_attribute_names("#due", "due")
                .expression_attribute_values(":open", text(&partition(shard)))
                .expression_attribute_values(":before", AttributeValue::N(before.as_secs().to_string()))
                .limit(limit);
            let answer = query.send().await.map_err(|error| LedgerError(describe(&error)))?;
            let records = serde_dynamo::from_items(answer.items.unwrap_or_default());
            records.map_err(|error| LedgerError(error.to_string()))
        });
        let parts: Vec<Vec<Record>> = try_join_all(parts).await?;
        Ok(parts.into_iter().flatten().collect())
    }

    /// How many calls of `account` that began in `month` are open. The index may lag behind.
    ///
    /// # Errors
    /// When the index cannot be read.
    pub async fn open_calls(&self, account: &str, month: Month) -> Result<u64, LedgerError> {
        let parts = (0..SHARDS).map(async |shard| {
            let (mut count, mut after) = (0, None);
            loop {
                let query = self.client.query().table_name(&self.table).index_name(INDEX).select(Select::Count);
                let query = query
                    .key_condition_expression("#open = :open")
                    .filter_expression("#account = :account AND #started_at BETWEEN :first AND :last")
                    .expression_attribute_names("#open", "open")
                    .expression_attribute_names("#account", "account")
                    .expression_attribute_names("#started_at", "started_at")
                    .expression_attribute_values(":open", text(&partition(shard)))
                    .expression_attribute_values(":account", text(account))
                    .expression_attribute_values(":first", number(month.begins_at().as_secs()))
                    .expression_attribute_values(":last", number(month.ends_at().as_secs() - 1))
                    .set_exclusive_start_key(after);
                let answer = query.send().await.map_err(|error| LedgerError(describe(&error)))?;
                count += u64::try_from(answer.count).unwrap_or(0);
                after = answer.last_evaluated_key;
                if after.is_none() {
                    return Ok(count);
                }
            }
        });
        Ok(try_join_all(parts).await?.into_iter().sum())
    }
}

fn number(number: u64) -> AttributeValue {
    AttributeValue::N(number.to_string())
}
