//! Rows of the statistics in the usage table.
//!
//! | `pk` | `sk` | item |
//! | --- | --- | --- |
//! | `STATS#<account>` | `<2026-11-22>#<counted>` | a [`DayRow`]; expires after 90 days |
//!
//! A row is replaced on the condition that no other run has folded a minute into it meanwhile. A row that cannot be
//! read is left out and left unchanged, so that the others can still be read. [`OddRows`] counts such rows.

use std::collections::{BTreeMap, HashMap};

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::operation::put_item::PutItemError;
use aws_sdk_dynamodb::types::AttributeValue;
use serde::{Deserialize, Serialize};

use super::calendar::Day;
use super::day::{Counted, DayRow, PolicyDay, RowKey};
use crate::stores::dynamodb::{batch_get, describe};

const KEPT_SECS: u64 = 90 * 24 * 3600;
/// Largest number of rows read at once, which is DynamoDB's limit for a batch.
pub(super) const LARGEST_BATCH: usize = 100;
/// Largest number of rows in a history.
pub const MOST_ROWS: usize = 10_000;

type Item = HashMap<String, AttributeValue>;

/// Handle to the rows of the statistics.
#[derive(Debug, Clone)]
pub struct StatisticsTable {
    client: Client,
    name: String,
}

/// Error of reading or writing rows.
#[derive(Debug, thiserror::Error)]
#[error("statistics: {0}")]
pub struct StatisticsTableError(String);

impl StatisticsTableError {
    pub(super) fn contended() -> Self {
        Self("a row is being changed by others all the time".to_owned())
    }
}

/// Rows of an account.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct History {
    /// Rows, the latest day first.
    pub rows: Vec<DayRow>,
    /// True if there are older rows within the requested days.
    pub more: bool,
    /// Rows that cannot be read.
    pub odd: OddRows,
}

/// Rows that cannot be read: their number, and the key of one of them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct OddRows {
    count: usize,
    one: String,
}

impl OddRows {
    /// Adds `others` to these.
    pub(super) fn add(&mut self, others: Self) {
        if self.count == 0 {
            self.one = others.one;
        }
        self.count += others.count;
    }

    fn found(&mut self, item: &Item) {
        let text = |name: &str| item.get(name).and_then(|value| value.as_s().ok()).map_or("", String::as_str);
        self.add(Self { count: 1, one: format!("{} {}", text("pk"), text("sk")) });
    }

    /// Logs the rows that were left out, if there are any; to be called once a run. Their content is not logged.
    pub(super) fn tell(&self) {
        let Self { count, one } = self;
        if *count > 0 {
            tracing::error!(
                code = "statistics.odd_row",
                count,
                row.key = one,
                "rows that cannot be read were left out"
            );
        }
    }
}

/// Attributes of a row besides its key.
#[derive(Debug, Serialize, Deserialize)]
struct Stored {
    folded: u64,
    #[serde(default)]
    policies: BTreeMap<String, PolicyDay>,
    expires_at: u64,
}

impl StatisticsTable {
    /// Creates a handle to the rows in the usage table of the given name.
    pub fn new(client: Client, name: impl Into<String>) -> Self {
        Self { client, name: name.into() }
    }

    /// Returns the rows with the given keys, at most 100 of them, in their order, by consistent reads. A row that
    /// does not exist yet is returned as an empty one. A malformed one is returned as `None` and added to `odd`.
    ///
    /// # Errors
    /// [`StatisticsTableError`] if the table could not be read for all of them.
    pub(super) async fn rows(
        &self,
        keys: &[RowKey],
        odd: &mut OddRows,
    ) -> Result<Vec<Option<DayRow>>, StatisticsTableError> {
        let asked = keys.iter().take(LARGEST_BATCH).map(item_key).collect();
        let items = batch_get(&self.client, &self.name, asked, true).await.map_err(StatisticsTableError)?;
        let mut there = HashMap::new();
        for item in items {
            // An item that was requested by a row's key has one.
            let Some(key) = row_key(&item) else { continue };
            let row = from_item(&item);
            if row.is_none() {
                odd.found(&item);
            }
            there.insert(key, row);
        }
        let row = |key: &RowKey| there.remove(key).unwrap_or_else(|| Some(DayRow::new(key.clone())));
        Ok(keys.iter().take(LARGEST_BATCH).map(row).collect())
    }

    /// Writes `row` if the stored row was last folded at `before`, or for 0 if none is stored. Returns false if the
    /// condition does not hold.
    ///
    /// # Errors
    /// [`StatisticsTableError`] if the row was not written, or the outcome is not known.
    pub(super) async fn replace(&self, row: &DayRow, before: u64) -> Result<bool, StatisticsTableError> {
        let mut put = self.client.put_item().table_name(&self.name).set_item(Some(to_item(row)?));
        // Make the write conditional on the last folded minute.
        put = match before {
            0 => put.condition_expression("attribute_not_exists(pk)"),
            before => put
                .condition_expression("#folded = :folded")
                .expression_attribute_names("#folded", "folded")
                .expression_attribute_values(":folded", AttributeValue::N(before.to_string())),
        };
        match put.send().await {
            Ok(_) => Ok(true),
            Err(error) => match error.as_service_error() {
                Some(PutItemError::ConditionalCheckFailedException(_)) => Ok(false),
                _ => Err(StatisticsTableError(describe(&error))),
            },
        }
    }

    /// Returns the rows of one part of an account from one day to another, both included and at most 100 days. Days
    /// without calls, and rows that cannot be read, are left out.
    ///
    /// # Errors
    /// [`StatisticsTableError`] if they cannot be read.
    pub async fn of_part(
        &self,
        account: &str,
        counted: &Counted,
        from: Day,
        to: Day,
    ) -> Result<Vec<DayRow>, StatisticsTableError> {
        let days = (0..LARGEST_BATCH as u64).map(|days| to.back(days)).take_while(|day| *day >= from);
        let key = |day| RowKey { account: account.to_owned(), day, counted: counted.clone() };
        let keys: Vec<RowKey> = days.map(key).collect();
        let mut odd = OddRows::default();
        let rows = self.rows(&keys, &mut odd).await?;
        odd.tell();
        Ok(rows.into_iter().flatten().filter(|row| row.folded > 0).collect())
    }

    /// Returns an account's rows from one day to another, both included. Of more than [`MOST_ROWS`], returns the
    /// newest.
    ///
    /// # Errors
    /// [`StatisticsTableError`] if they cannot be read.
    pub async fn history(&self, account: &str, from: Day, to: Day) -> Result<History, StatisticsTableError> {
        let query = self
            .client
            .query()
            .table_name(&self.name)
            .key_condition_expression("#pk = :pk AND #sk BETWEEN :from AND :to")
            .expression_attribute_names("#pk", "pk")
            .expression_attribute_names("#sk", "sk")
            .expression_attribute_values(":pk", AttributeValue::S(partition(account)))
            .expression_attribute_values(":from", AttributeValue::S(format!("{from}#")))
            .expression_attribute_values(":to", AttributeValue::S(format!("{to}#~")))
            .scan_index_forward(false);
        let mut history = History::default();
        let mut start = None;
        // Read page by page until there are no more, or enough.
        loop {
            let page = query.clone().set_exclusive_start_key(start).send().await;
            let page = page.map_err(|error| StatisticsTableError(describe(&error)))?;
            for item in page.items.unwrap_or_default() {
                match from_item(&item) {
                    Some(row) => history.rows.push(row),
                    None => history.odd.found(&item),
                }
            }
            start = page.last_evaluated_key;
            history.more = history.rows.len() > MOST_ROWS;
            if start.is_none() || history.more {
                history.rows.truncate(MOST_ROWS);
                return Ok(history);
            }
        }
    }
}

fn partition(account: &str) -> String {
    format!("STATS#{account}")
}

fn item_key(key: &RowKey) -> Item {
    let RowKey { account, day, counted } = key;
    HashMap::from([
        ("pk".to_owned(), AttributeValue::S(partition(account))),
        ("sk".to_owned(), AttributeValue::S(format!("{day}#{counted}"))),
    ])
}

fn to_item(row: &DayRow) -> Result<Item, StatisticsTableError> {
    let expires_at = row.key.day.end().as_secs() + KEPT_SECS;
    let stored = Stored { folded: row.folded, policies: row.policies.clone(), expires_at };
    let mut item: Item = serde_dynamo::to_item(stored).map_err(|error| StatisticsTableError(error.to_string()))?;
    item.extend(item_key(&row.key));
    Ok(item)
}

/// Returns the row of an item; `None` if the item is malformed.
fn from_item(item: &Item) -> Option<DayRow> {
    let key = row_key(item)?;
    let Stored { folded, policies, .. } = serde_dynamo::from_item(item.clone()).ok()?;
    Some(DayRow { key, folded, policies })
}

fn row_key(item: &Item) -> Option<RowKey> {
    let text = |name: &str| item.get(name).and_then(|value| value.as_s().ok());
    let account = text("pk")?.strip_prefix("STATS#")?.to_owned();
    let (day, counted) = text("sk")?.split_once('#')?;
    Some(RowKey { account, day: day.parse().ok()?, counted: counted.parse().ok()? })
}
