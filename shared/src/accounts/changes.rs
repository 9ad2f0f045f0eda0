//! Changes by operators and customers to accounts, integrations and keys.
//!
//! Every write is conditional, so that of two concurrent changes to one row the second is rejected and does not undo
//! the first. Creating a row requires that it does not exist and that its parent does. Changing a name, a key or
//! terms requires that they are still as the caller read them. A status, a limit or a block is set regardless of its
//! previous value.
//!
//! Accounts and integrations carry a `revision`, which rises whenever a child is created in them. Deleting them
//! requires that it has not risen since they were found empty. Every row carries a `version`, which starts at the
//! milliseconds of its creation and rises with each change, so that a row that was deleted and created again is
//! always newer. [`publish`](super::publish) makes environments notice a new version at once.

mod blocks;
mod keys;
mod limits;
mod terms;
#[cfg(test)]
mod tests;

use aws_sdk_dynamodb::types::AttributeValue;

pub use self::keys::KeyChange;
use super::form;
use super::records::{Account, Integration, Status};
use super::table::{
    AccountsTable, AccountsTableError, Item, account_item, account_key, integration_item, integration_key,
};
use crate::clock::Timestamp;
use crate::stores::dynamodb::writes::{Row, Write};

/// Page size for an integration's keys while it is deleted.
const KEYS_AT_ONCE: usize = 100;

/// Outcome of creating a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Creation {
    /// The row was created.
    Done,
    /// A row with this id exists already and was not changed.
    AlreadyThere,
    /// The parent row does not exist.
    ParentMissing,
}

/// Outcome of deleting a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Deletion {
    /// The row was deleted.
    Done,
    /// The row does not exist.
    NotFound,
    /// The row was kept, because it is in use or came into use while it was being deleted.
    InUse,
}

/// Changes to accounts.
impl AccountsTable {
    /// Creates an account.
    ///
    /// # Errors
    /// [`AccountsTableError`] if the id or name is not allowed, or the table cannot be written.
    pub async fn create_account(&self, account: &Account) -> Result<Creation, AccountsTableError> {
        form::id(&account.id)?;
        form::name(&account.name)?;
        let refused = self.transact(vec![Write::Create(account_item(account)?)]).await?;
        Ok(if refused.is_some() { Creation::AlreadyThere } else { Creation::Done })
    }

    /// Renames an account. Returns false if it no longer exists, or no longer has the name in `account`.
    ///
    /// # Errors
    /// [`AccountsTableError`] if the name is not allowed, or the table cannot be written.
    pub async fn rename_account(&self, account: &Account, name: &str) -> Result<bool, AccountsTableError> {
        self.rename(account_key(&account.id), &account.name, name).await
    }

    /// Suspends or resumes an account. Returns false if it does not exist.
    ///
    /// # Errors
    /// [`AccountsTableError`] if the table cannot be written.
    pub async fn set_account_status(&self, id: &str, status: Status) -> Result<bool, AccountsTableError> {
        self.set_status(account_key(id), status).await
    }

    /// Deletes an account that has no integrations.
    ///
    /// # Errors
    /// [`AccountsTableError`] if the table cannot be read or written.
    pub async fn delete_account(&self, id: &str) -> Result<Deletion, AccountsTableError> {
        let Some(item) = self.current(account_key(id)).await? else { return Ok(Deletion::NotFound) };
        if self.has_integrations(id).await? {
            return Ok(Deletion::InUse);
        }
        self.delete_unrevised(account_key(id), &item).await
    }
}

/// Changes to integrations.
impl AccountsTable {
    /// Creates an integration of an account.
    ///
    /// # Errors
    /// [`AccountsTableError`] if the id or name is not allowed, or the table cannot be written.
    pub async fn create_integration(
        &self,
        account: &str,
        integration: &Integration,
    ) -> Result<Creation, AccountsTableError> {
        form::id(&integration.id)?;
        form::name(&integration.name)?;
        self.create_in(account_key(account), integration_item(account, integration)?).await
    }

    /// Renames an integration. Returns false if it no longer exists, or no longer has the name in `integration`.
    ///
    /// # Errors
    /// [`AccountsTableError`] if the name is not allowed, or the table cannot be written.
    pub async fn rename_integration(
        &self,
        account: &str,
        integration: &Integration,
        name: &str,
    ) -> Result<bool, AccountsTableError> {
        self.rename(integration_key(account, &integration.id), &integration.name, name).await
    }

    /// Suspends or resumes an integration. Returns false if it does not exist.
    ///
    /// # Errors
    /// [`AccountsTableError`] if the table cannot be written.
    pub async fn set_integration_status(
        &self,
        account: &str,
        id: &str,
        status: Status,
    ) -> Result<bool, AccountsTableError> {
        self.set_status(integration_key(account, id), status).await
    }

    /// Deletes an integration that has no live keys, together with its revoked and expired keys.
    ///
    /// The keys are found through the index, which lags behind the table. A live key that was created a moment ago
    /// may be missed; it is rejected from then on, because it has no owner.
    ///
    /// # Errors
    /// [`AccountsTableError`] if the table cannot be read or written.
    pub async fn delete_integration(
        &self,
        account: &str,
        id: &str,
        now: Timestamp,
    ) -> Result<Deletion, AccountsTableError> {
        let key = integration_key(account, id);
        let Some(item) = self.current(key.clone()).await? else { return Ok(Deletion::NotFound) };
        // Collect all keys, and stop at the first live one.
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
        // Delete the keys, each on the condition that it is revoked or expired.
        for key in keys {
            if self.delete_key(&key.id, now).await? == Deletion::InUse {
                return Ok(Deletion::InUse);
            }
        }
        self.delete_unrevised(key, &item).await
    }
}

impl AccountsTable {
    async fn create_in(&self, parent: Item, item: Item) -> Result<Creation, AccountsTableError> {
        // Raising the parent's revision keeps a concurrent deletion from removing it.
        let parent = Row::new(parent).if_there().revised();
        Ok(match self.transact(vec![Write::Create(item), Write::Update(parent)]).await?.as_deref() {
            None => Creation::Done,
            Some([true, ..]) => Creation::AlreadyThere,
            Some(_) => Creation::ParentMissing,
        })
    }

    async fn rename(&self, key: Item, from: &str, to: &str) -> Result<bool, AccountsTableError> {
        let to = form::name(to)?;
        let name = |name: &str| Item::from([("name".to_owned(), AttributeValue::S(name.to_owned()))]);
        let row = Row::new(key).if_as_in(&name(from), &["name"]).set_as_in(&name(to), &["name"]).versioned();
        Ok(self.transact(vec![Write::Update(row)]).await?.is_none())
    }

    async fn set_status(&self, key: Item, status: Status) -> Result<bool, AccountsTableError> {
        let status = Item::from([("status".to_owned(), AttributeValue::S(status.to_string()))]);
        let row = Row::new(key).if_there().set_as_in(&status, &["status"]).versioned();
        Ok(self.transact(vec![Write::Update(row)]).await?.is_none())
    }

    /// Deletes the row unless its revision has changed since it was read as `item`.
    async fn delete_unrevised(&self, key: Item, item: &Item) -> Result<Deletion, AccountsTableError> {
        let row = Row::new(key).if_there().if_as_in(item, &["revision"]);
        let refused = self.transact(vec![Write::Delete(row)]).await?;
        Ok(if refused.is_some() { Deletion::InUse } else { Deletion::Done })
    }
}
