//! What operators and customers change about accounts, integrations and keys.
//!
//! Every write is conditional, so that of two people who change one thing at the same time the second is told rather
//! than undoing what the first did: what is created must not be there, what it belongs to must be, and what is changed
//! must be as the caller has seen it. Only suspending, resuming and revoking say how it is to be, however it was.
//!
//! An account and an integration carry a `revision`, which rises whenever something is created in them; deleting them
//! demands that it did not rise since they were found empty. Every row carries a `version`, which begins with the
//! milliseconds of its creation, so that a row that was deleted and made again is never the older one, and rises with
//! each change; [`publish`](super::publish) makes environments notice it at once.

mod blocks;
mod keys;
mod limits;
mod terms;
mod transaction;

use aws_sdk_dynamodb::error::ProvideErrorMetadata;
use aws_sdk_dynamodb::types::AttributeValue;

pub use self::keys::KeyChange;
use self::transaction::{Row, Write};
use super::form;
use super::records::{Account, Integration, Status};
use super::table::{AccountsTable, Item, TableError, account_item, account_key, integration_item, integration_key};
use crate::clock::Timestamp;

/// How many keys of an integration are looked at in one go when it is deleted.
const KEYS_AT_ONCE: usize = 100;

/// What became of something that was to be created.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Creation {
    /// It is there now.
    Done,
    /// One with its id is there already, and stays as it is.
    AlreadyThere,
    /// What it would belong to is not there.
    ParentMissing,
}

/// What became of something that was to be deleted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Deletion {
    /// It is gone.
    Done,
    /// It was not there.
    NotFound,
    /// It stays: it is in use, or came into use at this moment.
    InUse,
}

/// Accounts.
impl AccountsTable {
    /// Creates an account.
    ///
    /// # Errors
    /// [`TableError`] when its id or name is not allowed, or the table cannot be written.
    pub async fn create_account(&self, account: &Account) -> Result<Creation, TableError> {
        form::id(&account.id)?;
        form::name(&account.name)?;
        let refused = self.transact(vec![Write::Create(account_item(account)?)]).await?;
        Ok(if refused.is_some() { Creation::AlreadyThere } else { Creation::Done })
    }

    /// Gives an account another name; false when it is no longer there, or no longer called as in `account`.
    ///
    /// # Errors
    /// [`TableError`] when the name is not allowed, or the table cannot be written.
    pub async fn rename_account(&self, account: &Account, name: &str) -> Result<bool, TableError> {
        self.rename(account_key(&account.id), &account.name, name).await
    }

    /// Suspends or resumes an account; false when there is none.
    ///
    /// # Errors
    /// [`TableError`] when the table cannot be written.
    pub async fn set_account_status(&self, id: &str, status: Status) -> Result<bool, TableError> {
        self.set_status(account_key(id), status).await
    }

    /// Deletes an account that has no integrations.
    ///
    /// # Errors
    /// [`TableError`] when the table cannot be read or written.
    pub async fn delete_account(&self, id: &str) -> Result<Deletion, TableError> {
        let Some(item) = self.current(account_key(id)).await? else { return Ok(Deletion::NotFound) };
        if self.has_integrations(id).await? {
            return Ok(Deletion::InUse);
        }
        self.delete_unrevised(account_key(id), &item).await
    }
}

/// Integrations.
impl AccountsTable {
    /// Creates an integration of an account.
    ///
    /// # Errors
    /// [`TableError`] when its id or name is not allowed, or the table cannot be written.
    pub async fn create_integration(&self, account: &str, integration: &Integration) -> Result<Creation, TableError> {
        form::id(&integration.id)?;
        form::name(&integration.name)?;
        self.create_in(account_key(account), integration_item(account, integration)?).await
    }

    /// Gives an integration another name; false when it is no longer there, or no longer called as in `integration`.
    ///
    /// # Errors
    /// [`TableError`] when the name is not allowed, or the table cannot be written.
    pub async fn rename_integration(
        &self,
        account: &str,
        integration: &Integration,
        name: &str,
    ) -> Result<bool, TableError> {
        self.rename(integration_key(account, &integration.id), &integration.name, name).await
    }

    /// Suspends or resumes an integration; false when there is none.
    ///
    /// # Errors
    /// [`TableError`] when the table cannot be written.
    pub async fn set_integration_status(&self, account: &str, id: &str, status: Status) -> Result<bool, TableError> {
        self.set_status(integration_key(account, id), status).await
    }

    /// Deletes an integration that has no live keys, and with it those that are revoked or over.
    ///
    /// The keys come from the index, which lags. A live key that was made a moment ago may be overlooked; it is refused
    /// from then on, as it belongs to nothing.
    ///
    /// # Errors
    /// [`TableError`] when the table cannot be read or written.
    pub async fn delete_integration(&self, account: &str, id: &str, now: Timestamp) -> Result<Deletion, TableError> {
        let key = integration_key(account, id);
        let Some(item) = self.current(key.clone()).await? else { return Ok(Deletion::NotFound) };
        let mut keys = Vec::new();
        let mut after = None;
        loop {
            let (page, next) = self.keys(account, Some(id), after.as_deref(), KEYS_AT_ONCE).await?;
            if page.iter().any(|key| key.is_live(now)) {
                return Ok(Deletion::InUse);
            }
            keys.extend(page);
            after = next;
            if after.is_none() {
                break;
            }
        }
        for key in keys {
            if self.delete_key(&key.id, now).await? == Deletion::InUse {
                return Ok(Deletion::InUse);
            }
        }
        self.delete_unrevised(key, &item).await
    }
}

impl AccountsTable {
    async fn create_in(&self, parent: Item, item: Item) -> Result<Creation, TableError> {
        let parent = Row::new(parent).if_there().revised();
        Ok(match self.transact(vec![Write::Create(item), Write::Update(parent)]).await?.as_deref() {
            None => Creation::Done,
            Some([true, ..]) => Creation::AlreadyThere,
            Some(_) => Creation::ParentMissing,
        })
    }

    async fn rename(&self, key: Item, from: &str, to: &str) -> Result<bool, TableError> {
        let to = form::name(to)?;
        let name = |name: &str| Item::from([("name".to_owned(), AttributeValue::S(name.to_owned()))]);
        let row = Row::new(key).if_as_in(&name(from), &["name"]).set_as_in(&name(to), &["name"]).versioned();
        Ok(self.transact(vec![Write::Update(row)]).await?.is_none())
    }

    async fn set_status(&self, key: Item, status: Status) -> Result<bool, TableError> {
        let status = Item::from([("status".to_owned(), AttributeValue::S(status.to_string()))]);
        let row = Row::new(key).if_there().set_as_in(&status, &["status"]).versioned();
        Ok(self.transact(vec![Write::Update(row)]).await?.is_none())
    }

    /// Deletes the row unless something was created in it since it was `item`.
    async fn delete_unrevised(&self, key: Item, item: &Item) -> Result<Deletion, TableError> {
        let row = Row::new(key).if_there().if_as_in(item, &["revision"]);
        let refused = self.transact(vec![Write::Delete(row)]).await?;
        Ok(if refused.is_some() { Deletion::InUse } else { Deletion::Done })
    }
}

/// Whether a conditional write was done; false when its condition did not hold.
fn condition_held<E, R>(error: Option<&aws_sdk_dynamodb::error::SdkError<E, R>>) -> Result<bool, TableError>
where
    E: ProvideErrorMetadata + std::error::Error + 'static,
    R: std::fmt::Debug,
{
    match error {
        None => Ok(true),
        Some(error) if error.code() == Some("ConditionalCheckFailedException") => Ok(false),
        Some(error) => Err(TableError::of(error)),
    }
}
