//! The catalogs table: one partition for each catalog.
//!
//! | `pk` | `sk` | item |
//! | --- | --- | --- |
//! | `CATALOGS` | `VERSION` | `version`: that of the last write to any catalog |
//! | `CATALOG#<catalog>` | `#TOTALS` | `version` of the catalog's last write, and the number and `bytes` of its items |
//! | `CATALOG#<catalog>` | `ITEM#<id>` | [`CatalogItem`], with its size in `bytes` |
//!
//! A catalog is read by one consistent query. `#TOTALS` sorts before all items and is read before them, so a write that
//! is made meanwhile may be in the items, and the version is never too new for them.

use std::collections::HashMap;

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_dynamodb::types::AttributeValue;

use super::item::CatalogItem;
use super::{Catalog, MOST_ITEMS};
use crate::stores::dynamodb::describe;

/// Attributes of a row.
pub(super) type CatalogRow = HashMap<String, AttributeValue>;

pub(super) const TOTALS: &str = "#TOTALS";
const ITEM: &str = "ITEM#";
/// Character that sorts after all characters of ids.
const AFTER_ALL: char = '~';

/// The catalogs table.
#[derive(Debug, Clone)]
pub struct CatalogsTable {
    pub(super) client: Client,
    pub(super) name: String,
}

/// Errors of using the catalogs table.
#[derive(Debug, thiserror::Error)]
pub enum CatalogsTableError {
    /// DynamoDB rejected the request.
    #[error("DynamoDB: {0}")]
    DynamoDb(String),
    /// DynamoDB could not be reached, or did not answer in time. A write may have been applied.
    #[error("DynamoDB: {0}")]
    Unanswered(String),
    /// A row does not have the form that it must have.
    #[error("the row {row}: {cause}")]
    Row {
        /// Sort key of the row.
        row: String,
        /// Description of the error.
        cause: String,
    },
    /// The write would break a limit of the catalog.
    #[error("{0}")]
    TooMuch(String),
}

impl CatalogsTableError {
    pub(super) fn from_sdk<E, R>(error: &SdkError<E, R>) -> Self
    where
        E: ProvideErrorMetadata + std::error::Error + 'static,
        R: std::fmt::Debug,
    {
        let is_answered = matches!(error, SdkError::ServiceError(_) | SdkError::ConstructionFailure(_));
        if is_answered { Self::DynamoDb(describe(error)) } else { Self::Unanswered(describe(error)) }
    }
}

/// A catalog as it is stored.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct StoredCatalog {
    /// Version of the last write; 0 if there was none.
    pub version: u64,
    /// Items, retired ones included, in the order of their ids.
    pub items: Vec<CatalogItem>,
}

impl CatalogsTable {
    /// Creates a handle to the table of the given name.
    pub fn new(client: Client, name: impl Into<String>) -> Self {
        Self { client, name: name.into() }
    }

    /// Reads a whole catalog consistently. A row that cannot be read is logged and left out, so that the others are
    /// still served.
    ///
    /// # Errors
    /// [`CatalogsTableError`] if the table cannot be read.
    pub async fn read(&self, catalog: Catalog) -> Result<StoredCatalog, CatalogsTableError> {
        let mut rows = self
            .client
            .query()
            .table_name(&self.name)
            .key_condition_expression("pk = :pk")
            .expression_attribute_values(":pk", text(partition(catalog)))
            .consistent_read(true)
            .into_paginator()
            .items()
            .send();
        let mut stored = StoredCatalog::default();
        while let Some(row) = rows.next().await {
            let row = row.map_err(|error| CatalogsTableError::from_sdk(&error))?;
            // Take the version from the totals, which come first.
            if sort_key(&row) == TOTALS {
                stored.version = number(&row, "version");
                continue;
            }
            match from_row(row) {
                Ok(item) => stored.items.push(item),
                Err(error) => {
                    tracing::error!(code = "catalogs.odd_item", %error, "an item of a catalog cannot be read")
                }
            }
        }
        // A catalog never has more, whatever was written into the table by other means.
        stored.items.truncate(MOST_ITEMS);
        Ok(stored)
    }

    /// Returns an item, retired or not.
    ///
    /// # Errors
    /// [`CatalogsTableError`] if the table cannot be read, or the row is malformed.
    pub async fn item(&self, catalog: Catalog, id: &str) -> Result<Option<CatalogItem>, CatalogsTableError> {
        self.row(item_key(catalog, id)).await?.map(from_row).transpose()
    }

    /// Returns at most `limit` items by id, retired ones included, beginning after `after`, and the position to continue
    /// from if there are more.
    ///
    /// # Errors
    /// [`CatalogsTableError`] if the table cannot be read, or a row is malformed.
    pub async fn items(
        &self,
        catalog: Catalog,
        after: Option<&str>,
        limit: usize,
    ) -> Result<(Vec<CatalogItem>, Option<String>), CatalogsTableError> {
        let limit = limit.clamp(1, MOST_ITEMS);
        // BETWEEN includes its ends: `!` sorts before all characters of ids, so it begins after the id itself.
        let begin = after.map_or_else(|| ITEM.to_owned(), |after| format!("{ITEM}{after}!"));
        let mut rows = self
            .client
            .query()
            .table_name(&self.name)
            .key_condition_expression("pk = :pk AND sk BETWEEN :begin AND :end")
            .expression_attribute_values(":pk", text(partition(catalog)))
            .expression_attribute_values(":begin", text(begin))
            .expression_attribute_values(":end", text(format!("{ITEM}{AFTER_ALL}")))
            .consistent_read(true)
            .limit(i32::try_from(limit + 1).unwrap_or(i32::MAX))
            .into_paginator()
            .items()
            .send();
        // Read one more item than requested, to know if there is a next page.
        let mut items = Vec::new();
        while items.len() <= limit {
            let Some(row) = rows.next().await else { break };
            items.push(from_row(row.map_err(|error| CatalogsTableError::from_sdk(&error))?)?);
        }
        let is_more = items.len() > limit;
        items.truncate(limit);
        let next = items.last().filter(|_| is_more).map(|item: &CatalogItem| item.id.clone());
        Ok((items, next))
    }

    /// Returns the version of the last write to any catalog; 0 if there was none.
    ///
    /// # Errors
    /// [`CatalogsTableError`] if the table cannot be read.
    pub async fn version(&self) -> Result<u64, CatalogsTableError> {
        Ok(self.row(version_key()).await?.map_or(0, |row| number(&row, "version")))
    }

    async fn row(&self, key: CatalogRow) -> Result<Option<CatalogRow>, CatalogsTableError> {
        let request = self.client.get_item().table_name(&self.name).consistent_read(true).set_key(Some(key));
        Ok(request.send().await.map_err(|error| CatalogsTableError::from_sdk(&error))?.item)
    }
}

fn from_row(row: CatalogRow) -> Result<CatalogItem, CatalogsTableError> {
    let name = sort_key(&row).to_owned();
    serde_dynamo::from_item(row).map_err(|error| CatalogsTableError::Row { row: name, cause: error.to_string() })
}

/// Builds the row of an item.
pub(super) fn to_row(catalog: Catalog, item: &CatalogItem) -> Result<CatalogRow, CatalogsTableError> {
    let mut row: CatalogRow = serde_dynamo::to_item(item)
        .map_err(|error| CatalogsTableError::Row { row: item.id.clone(), cause: error.to_string() })?;
    row.insert("bytes".to_owned(), AttributeValue::N(item.bytes().to_string()));
    row.extend(item_key(catalog, &item.id));
    Ok(row)
}

pub(super) fn sort_key(row: &CatalogRow) -> &str {
    row.get("sk").and_then(|value| value.as_s().ok()).map_or("", String::as_str)
}

/// Returns a number of a row; 0 if it is missing.
pub(super) fn number(row: &CatalogRow, attribute: &str) -> u64 {
    row.get(attribute).and_then(|value| value.as_n().ok()).and_then(|text| text.parse().ok()).unwrap_or(0)
}

pub(super) fn version_key() -> CatalogRow {
    key("CATALOGS".to_owned(), "VERSION".to_owned())
}

pub(super) fn totals_key(catalog: Catalog) -> CatalogRow {
    key(partition(catalog), TOTALS.to_owned())
}

pub(super) fn item_key(catalog: Catalog, id: &str) -> CatalogRow {
    key(partition(catalog), format!("{ITEM}{id}"))
}

fn partition(catalog: Catalog) -> String {
    format!("CATALOG#{catalog}")
}

fn key(pk: String, sk: String) -> CatalogRow {
    HashMap::from([("pk".to_owned(), text(pk)), ("sk".to_owned(), text(sk))])
}

fn text(text: String) -> AttributeValue {
    AttributeValue::S(text)
}
