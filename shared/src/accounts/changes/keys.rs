//! Changes to keys: creates, changes, rotates, revokes and deletes them.

use std::collections::BTreeSet;
use std::time::Duration;

use aws_sdk_dynamodb::types::AttributeValue;

use super::{Creation, Deletion};
use crate::accounts::form;
use crate::accounts::records::{KeyRecord, Status};
use crate::accounts::table::{AccountsTable, AccountsTableError, integration_key, key_item, key_key};
use crate::clock::Timestamp;
use crate::scope::KeyScope;
use crate::stores::dynamodb::writes::{Row, Write};

/// Attributes of a key that limit its calls.
const KEY_TERMS: &[&str] = &["limits", "guards"];
/// Attributes of a key that a change may set.
const KEY_STATE: &[&str] = &["name", "scopes", "status", "expires_at", "address_exempt", "replaced_by"];

/// Change to a key. Fields that are `None` stay as they are.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct KeyChange {
    /// New name.
    pub name: Option<String>,
    /// New scopes.
    pub scopes: Option<BTreeSet<KeyScope>>,
    /// New expiry, Unix seconds; `Some(None)` for no expiry.
    pub expires_at: Option<Option<u64>>,
    /// New value of the exemption from the limit per client address.
    pub address_exempt: Option<bool>,
}

impl KeyChange {
    /// Returns the key after this change.
    pub fn applied_to(&self, key: &KeyRecord) -> KeyRecord {
        KeyRecord {
            name: self.name.clone().unwrap_or_else(|| key.name.clone()),
            scopes: self.scopes.clone().unwrap_or_else(|| key.scopes.clone()),
            expires_at: self.expires_at.unwrap_or(key.expires_at),
            address_exempt: self.address_exempt.unwrap_or(key.address_exempt),
            ..key.clone()
        }
    }
}

impl AccountsTable {
    /// Creates a key of an integration.
    ///
    /// # Errors
    /// [`AccountsTableError`] if its name is not allowed, or the table cannot be written.
    pub async fn create_key(&self, key: &KeyRecord) -> Result<Creation, AccountsTableError> {
        form::name(&key.name)?;
        self.create_in(integration_key(&key.account, &key.integration), key_item(key)?).await
    }

    /// Changes a key. Returns false if it is no longer as in `key`, or was revoked.
    ///
    /// # Errors
    /// [`AccountsTableError`] if the name is not allowed, or the table cannot be written.
    pub async fn set_key(&self, key: &KeyRecord, change: &KeyChange) -> Result<bool, AccountsTableError> {
        if key.status != Status::Active {
            return Ok(false);
        }
        let after = change.applied_to(key);
        form::name(&after.name)?;
        let row = Row::new(key_key(&key.id)).if_as_in(&key_item(key)?, KEY_STATE);
        let row = row.set_as_in(&key_item(&after)?, KEY_STATE).versioned();
        Ok(self.transact(vec![Write::Update(row)]).await?.is_none())
    }

    /// Replaces the key `old` by `new`, a key of the same integration. The old key expires after `overlap`, or at its
    /// own expiry if that is earlier. Returns its expiry in Unix seconds, or `None` if the old key is not live or no
    /// longer as in `old`.
    ///
    /// # Errors
    /// [`AccountsTableError`] if the table cannot be written.
    pub async fn rotate_key(
        &self,
        old: &KeyRecord,
        new: &KeyRecord,
        overlap: Duration,
        now: Timestamp,
    ) -> Result<Option<u64>, AccountsTableError> {
        if !old.is_live(now) {
            return Ok(None);
        }
        // The overlap never extends the old key's life.
        let end = now.plus(overlap).as_secs();
        let end = old.expires_at.map_or(end, |expires_at| expires_at.min(end));
        let ending = KeyRecord { expires_at: Some(end), replaced_by: Some(new.id.clone()), ..old.clone() };
        // The new key takes over limits and guards, so that a change to them meanwhile is a conflict too.
        let row = Row::new(key_key(&old.id)).if_as_in(&key_item(old)?, KEY_STATE).if_as_in(&key_item(old)?, KEY_TERMS);
        // Create the new key and end the old one in one transaction.
        let writes = vec![
            Write::Create(key_item(new)?),
            Write::Update(Row::new(integration_key(&new.account, &new.integration)).if_there().revised()),
            Write::Update(row.set_as_in(&key_item(&ending)?, KEY_STATE).versioned()),
        ];
        Ok(self.transact(writes).await?.is_none().then_some(end))
    }

    /// Revokes a key for good. Returns false if it does not exist.
    ///
    /// # Errors
    /// [`AccountsTableError`] if the table cannot be written.
    pub async fn revoke_key(&self, id: &str) -> Result<bool, AccountsTableError> {
        self.set_status(key_key(id), Status::Revoked).await
    }

    /// Deletes a key that was revoked or has expired.
    ///
    /// # Errors
    /// [`AccountsTableError`] if the table cannot be read or written.
    pub async fn delete_key(&self, id: &str, now: Timestamp) -> Result<Deletion, AccountsTableError> {
        // Delete it on the condition that it is revoked or expired.
        let revoked = AttributeValue::S(Status::Revoked.to_string());
        let row = Row::new(key_key(id)).only_if("#status = :revoked OR #expires_at <= :now").with(
            &[("#status", "status"), ("#expires_at", "expires_at")],
            &[(":revoked", revoked), (":now", AttributeValue::N(now.as_secs().to_string()))],
        );
        if self.transact(vec![Write::Delete(row)]).await?.is_none() {
            return Ok(Deletion::Done);
        }
        // Tell a missing key from a live one.
        let there = self.current(key_key(id)).await?.is_some();
        Ok(if there { Deletion::InUse } else { Deletion::NotFound })
    }
}
