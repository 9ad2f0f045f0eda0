//! Changes to token caps and guards.
//!
//! A change writes only the attributes that differ, on the condition that they are still as they were read. So of two
//! concurrent changes, one to the cap and one to the guards, neither undoes the other.

use crate::accounts::form;
use crate::accounts::records::{Account, KeyRecord};
use crate::accounts::table::{AccountsTable, AccountsTableError, Item, account_item, account_key, key_item, key_key};
use crate::accounts::terms::{CapOverride, Guards};
use crate::stores::dynamodb::writes::{Row, Write};

/// Attribute that holds the cap.
const CAP: &str = "cap";
/// Attribute that holds the guards.
const GUARDS: &str = "guards";

impl AccountsTable {
    /// Changes an account's token cap and guards in one transaction. Returns false and changes nothing if the account
    /// no longer exists, or if the attributes to be changed are no longer as in `account`. If nothing is to change,
    /// returns true without a write.
    ///
    /// # Errors
    /// [`AccountsTableError`] if the cap or the guards are not allowed, or the table cannot be written.
    pub async fn set_account_terms(
        &self,
        account: &Account,
        cap: &CapOverride,
        guards: &Guards,
    ) -> Result<bool, AccountsTableError> {
        form::cap(cap)?;
        form::guards(guards)?;
        // Write only the attributes that change.
        let changed: Vec<&str> = [(CAP, *cap != account.cap), (GUARDS, *guards != account.guards)]
            .into_iter()
            .filter_map(|(attribute, is_changed)| is_changed.then_some(attribute))
            .collect();
        if changed.is_empty() {
            return Ok(true);
        }
        let after = Account { cap: *cap, guards: guards.clone(), ..account.clone() };
        self.set_terms(account_key(&account.id), &account_item(account)?, &account_item(&after)?, &changed).await
    }

    /// Changes a key's guards. Returns false if the key no longer exists, or its guards are no longer as in `key`.
    ///
    /// # Errors
    /// [`AccountsTableError`] if the guards are not allowed, or the table cannot be written.
    pub async fn set_key_guards(&self, key: &KeyRecord, guards: &Guards) -> Result<bool, AccountsTableError> {
        form::guards(guards)?;
        let after = KeyRecord { guards: guards.clone(), ..key.clone() };
        self.set_terms(key_key(&key.id), &key_item(key)?, &key_item(&after)?, &[GUARDS]).await
    }

    async fn set_terms(
        &self,
        key: Item,
        before: &Item,
        after: &Item,
        attributes: &[&str],
    ) -> Result<bool, AccountsTableError> {
        let row = Row::new(key).if_there().if_as_in(before, attributes).set_as_in(after, attributes).versioned();
        Ok(self.transact(vec![Write::Update(row)]).await?.is_none())
    }
}
