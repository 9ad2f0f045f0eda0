//! The accounts table: one partition per account, one per key.
//!
//! | `pk` | `sk` | item |
//! | --- | --- | --- |
//! | `ACCOUNT#<account>` | `ACCOUNT` | [`Account`] |
//! | `ACCOUNT#<account>` | `INTEGRATION#<integration>` | [`Integration`] |
//! | `KEY#<key id>` | `KEY` | [`KeyRecord`] |
//! | `GRANT#<account>` | `GRANTS` | [`Grants`] |
//! | `PLATFORM` | `DEFAULTS` | platform-wide overrides by an admin, and the number of blocks |
//! | `PLATFORM` | `BLOCK#<network or account>` | [`Block`] |
//!
//! The authorizer looks up a key by its id alone, so each key is a partition of its own. The index `listing` serves
//! listings:
//!
//! | `list` | `list_sort` | item |
//! | --- | --- | --- |
//! | `ACCOUNTS` | `<account>` | [`Account`] |
//! | `KEYS#<account>` | `<integration>#<key id>` | [`KeyRecord`] |
//!
//! Invariant: requests are decided from consistent reads only. An environment that reads a record again because it
//! has changed must not get the old version.
//!
//! This module serves requests and writes whole records. [`listing`](super::listing) reads for the board and the
//! command line, and [`changes`](super::changes) holds the conditional changes.

use std::collections::HashMap;

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::config::http::HttpResponse;
use aws_sdk_dynamodb::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_dynamodb::types::AttributeValue;
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::form::Invalid;
use super::grants::Grants;
use super::platform::{Block, Blocked};
use super::records::{Account, Integration, KeyRecord, Owner};
pub(super) use crate::stores::dynamodb::writes::Item;
use crate::stores::dynamodb::writes::{Write, WriteError, apply};
use crate::stores::dynamodb::{batch_get, describe, is_rejected};

/// Partition key of platform-wide items.
pub(super) const PLATFORM: &str = "PLATFORM";
pub(super) const DEFAULTS: &str = "DEFAULTS";

/// The accounts table.
#[derive(Debug, Clone)]
pub struct AccountsTable {
    pub(super) client: Client,
    pub(super) name: String,
}

/// Errors of using the accounts table.
#[derive(Debug, thiserror::Error)]
pub enum AccountsTableError {
    /// DynamoDB rejected the request.
    #[error("DynamoDB: {0}")]
    DynamoDb(String),
    /// DynamoDB could not be reached, did not answer in time, or failed. A write may have been applied.
    #[error("DynamoDB: {0}")]
    Unanswered(String),
    /// An item does not have the form that it must have.
    #[error("item {key}: {cause}")]
    Item {
        /// Partition key of the item.
        key: String,
        /// Description of the error.
        cause: String,
    },
    /// The value may not be written.
    #[error(transparent)]
    Invalid(#[from] Invalid),
}

impl AccountsTableError {
    pub(crate) fn from_sdk<E>(error: &SdkError<E, HttpResponse>) -> Self
    where
        E: ProvideErrorMetadata + std::error::Error + 'static,
    {
        if is_rejected(error) { Self::DynamoDb(describe(error)) } else { Self::Unanswered(describe(error)) }
    }
}

impl From<WriteError> for AccountsTableError {
    fn from(error: WriteError) -> Self {
        match error {
            WriteError::Build(error) => Self::DynamoDb(error.to_string()),
            WriteError::Sdk(error) => Self::from_sdk(&error),
        }
    }
}

impl AccountsTable {
    /// Creates a handle to the table of the given name.
    pub fn new(client: Client, name: impl Into<String>) -> Self {
        Self { client, name: name.into() }
    }

    /// Returns the key with the given id.
    ///
    /// # Errors
    /// [`AccountsTableError`] if the table cannot be read.
    pub async fn key(&self, key_id: &str) -> Result<Option<KeyRecord>, AccountsTableError> {
        self.current(key_key(key_id)).await?.map(from_item).transpose()
    }

    /// Returns an account and one of its integrations, with their grants; `None` if either is missing.
    ///
    /// # Errors
    /// [`AccountsTableError`] if the table cannot be read.
    pub async fn owner(&self, account: &str, integration: &str) -> Result<Option<Owner>, AccountsTableError> {
        let keys = [account_key(account), integration_key(account, integration), grants_key(account)];
        let items = batch_get(&self.client, &self.name, keys.to_vec(), true).await;
        let items = items.map_err(AccountsTableError::DynamoDb)?;
        let take = |key: &Item| items.iter().find(|item| item.get("sk") == key.get("sk")).cloned();
        let [account, integration, grants] = keys.each_ref().map(take);
        let (Some(account), Some(integration)) = (account, integration) else { return Ok(None) };
        // Grants that cannot be read raise nothing, and keep nobody out.
        let grants = grants.map(from_item).transpose().unwrap_or_else(|error| {
            tracing::error!(code = "accounts.odd_grants", %error, "the grants of an account cannot be read");
            None
        });
        let grants = grants.unwrap_or_default();
        Ok(Some(Owner::new(from_item(account)?, from_item(integration)?, grants)))
    }

    /// Returns the grants of an account, by a consistent read.
    ///
    /// # Errors
    /// [`AccountsTableError`] if the table cannot be read.
    pub async fn grants(&self, account: &str) -> Result<Grants, AccountsTableError> {
        Ok(self.current(grants_key(account)).await?.map(from_item).transpose()?.unwrap_or_default())
    }

    /// Returns the item under `key`, by a consistent read.
    pub(super) async fn current(&self, key: Item) -> Result<Option<Item>, AccountsTableError> {
        let request = self.client.get_item().table_name(&self.name).consistent_read(true).set_key(Some(key));
        Ok(request.send().await.map_err(|error| AccountsTableError::from_sdk(&error))?.item)
    }

    /// Writes an account, replacing any existing one.
    ///
    /// # Errors
    /// [`AccountsTableError`] if it could not be written.
    pub async fn put_account(&self, account: &Account) -> Result<(), AccountsTableError> {
        self.put(account_item(account)?).await
    }

    /// Writes an integration of an account, replacing any existing one.
    ///
    /// # Errors
    /// [`AccountsTableError`] if it could not be written.
    pub async fn put_integration(&self, account: &str, integration: &Integration) -> Result<(), AccountsTableError> {
        self.put(integration_item(account, integration)?).await
    }

    /// Writes a key, replacing any existing one.
    ///
    /// # Errors
    /// [`AccountsTableError`] if it could not be written.
    pub async fn put_key(&self, key: &KeyRecord) -> Result<(), AccountsTableError> {
        self.put(key_item(key)?).await
    }

    /// Applies all of `writes` and returns `None`, or applies none and returns for each whether its condition failed.
    pub(super) async fn transact(&self, writes: Vec<Write>) -> Result<Option<Vec<bool>>, AccountsTableError> {
        Ok(apply(&self.client, &self.name, writes).await?)
    }

    async fn put(&self, item: Item) -> Result<(), AccountsTableError> {
        let request = self.client.put_item().table_name(&self.name).set_item(Some(item));
        request.send().await.map_err(|error| AccountsTableError::from_sdk(&error))?;
        Ok(())
    }
}

pub(super) fn account_item(account: &Account) -> Result<Item, AccountsTableError> {
    to_item(account_key(&account.id), account, Some(("ACCOUNTS".to_owned(), account.id.clone())))
}

pub(super) fn integration_item(account: &str, integration: &Integration) -> Result<Item, AccountsTableError> {
    to_item(integration_key(account, &integration.id), integration, None)
}

pub(super) fn key_item(key: &KeyRecord) -> Result<Item, AccountsTableError> {
    let listed = (keys_list(&key.account), format!("{}#{}", key.integration, key.id));
    to_item(key_key(&key.id), key, Some(listed))
}

pub(super) fn block_item(block: &Block) -> Result<Item, AccountsTableError> {
    to_item(block_key(&block.subject), block, None)
}

/// Builds the item of `record` under `key`, with the list and its position there if it is listed.
fn to_item(key: Item, record: &impl Serialize, listed: Option<(String, String)>) -> Result<Item, AccountsTableError> {
    let mut item: Item = serde_dynamo::to_item(record)
        .map_err(|error| AccountsTableError::Item { key: partition(&key), cause: error.to_string() })?;
    item.extend(key);
    if let Some((list, sort)) = listed {
        item.insert("list".to_owned(), AttributeValue::S(list));
        item.insert("list_sort".to_owned(), AttributeValue::S(sort));
    }
    Ok(item)
}

pub(crate) fn from_item<T: DeserializeOwned>(item: Item) -> Result<T, AccountsTableError> {
    let key = partition(&item);
    serde_dynamo::from_item(item).map_err(|error| AccountsTableError::Item { key, cause: error.to_string() })
}

fn partition(item: &Item) -> String {
    item.get("pk").and_then(|value| value.as_s().ok()).cloned().unwrap_or_default()
}

pub(super) fn account_key(account: &str) -> Item {
    key(format!("ACCOUNT#{account}"), "ACCOUNT".to_owned())
}

pub(super) fn integration_key(account: &str, integration: &str) -> Item {
    key(format!("ACCOUNT#{account}"), format!("INTEGRATION#{integration}"))
}

pub(super) fn key_key(id: &str) -> Item {
    key(format!("KEY#{id}"), "KEY".to_owned())
}

/// Returns the key of an account's grants.
pub(crate) fn grants_key(account: &str) -> Item {
    key(format!("GRANT#{account}"), "GRANTS".to_owned())
}

/// Returns the key of the platform-wide item that holds everything but blocks.
pub(super) fn defaults_key() -> Item {
    key(PLATFORM.to_owned(), DEFAULTS.to_owned())
}

pub(super) fn block_key(subject: &Blocked) -> Item {
    key(PLATFORM.to_owned(), format!("BLOCK#{subject}"))
}

/// Returns the name of the list of an account's keys.
pub(super) fn keys_list(account: &str) -> String {
    format!("KEYS#{account}")
}

pub(crate) fn key(pk: String, sk: String) -> Item {
    HashMap::from([("pk".to_owned(), AttributeValue::S(pk)), ("sk".to_owned(), AttributeValue::S(sk))])
}
