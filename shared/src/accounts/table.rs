//! The accounts table: one partition per account, one per key.
//!
//! | `pk` | `sk` | item |
//! | --- | --- | --- |
//! | `ACCOUNT#<account>` | `ACCOUNT` | [`Account`] |
//! | `ACCOUNT#<account>` | `INTEGRATION#<integration>` | [`Integration`] |
//! | `KEY#<key id>` | `KEY` | [`KeyRecord`] |
//!
//! The authorizer knows nothing but a key's id, so a key is a partition of its own.

use std::collections::HashMap;

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::types::{AttributeValue, KeysAndAttributes};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::records::{Account, Integration, KeyRecord, Owner};
use crate::stores::dynamodb::describe;

type Item = HashMap<String, AttributeValue>;

/// The accounts table.
#[derive(Debug, Clone)]
pub struct AccountsTable {
    client: Client,
    name: String,
}

/// Why the accounts table could not be used.
#[derive(Debug, thiserror::Error)]
pub enum TableError {
    /// DynamoDB refused, could not be reached, or did not answer in time.
    #[error("DynamoDB: {0}")]
    DynamoDb(String),
    /// An item there is not of the form it must have.
    #[error("item {key}: {cause}")]
    Item {
        /// The item's partition key.
        key: String,
        /// What is wrong with it.
        cause: String,
    },
}

impl AccountsTable {
    /// The table of the given name.
    pub fn new(client: Client, name: impl Into<String>) -> Self {
        Self { client, name: name.into() }
    }

    /// The key with the given id.
    ///
    /// # Errors
    /// [`TableError`] when the table cannot be read.
    pub async fn key(&self, key_id: &str) -> Result<Option<KeyRecord>, TableError> {
        let answer = self
            .client
            .get_item()
            .table_name(&self.name)
            .set_key(Some(key_key(key_id)))
            .send()
            .await
            .map_err(|error| TableError::DynamoDb(describe(&error)))?;
        answer.item.map(from_item).transpose()
    }

    /// An account and one of its integrations; `None` where either is missing.
    ///
    /// # Errors
    /// [`TableError`] when the table cannot be read.
    pub async fn owner(&self, account: &str, integration: &str) -> Result<Option<Owner>, TableError> {
        let (account, integration) = self.pair(account_key(account), integration_key(account, integration)).await?;
        let (Some(account), Some(integration)) = (account, integration) else { return Ok(None) };
        Ok(Some(Owner { account: from_item(account)?, integration: from_item(integration)? }))
    }

    async fn pair(&self, first: Item, second: Item) -> Result<(Option<Item>, Option<Item>), TableError> {
        let keys = KeysAndAttributes::builder()
            .keys(first.clone())
            .keys(second.clone())
            .build()
            .map_err(|error| TableError::DynamoDb(error.to_string()))?;
        let answer = self
            .client
            .batch_get_item()
            .request_items(&self.name, keys)
            .send()
            .await
            .map_err(|error| TableError::DynamoDb(describe(&error)))?;
        if answer.unprocessed_keys.is_some_and(|keys| !keys.is_empty()) {
            return Err(TableError::DynamoDb("throttled: a part of the batch was not read".to_owned()));
        }
        let items = answer.responses.and_then(|mut tables| tables.remove(&self.name)).unwrap_or_default();
        let take = |key: &Item| items.iter().find(|item| item.get("sk") == key.get("sk")).cloned();
        Ok((take(&first), take(&second)))
    }

    /// Writes an account, replacing what was there.
    ///
    /// # Errors
    /// [`TableError`] when it could not be written.
    pub async fn put_account(&self, account: &Account) -> Result<(), TableError> {
        self.put(account_key(&account.id), account).await
    }

    /// Writes an integration of an account, replacing what was there.
    ///
    /// # Errors
    /// [`TableError`] when it could not be written.
    pub async fn put_integration(&self, account: &str, integration: &Integration) -> Result<(), TableError> {
        self.put(integration_key(account, &integration.id), integration).await
    }

    /// Writes a key, replacing what was there.
    ///
    /// # Errors
    /// [`TableError`] when it could not be written.
    pub async fn put_key(&self, key: &KeyRecord) -> Result<(), TableError> {
        self.put(key_key(&key.id), key).await
    }

    async fn put(&self, key: Item, record: &impl Serialize) -> Result<(), TableError> {
        let mut item: Item = serde_dynamo::to_item(record)
            .map_err(|error| TableError::Item { key: partition(&key), cause: error.to_string() })?;
        item.extend(key);
        self.client
            .put_item()
            .table_name(&self.name)
            .set_item(Some(item))
            .send()
            .await
            .map_err(|error| TableError::DynamoDb(describe(&error)))?;
        Ok(())
    }
}

fn from_item<T: DeserializeOwned>(item: Item) -> Result<T, TableError> {
    let key = partition(&item);
    serde_dynamo::from_item(item).map_err(|error| TableError::Item { key, cause: error.to_string() })
}

fn partition(item: &Item) -> String {
    item.get("pk").and_then(|value| value.as_s().ok()).cloned().unwrap_or_default()
}

fn account_key(account: &str) -> Item {
    key(format!("ACCOUNT#{account}"), "ACCOUNT".to_owned())
}

fn integration_key(account: &str, integration: &str) -> Item {
    key(format!("ACCOUNT#{account}"), format!("INTEGRATION#{integration}"))
}

fn key_key(id: &str) -> Item {
    key(format!("KEY#{id}"), "KEY".to_owned())
}

fn key(pk: String, sk: String) -> Item {
    HashMap::from([("pk".to_owned(), AttributeValue::S(pk)), ("sk".to_owned(), AttributeValue::S(sk))])
}
