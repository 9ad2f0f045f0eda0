//! Reads of the index of open records.

use std::collections::BTreeMap;

use aws_sdk_dynamodb::types::AttributeValue;
use futures_util::future::try_join_all;
use serde::Deserialize;

use super::write::{Item, partition, text};
use super::{Ledger, LedgerError, SHARDS};
use crate::clock::Timestamp;
use crate::metering::call::Record;
use crate::metering::month::Month;
use crate::stores::dynamodb::describe;

const INDEX: &str = "open";

impl Ledger {
    /// Returns open records whose deadline is before `before`: at most `limit` of each of the [`SHARDS`] shards, the
    /// oldest first within a shard. The index may lag behind, so a returned record may be final by now. A record that
    /// cannot be read is logged and left out, so that it does not keep others from being settled.
    ///
    /// # Errors
    /// Returns [`LedgerError`] if the index cannot be read.
    pub async fn overdue(&self, before: Timestamp, limit: usize) -> Result<Vec<Record>, LedgerError> {
        let page = i32::try_from(limit).unwrap_or(i32::MAX);
        // Query all shards concurrently.
        let parts = (0..SHARDS).map(async |shard| {
            let query = self.client.query().table_name(&self.table).index_name(INDEX);
            let mut items = query
                .key_condition_expression("#open = :open AND #due < :before")
                .expression_attribute_names("#open", "open")
                .expression_attribute_names("#due", "due")
                .expression_attribute_values(":open", text(&partition(shard)))
                .expression_attribute_values(":before", number(before.as_secs()))
                .limit(page)
                .into_paginator()
                .items()
                .send();
            let mut records = Vec::new();
            while records.len() < limit
                && let Some(item) = items.next().await
            {
                records.extend(read(item.map_err(|error| LedgerError(describe(&error)))?));
            }
            Ok(records)
        });
        let parts: Vec<Vec<Record>> = try_join_all(parts).await?;
        Ok(parts.into_iter().flatten().collect())
    }

    /// Returns the number of open calls of `account` that began in `month`, as [`Ledger::open_by_month`] counts them.
    ///
    /// # Errors
    /// Returns [`LedgerError`] if the index cannot be read.
    pub async fn open_calls(&self, account: &str, month: Month) -> Result<u64, LedgerError> {
        Ok(self.open_by_month().await?.count(account, month))
    }

    /// Returns the number of open calls by the month in which they began and by account. Reads the whole index: the
    /// calls in flight, and those that wait to be settled. The index may lag behind.
    ///
    /// # Errors
    /// Returns [`LedgerError`] if the index cannot be read.
    pub async fn open_by_month(&self) -> Result<OpenCalls, LedgerError> {
        // Query all shards concurrently, for these two attributes alone.
        let parts = (0..SHARDS).map(async |shard| {
            let query = self.client.query().table_name(&self.table).index_name(INDEX);
            let items = query
                .key_condition_expression("#open = :open")
                .projection_expression("#account, #started_at")
                .expression_attribute_names("#open", "open")
                .expression_attribute_names("#account", "account")
                .expression_attribute_names("#started_at", "started_at")
                .expression_attribute_values(":open", text(&partition(shard)))
                .into_paginator()
                .items()
                .send();
            items.collect::<Result<Vec<_>, _>>().await.map_err(|error| LedgerError(describe(&error)))
        });
        let mut open = OpenCalls::default();
        for item in try_join_all(parts).await?.into_iter().flatten() {
            // Skip items that cannot be read; `overdue` reports them.
            if let Ok(Began { account, started_at }) = serde_dynamo::from_item(item) {
                let (month, _) = Month::from_timestamp(Timestamp::from_secs(started_at));
                *open.0.entry((month, account)).or_default() += 1;
            }
        }
        Ok(open)
    }
}

/// Numbers of open calls, by month and account.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct OpenCalls(BTreeMap<(Month, String), u64>);

impl OpenCalls {
    /// Returns the number of open calls of `account` that began in `month`.
    pub fn count(&self, account: &str, month: Month) -> u64 {
        self.0.get(&(month, account.to_owned())).copied().unwrap_or(0)
    }
}

/// Account and start (Unix seconds) of an open call.
#[derive(Deserialize)]
struct Began {
    account: String,
    started_at: u64,
}

/// Reads the record in `item`. Returns `None` if it cannot be read, and logs its key but not its content.
fn read(item: Item) -> Option<Record> {
    let part = |name: &str| item.get(name).and_then(|value| value.as_s().ok()).cloned().unwrap_or_default();
    let key = format!("{} {}", part("pk"), part("sk"));
    let record = serde_dynamo::from_item(item).ok();
    if record.is_none() {
        tracing::error!(
            code = "usage.odd_record",
            record.key = key,
            "the record of an AI call cannot be read and is left out"
        );
    }
    record
}

fn number(number: u64) -> AttributeValue {
    AttributeValue::N(number.to_string())
}
