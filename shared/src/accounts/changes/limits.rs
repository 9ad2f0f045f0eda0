//! Changes to limit overrides of the platform, an account, an integration or a key.
//!
//! Each policy's override is an entry of its own in a map, so that concurrent changes to two policies do not undo
//! each other.

use std::collections::HashMap;

use aws_sdk_dynamodb::types::AttributeValue;

use crate::accounts::form::{self, Invalid};
use crate::accounts::table::{
    AccountsTable, AccountsTableError, Item, account_key, defaults_key, integration_key, key_key,
};
use crate::clock::Timestamp;
use crate::limits::{MOST_OVERRIDES, Override};
use crate::stores::dynamodb::writes::{Row, Write};

/// Attempts at a change while its row is changed by other writers.
const ATTEMPTS: usize = 4;

/// Changes to overrides; a change of `None` removes an override. The caller must check that an end is in the future.
/// If a row has [`MOST_OVERRIDES`], overrides that have expired at `now` are removed to make room.
impl AccountsTable {
    /// Sets or removes an override of a policy for the whole platform.
    ///
    /// # Errors
    /// [`AccountsTableError`] if the change is not allowed, or the table cannot be read or written.
    pub async fn set_platform_limit(
        &self,
        policy: &str,
        change: Option<&Override>,
        now: Timestamp,
    ) -> Result<(), AccountsTableError> {
        self.set_limit(defaults_key(), policy, change, now).await.map(drop)
    }

    /// Sets or removes an override of a policy for an account. Returns false if the account does not exist.
    ///
    /// # Errors
    /// [`AccountsTableError`] if the change is not allowed, or the table cannot be read or written.
    pub async fn set_account_limit(
        &self,
        account: &str,
        policy: &str,
        change: Option<&Override>,
        now: Timestamp,
    ) -> Result<bool, AccountsTableError> {
        self.set_limit(account_key(account), policy, change, now).await
    }

    /// Sets or removes an override of a policy for an integration. Returns false if the integration does not exist.
    ///
    /// # Errors
    /// [`AccountsTableError`] if the change is not allowed, or the table cannot be read or written.
    pub async fn set_integration_limit(
        &self,
        account: &str,
        integration: &str,
        policy: &str,
        change: Option<&Override>,
        now: Timestamp,
    ) -> Result<bool, AccountsTableError> {
        self.set_limit(integration_key(account, integration), policy, change, now).await
    }

    /// Sets or removes an override of a policy for a key. Returns false if the key does not exist.
    ///
    /// # Errors
    /// [`AccountsTableError`] if the change is not allowed, or the table cannot be read or written.
    pub async fn set_key_limit(
        &self,
        key_id: &str,
        policy: &str,
        change: Option<&Override>,
        now: Timestamp,
    ) -> Result<bool, AccountsTableError> {
        self.set_limit(key_key(key_id), policy, change, now).await
    }

    async fn set_limit(
        &self,
        key: Item,
        policy: &str,
        change: Option<&Override>,
        now: Timestamp,
    ) -> Result<bool, AccountsTableError> {
        // The platform-wide row is created by its first change.
        let may_create = key == defaults_key();
        let Some(change) = change else { return self.unset_limit(key, policy).await };
        form::change(policy, change)?;
        let change = entry(change, policy)?;
        let row = |condition: &str| {
            let names = [("#limits", "limits"), ("#policy", policy)];
            let row = Row::new(key.clone()).only_if(condition).set("#limits.#policy = :change").versioned();
            row.with(&names, &[(":change", change.clone())])
        };
        for _ in 0..ATTEMPTS {
            // Write the entry if there is room. A missing map has no size, so the condition fails without one.
            let most = AttributeValue::N(MOST_OVERRIDES.to_string());
            let row_with_room = row("attribute_exists(#limits.#policy) OR size(#limits) < :most");
            let row_with_room = row_with_room.with(&[], &[(":most", most)]);
            if self.transact(vec![Write::Update(row_with_room)]).await?.is_none() {
                return Ok(true);
            }

            // Find out why it failed: no row, no map in it yet, or a full map.
            let item = self.current(key.clone()).await?;
            if item.is_none() && !may_create {
                return Ok(false);
            }
            match item.as_ref().and_then(|item| item.get("limits")).and_then(|limits| limits.as_m().ok()) {
                Some(limits) if limits.len() >= MOST_OVERRIDES && !limits.contains_key(policy) => {
                    let over = over(limits, now);
                    if over.is_empty() {
                        return Err(Invalid::TOO_MANY_OVERRIDES.into());
                    }
                    // Replace the expired overrides, on the condition that none of them was set anew.
                    let row = over.into_iter().enumerate().fold(row("attribute_exists(pk)"), taken_back);
                    if self.transact(vec![Write::Update(row)]).await?.is_none() {
                        return Ok(true);
                    }
                }
                Some(_) => {}
                None => self.prepare(key.clone(), may_create).await?,
            }
        }
        Err(AccountsTableError::DynamoDb("the row changes all the time".to_owned()))
    }

    /// Removes the override of a policy. Returns false if there is no row.
    async fn unset_limit(&self, key: Item, policy: &str) -> Result<bool, AccountsTableError> {
        let row = Row::new(key.clone())
            .only_if("attribute_exists(#limits.#policy)")
            .remove("#limits.#policy")
            .with(&[("#limits", "limits"), ("#policy", policy)], &[])
            .versioned();
        if self.transact(vec![Write::Update(row)]).await?.is_none() {
            return Ok(true);
        }
        Ok(self.current(key).await?.is_some())
    }

    /// Adds an empty map for overrides, unless the row has one or does not exist and may not be created.
    async fn prepare(&self, key: Item, may_create: bool) -> Result<(), AccountsTableError> {
        let row = Row::new(key)
            .only_if("attribute_not_exists(#limits)")
            .set("#limits = :none")
            .with(&[("#limits", "limits")], &[(":none", AttributeValue::M(HashMap::new()))]);
        let row = if may_create { row } else { row.if_there() };
        self.transact(vec![Write::Update(row)]).await.map(drop)
    }
}

/// Returns the overrides that have expired at `now`: policies with the times at which they ended.
fn over(limits: &Item, now: Timestamp) -> Vec<(&str, &AttributeValue)> {
    let mut over = Vec::new();
    for (policy, change) in limits {
        let until = change.as_m().ok().and_then(|change| change.get("until"));
        let ends = until.and_then(|until| until.as_n().ok()?.parse::<u64>().ok());
        if let Some(until) = until.filter(|_| ends.is_some_and(|ends| ends <= now.as_secs())) {
            over.push((policy.as_str(), until));
        }
    }
    over
}

/// Extends `row` to remove the override of `policy`, on the condition that it still ends at `until`.
fn taken_back(row: Row, (place, (policy, until)): (usize, (&str, &AttributeValue))) -> Row {
    let (name, value) = (format!("#over{place}"), format!(":over{place}"));
    row.only_if(&format!("#limits.{name}.#until = {value}"))
        .remove(&format!("#limits.{name}"))
        .with(&[(&name, policy), ("#until", "until")], &[(&value, until.clone())])
}

fn entry(change: &Override, policy: &str) -> Result<AttributeValue, AccountsTableError> {
    serde_dynamo::to_attribute_value(change)
        .map_err(|error| AccountsTableError::Item { key: policy.to_owned(), cause: error.to_string() })
}
