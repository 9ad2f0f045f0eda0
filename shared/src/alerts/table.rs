//! The alerts table.
//!
//! | `pk` | `sk` | item | expires |
//! | --- | --- | --- | --- |
//! | `KEY#<key>` | `KEY` | end of the key's cool-down, and the position of its alert | a day after that |
//! | `ALERTS` | `<position>` | [`Raised`] | after 97 days |
//! | `WAITING` | `<position>` | no further attributes: the alert must still be sent | after 90 days |
//! | `BUDGET` | `BUDGET` | alerts sent in this hour, and the last one held | 90 days after the last write |
//!
//! A position is the time when the alert was raised (Unix milliseconds in 13 digits) and its key:
//! `1795310118001#redis.gone`. The first three items are written in one transaction, on the condition that the key
//! is not cooling down. Another transaction marks an alert as sent, removes it from `WAITING` and counts it in the
//! budget.

mod write;

use std::collections::HashMap;
use std::time::Duration;

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::error::BuildError;
use aws_sdk_dynamodb::types::builders::PutBuilder;
use aws_sdk_dynamodb::types::{AttributeValue, Put, ReturnValuesOnConditionCheckFailure, TransactWriteItem};

use self::write::Unwritten;
use super::budget::Budget;
use super::{Alert, Raised};
use crate::clock::Timestamp;
use crate::stores::dynamodb::{batch_get, describe};

/// Age up to which alerts are listed, from the time they were raised.
pub const KEPT: Duration = Duration::from_secs(90 * DAY_SECS);

const DAY_SECS: u64 = 24 * 3600;
/// Longest time that an alert may wait to be sent.
const MAY_WAIT_SECS: u64 = 90 * DAY_SECS;
/// Retention of an alert. It is longer than that of the `WAITING` entry, so that the alert outlives the entry even
/// if DynamoDB removes expired items out of order.
const ROW_KEPT_SECS: u64 = MAY_WAIT_SECS + 7 * DAY_SECS;
/// Number of waiting alerts that one delivery reads.
const MOST_WAITING: usize = 2_000;
/// Number of keys of one read; "Up to 100 items": API_BatchGetItem.html.
const MOST_READ: usize = 100;

const ALERTS: &str = "ALERTS";
const WAITING: &str = "WAITING";
const BUDGET: &str = "BUDGET";

type Item = HashMap<String, AttributeValue>;

/// Error of reading or writing the alerts table.
#[derive(Debug, thiserror::Error)]
#[error("the alerts table: {0}")]
pub struct AlertsError(String);

impl From<BuildError> for AlertsError {
    fn from(error: BuildError) -> Self {
        Self(error.to_string())
    }
}

/// Client of the alerts table.
#[derive(Debug, Clone)]
pub struct Alerts {
    client: Client,
    name: String,
}

impl Alerts {
    /// Creates a client of the table `name`.
    pub fn new(client: Client, name: impl Into<String>) -> Self {
        Self { client, name: name.into() }
    }

    /// Raises `alert`. Returns true for exactly one caller, of all that raise it at the same time or during its
    /// cool-down.
    ///
    /// # Errors
    /// [`AlertsError`] if the table cannot be written.
    pub async fn raise(&self, alert: &Alert, now: Timestamp) -> Result<bool, AlertsError> {
        let raised = Raised::new(alert, now);
        let position = position(&raised.key, now);
        let cools_until = now.plus(alert.cool_down);
        // Build the alert, its key's cool-down and its outbox entry.
        let mut row: Item = serde_dynamo::to_item(&raised).map_err(|error| AlertsError(error.to_string()))?;
        row.extend(entry(ALERTS, &position, now.as_secs() + ROW_KEPT_SECS));
        let mut key = entry(&key_of(&raised.key), "KEY", cools_until.as_secs() + DAY_SECS);
        key.insert("cools_until".to_owned(), number(cools_until.as_millis()));
        key.insert("position".to_owned(), text(&position));
        let key = self
            .put(key)
            .condition_expression("attribute_not_exists(#pk) OR #cools_until <= :now")
            .expression_attribute_names("#pk", "pk")
            .expression_attribute_names("#cools_until", "cools_until")
            .expression_attribute_values(":now", number(now.as_millis()))
            .return_values_on_condition_check_failure(ReturnValuesOnConditionCheckFailure::AllOld);
        let waiting = self.put(entry(WAITING, &position, now.as_secs() + MAY_WAIT_SECS));
        let items = [key.build()?, self.put(row).build()?, waiting.build()?];
        let items = items.map(|put| TransactWriteItem::builder().put(put).build()).to_vec();
        // Write all three, or count a repeat if the key cools down.
        match self.transact(items).await {
            Ok(()) => Ok(true),
            Err(Unwritten::Condition(first)) => {
                if let Some(AttributeValue::S(position)) = first.and_then(|mut first| first.remove("position")) {
                    self.count_repeat(&position).await?;
                }
                Ok(false)
            }
            Err(Unwritten::Failed(cause)) => Err(AlertsError(cause)),
        }
    }

    /// Reads the alerts of the last [`KEPT`], at most `limit`, newest first.
    ///
    /// # Errors
    /// [`AlertsError`] if the table cannot be read.
    pub async fn recent(&self, limit: usize, now: Timestamp) -> Result<Vec<Raised>, AlertsError> {
        let oldest = now.minus(KEPT).as_millis();
        let query = Query { partition: ALERTS, from: &format!("{oldest:013}"), newest_first: true, limit };
        let items = self.query(query).await?;
        // Skip an item that cannot be parsed: it must not hide the others.
        Ok(items.into_iter().filter_map(|item| serde_dynamo::from_item(item).ok()).collect())
    }

    /// Reads the positions of the alerts that wait, in ascending order.
    pub(super) async fn waiting(&self, now: Timestamp) -> Result<Vec<String>, AlertsError> {
        let oldest = now.as_millis().saturating_sub(MAY_WAIT_SECS * 1000);
        let query =
            Query { partition: WAITING, from: &format!("{oldest:013}"), newest_first: false, limit: MOST_WAITING };
        let items = self.query(query).await?;
        Ok(items.into_iter().filter_map(|mut item| string(item.remove("sk"))).collect())
    }

    /// Reads the alerts at `positions`, in the same order. Missing ones are left out.
    pub(super) async fn at(&self, positions: &[String]) -> Result<Vec<Raised>, AlertsError> {
        let mut found = HashMap::new();
        // Read the alerts in batches, which come in any order.
        for positions in positions.chunks(MOST_READ) {
            let keys = positions.iter().map(|position| entry_key(ALERTS, position)).collect();
            for mut item in batch_get(&self.client, &self.name, keys, true).await.map_err(AlertsError)? {
                if let (Some(position), Ok(raised)) = (string(item.remove("sk")), serde_dynamo::from_item(item)) {
                    found.insert(position, raised);
                }
            }
        }
        // Restore the order of the positions.
        Ok(positions.iter().filter_map(|position| found.remove(position)).collect())
    }

    /// Reads the current budget.
    pub(super) async fn budget(&self) -> Result<Budget, AlertsError> {
        let answer = self
            .client
            .get_item()
            .table_name(&self.name)
            .set_key(Some(entry_key(BUDGET, BUDGET)))
            .consistent_read(true)
            .send()
            .await
            .map_err(|error| AlertsError(describe(&error)))?;
        let budget = answer.item.map(serde_dynamo::from_item).transpose();
        budget.map(Option::unwrap_or_default).map_err(|error| AlertsError(error.to_string()))
    }
}

/// Range of a partition.
struct Query<'a> {
    partition: &'a str,
    /// Lowest `sk`, inclusive.
    from: &'a str,
    newest_first: bool,
    limit: usize,
}

impl Alerts {
    async fn query(&self, query: Query<'_>) -> Result<Vec<Item>, AlertsError> {
        let mut items = Vec::new();
        let mut after = None;
        // Read page after page until there are enough items.
        while items.len() < query.limit {
            let page = self
                .client
                .query()
                .table_name(&self.name)
                .key_condition_expression("#pk = :pk AND #sk >= :from")
                .expression_attribute_names("#pk", "pk")
                .expression_attribute_names("#sk", "sk")
                .expression_attribute_values(":pk", text(query.partition))
                .expression_attribute_values(":from", text(query.from))
                .scan_index_forward(!query.newest_first)
                .consistent_read(true)
                .limit(i32::try_from(query.limit - items.len()).unwrap_or(i32::MAX))
                .set_exclusive_start_key(after)
                .send()
                .await
                .map_err(|error| AlertsError(describe(&error)))?;
            items.extend(page.items.unwrap_or_default());
            after = page.last_evaluated_key;
            if after.is_none() {
                break;
            }
        }
        Ok(items)
    }

    fn put(&self, item: Item) -> PutBuilder {
        Put::builder().table_name(&self.name).set_item(Some(item))
    }
}

fn position(key: &str, now: Timestamp) -> String {
    format!("{:013}#{key}", now.as_millis())
}

fn key_of(key: &str) -> String {
    format!("KEY#{key}")
}

fn entry_key(pk: &str, sk: &str) -> Item {
    Item::from([("pk".to_owned(), text(pk)), ("sk".to_owned(), text(sk))])
}

fn entry(pk: &str, sk: &str, expires_at: u64) -> Item {
    let mut item = entry_key(pk, sk);
    item.insert("expires_at".to_owned(), number(expires_at));
    item
}

fn text(text: &str) -> AttributeValue {
    AttributeValue::S(text.to_owned())
}

fn number(number: u64) -> AttributeValue {
    AttributeValue::N(number.to_string())
}

fn string(value: Option<AttributeValue>) -> Option<String> {
    match value {
        Some(AttributeValue::S(text)) => Some(text),
        _ => None,
    }
}
