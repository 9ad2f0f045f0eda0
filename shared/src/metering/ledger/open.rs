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
    /// Open records whose deadline is before `before`, at most `limit` of each of the [`SHARDS`] parts, the oldest first
    /// within a part. The index may lag behind: what is here may be over meanwhile. A record that cannot be read is left
    /// out and reported: it keeps no other from being settled.
    ///
    /// # Errors
    /// When the index cannot be read.
    pub async fn overdue(&self, before: Timestamp, limit: usize) -> Result<Vec<Record>, LedgerError> {
        let page = i32::try_from(limit).unwrap_or(i32::MAX);
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

    /// How many calls of `account` that began in `month` are open, as for [`Ledger::open_by_month`].
    ///
    /// # Errors
    /// When the index cannot be read.
    pub async fn open_calls(&self, account: &str, month: Month) -> Result<u64, LedgerError> {
        Ok(self.open_by_month().await?.of(account, month))
    }

    /// How many calls are open, by the month in which they began and by account. It reads what is open at all, which is
    /// no more than there can be calls at the same time, and those that wait to be settled. The index may lag behind.
    ///
    /// # Errors
    /// When the index cannot be read.
    pub async fn open_by_month(&self) -> Result<OpenCalls, LedgerError> {
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
            // What cannot be read is no call that could be told of; `overdue` reports it.
            if let Ok(Began { account, started_at }) = serde_dynamo::from_item(item) {
                let (month, _) = Month::of(Timestamp::from_secs(started_at));
                *open.0.entry((month, account)).or_default() += 1;
            }
        }
        Ok(open)
    }
}

/// How many calls are open.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct OpenCalls(BTreeMap<(Month, String), u64>);

impl OpenCalls {
    /// Those of `account` that began in `month`.
    pub fn of(&self, account: &str, month: Month) -> u64 {
        self.0.get(&(month, account.to_owned())).copied().unwrap_or(0)
    }
}

/// Whose an open call is, and when it began (Unix seconds).
#[derive(Deserialize)]
struct Began {
    account: String,
    started_at: u64,
}

/// The record in `item`; `None`, and a log line that does not tell what it holds, where it cannot be read.
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
