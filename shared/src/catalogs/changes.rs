//! Writes of items, all or nothing.
//!
//! A write is one transaction: the items, each on the condition that it still has the revision that the write replaces;
//! the catalog's totals; and the version that all catalogs share. Two writes at a time therefore conflict on the
//! version. The second one reads everything again, and is refused only if an item of its own was changed.

use std::collections::HashMap;
use std::time::Duration;

use aws_sdk_dynamodb::error::BuildError;
use aws_sdk_dynamodb::operation::transact_write_items::TransactWriteItemsError;
use aws_sdk_dynamodb::types::{AttributeValue, Put, TransactWriteItem, Update};

use super::item::CatalogItem;
use super::table::{
    CatalogRow, CatalogsTable, CatalogsTableError, TOTALS, item_key, number, sort_key, to_row, totals_key, version_key,
};
use super::{Catalog, LARGEST_CATALOG, MOST_ITEMS};
use crate::clock::Timestamp;
use crate::stores::dynamodb::{batch_get, passes, pause, transact, transaction_token};

/// Largest number of items in one write: a transaction has 100 rows, of which two are the totals and the version.
pub const MOST_WRITES: usize = 98;
/// Attempts at a write that conflicts with others.
const ATTEMPTS: u32 = 8;
/// Longest pause before the second attempt; doubled before each later one.
const FIRST_PAUSE: Duration = Duration::from_millis(20);
/// Cancellation code of a row whose condition did not hold
/// (<https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_CancellationReason.html>).
const CONDITION_FAILED: &str = "ConditionalCheckFailed";

/// Outcome of a write.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum WriteOutcome {
    /// All items were written, with these revisions, and the catalogs have this version.
    Written(Vec<CatalogItem>, u64),
    /// No item was written: these have another revision than the write replaces.
    Overtaken(Vec<OvertakenItem>),
}

/// An item that was changed since the writer read it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OvertakenItem {
    /// Id of the item.
    pub id: String,
    /// Revision that the write replaces; 0 if it creates the item.
    pub expected: u64,
    /// Present revision; 0 if there is no such item.
    pub present: u64,
}

/// State on which a write is based.
struct Base {
    version: u64,
    /// The catalog's totals; `None` if it was never written.
    totals: Option<CatalogRow>,
    /// Rows of the written items that exist, by id.
    rows: HashMap<String, CatalogRow>,
}

impl CatalogsTable {
    /// Writes items, all or none. The `revision` of each is the one that it replaces; 0 creates the item. Revision and
    /// time of what is written follow from the write.
    ///
    /// # Errors
    /// [`CatalogsTableError`] if the table cannot be read or written, if there are more than [`MOST_WRITES`] items, or
    /// if the catalog would exceed its limits.
    pub async fn write(
        &self,
        catalog: Catalog,
        items: &[CatalogItem],
        now: Timestamp,
    ) -> Result<WriteOutcome, CatalogsTableError> {
        if items.len() > MOST_WRITES {
            let count = items.len();
            return Err(CatalogsTableError::TooMuch(format!("{count} items in one write, of at most {MOST_WRITES}")));
        }
        // Try until the write is made, an item turns out to be changed, or the error is not worth a retry.
        let mut attempt = 1;
        loop {
            let base = self.base(catalog, items).await?;
            let overtaken = overtaken(&base, items);
            if !overtaken.is_empty() {
                return Ok(WriteOutcome::Overtaken(overtaken));
            }
            // Raise version and revisions.
            let version = (base.version + 1).max(now.as_millis());
            let written = items.iter().map(|item| CatalogItem {
                revision: item.revision + 1,
                updated_at: now.as_secs(),
                ..item.clone()
            });
            let written: Vec<CatalogItem> = written.collect();
            let rows = rows(&self.name, catalog, &base, items, &written, version)?;
            let Err(error) = transact(&self.client, &rows, &transaction_token()).await else {
                return Ok(WriteOutcome::Written(written, version));
            };
            // Read the reasons, if the transaction was cancelled.
            let reasons = match error.as_service_error() {
                Some(TransactWriteItemsError::TransactionCanceledException(canceled)) => {
                    canceled.cancellation_reasons().iter().filter_map(|reason| reason.code()).collect()
                }
                _ => Vec::new(),
            };
            // Another write was made meanwhile, or is being made.
            let may_pass = reasons.iter().any(|reason| *reason == CONDITION_FAILED || passes(reason));
            if attempt == ATTEMPTS || !may_pass {
                return Err(CatalogsTableError::from_sdk(&error));
            }
            pause(attempt, FIRST_PAUSE).await;
            attempt += 1;
        }
    }

    /// Reads the state on which a write of `items` is based.
    async fn base(&self, catalog: Catalog, items: &[CatalogItem]) -> Result<Base, CatalogsTableError> {
        let mut keys: Vec<CatalogRow> = items.iter().map(|item| item_key(catalog, &item.id)).collect();
        keys.extend([totals_key(catalog), version_key()]);
        let rows = batch_get(&self.client, &self.name, keys, true).await.map_err(CatalogsTableError::DynamoDb)?;
        // Tell the rows apart: they come in any order.
        let mut base = Base { version: 0, totals: None, rows: HashMap::new() };
        let version_name = version_key();
        for row in rows {
            if row.get("pk") == version_name.get("pk") {
                base.version = number(&row, "version");
            } else if sort_key(&row) == TOTALS {
                base.totals = Some(row);
            } else if let Some(id) = row.get("id").and_then(|id| id.as_s().ok()) {
                base.rows.insert(id.clone(), row);
            }
        }
        Ok(base)
    }
}

/// Returns the items whose present revision is not the one that they replace.
fn overtaken(base: &Base, items: &[CatalogItem]) -> Vec<OvertakenItem> {
    let check = |item: &CatalogItem| {
        let present = base.rows.get(&item.id).map_or(0, |row| number(row, "revision"));
        let overtaken = OvertakenItem { id: item.id.clone(), expected: item.revision, present };
        (present != item.revision).then_some(overtaken)
    };
    items.iter().filter_map(check).collect()
}

/// Builds the rows of the transaction that replaces `items` by `written`.
fn rows(
    table: &str,
    catalog: Catalog,
    base: &Base,
    items: &[CatalogItem],
    written: &[CatalogItem],
    version: u64,
) -> Result<Vec<TransactWriteItem>, CatalogsTableError> {
    let invalid = |error: BuildError| CatalogsTableError::DynamoDb(error.to_string());
    // Compute the new totals, and check them.
    let total = |attribute| base.totals.as_ref().map_or(0, |row| number(row, attribute));
    let replaced: u64 = base.rows.values().map(|row| number(row, "bytes")).sum();
    let added: u64 = written.iter().map(|item| item.bytes() as u64).sum();
    let count = total("items") + written.len() as u64 - base.rows.len() as u64;
    let bytes = (total("bytes") + added).saturating_sub(replaced);
    if count > MOST_ITEMS as u64 {
        let message = format!("the catalog would have {count} items, of at most {MOST_ITEMS}, retired ones included");
        return Err(CatalogsTableError::TooMuch(message));
    }
    if bytes > LARGEST_CATALOG as u64 {
        let message = format!("the catalog would have {bytes} bytes, of at most {LARGEST_CATALOG}");
        return Err(CatalogsTableError::TooMuch(message));
    }

    // The version and the totals, on the condition that nobody else has written.
    let shared = update(table, version_key(), base.version, &[("version", version)]).map_err(invalid)?;
    let totals = [("version", version), ("items", count), ("bytes", bytes)];
    let totals = update(table, totals_key(catalog), total("version"), &totals).map_err(invalid)?;
    let mut rows = vec![shared, totals];
    // The items.
    for (item, written) in items.iter().zip(written) {
        let put = Put::builder().table_name(table).set_item(Some(to_row(catalog, written)?));
        let put = match item.revision {
            0 => put.condition_expression("attribute_not_exists(pk)"),
            revision => put
                .condition_expression("revision = :revision")
                .expression_attribute_values(":revision", AttributeValue::N(revision.to_string())),
        };
        rows.push(TransactWriteItem::builder().put(put.build().map_err(invalid)?).build());
    }
    Ok(rows)
}

/// Builds an update of numbers, on the condition that the row has the version `was`; 0 stands for no row.
fn update(table: &str, key: CatalogRow, was: u64, numbers: &[(&str, u64)]) -> Result<TransactWriteItem, BuildError> {
    let mut update = Update::builder().table_name(table).set_key(Some(key));
    let sets: Vec<String> = numbers.iter().map(|(name, _)| format!("#{name} = :{name}")).collect();
    for (name, number) in numbers {
        let value = AttributeValue::N(number.to_string());
        update = update.expression_attribute_names(format!("#{name}"), *name);
        update = update.expression_attribute_values(format!(":{name}"), value);
    }
    let update = match was {
        0 => update.condition_expression("attribute_not_exists(pk)"),
        was => update
            .condition_expression("#version = :was")
            .expression_attribute_values(":was", AttributeValue::N(was.to_string())),
    };
    Ok(TransactWriteItem::builder()
        .update(update.update_expression(format!("SET {}", sets.join(", "))).build()?)
        .build())
}
