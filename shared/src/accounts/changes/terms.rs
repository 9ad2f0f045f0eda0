//! What an admin changes about token caps and cost guards.
//!
//! A cap and an account's guards are changed each for themselves, so that of two people who change one and the other at
//! the same time neither undoes what the other did, nor is told that it was undone.

use super::transaction::{Row, Write};
use crate::accounts::form;
use crate::accounts::records::{Account, KeyRecord};
use crate::accounts::table::{AccountsTable, Item, TableError, account_item, account_key, key_item, key_key};
use crate::accounts::terms::{CapOverride, Guards};

/// Where a cap is stored.
const CAP: &[&str] = &["cap"];
/// Where guards are stored.
const GUARDS: &[&str] = &["guards"];

impl AccountsTable {
    /// Changes an account's token cap; false when the account is no longer there, or its cap no longer as in `account`.
    ///
    /// # Errors
    /// [`TableError`] when the cap is not allowed, or the table cannot be written.
    pub async fn set_account_cap(&self, account: &Account, cap: &CapOverride) -> Result<bool, TableError> {
        form::cap(cap)?;
        let after = Account { cap: *cap, ..account.clone() };
        self.set_terms(account_key(&account.id), &account_item(account)?, &account_item(&after)?, CAP).await
    }

    /// Changes what an account's calls may cost; false when the account is no longer there, or its guards no longer as in
    /// `account`.
    ///
    /// # Errors
    /// [`TableError`] when the guards are not allowed, or the table cannot be written.
    pub async fn set_account_guards(&self, account: &Account, guards: &Guards) -> Result<bool, TableError> {
        form::guards(guards)?;
        let after = Account { guards: guards.clone(), ..account.clone() };
        self.set_terms(account_key(&account.id), &account_item(account)?, &account_item(&after)?, GUARDS).await
    }

    /// Changes what a key's calls may cost; false when the key is no longer there, or its guards no longer as in `key`.
    ///
    /// # Errors
    /// [`TableError`] when the guards are not allowed, or the table cannot be written.
    pub async fn set_key_guards(&self, key: &KeyRecord, guards: &Guards) -> Result<bool, TableError> {
        form::guards(guards)?;
        let after = KeyRecord { guards: guards.clone(), ..key.clone() };
        self.set_terms(key_key(&key.id), &key_item(key)?, &key_item(&after)?, GUARDS).await
    }

    async fn set_terms(&self, key: Item, before: &Item, after: &Item, attributes: &[&str]) -> Result<bool, TableError> {
        let row = Row::new(key).if_there().if_as_in(before, attributes).set_as_in(after, attributes).versioned();
        Ok(self.transact(vec![Write::Update(row)]).await?.is_none())
    }
}
