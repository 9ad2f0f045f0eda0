//! What an admin changes about limits: for everyone, an account, an integration or a key.
//!
//! Each policy's change is an entry of its own in a map, so that of two people who change two policies at the same time
//! neither undoes the other's.

use std::collections::HashMap;

use aws_sdk_dynamodb::types::AttributeValue;

use super::transaction::{Row, Write};
use crate::accounts::form::{self, Invalid};
use crate::accounts::table::{AccountsTable, Item, TableError, account_key, defaults_key, integration_key, key_key};
use crate::clock::Timestamp;
use crate::limits::{MOST_OVERRIDES, Override};

/// How often a change is tried whose row changes under it.
const ATTEMPTS: usize = 4;

/// Changes to policies; `None` takes a change back. What is to end at some moment must not be over yet: that is the
/// caller's affair. Where a row has [`MOST_OVERRIDES`], those that are over at `now` make room.
impl AccountsTable {
    /// Changes a policy for everyone.
    ///
    /// # Errors
    /// [`TableError`] when the change is not allowed, or the table cannot be read or written.
    pub async fn set_platform_limit(
        &self,
        policy: &str,
        change: Option<&Override>,
        now: Timestamp,
    ) -> Result<(), TableError> {
        self.set_limit(defaults_key(), policy, change, now).await.map(drop)
    }

    /// Changes a policy for an account; false when there is none.
    ///
    /// # Errors
    /// [`TableError`] when the change is not allowed, or the table cannot be read or written.
    pub async fn set_account_limit(
        &self,
        account: &str,
        policy: &str,
        change: Option<&Override>,
        now: Timestamp,
    ) -> Result<bool, TableError> {
        self.set_limit(account_key(account), policy, change, now).await
    }

    /// Changes a policy for an integration; false when there is none.
    ///
    /// # Errors
    /// [`TableError`] when the change is not allowed, or the table cannot be read or written.
    pub async fn set_integration_limit(
        &self,
        account: &str,
        integration: &str,
        policy: &str,
        change: Option<&Override>,
        now: Timestamp,
    ) -> Result<bool, TableError> {
        self.set_limit(integration_key(account, integration), policy, change, now).await
    }

    /// Changes a policy for a key; false when there is none.
    ///
    /// # Errors
    /// [`TableError`] when the change is not allowed, or the table cannot be read or written.
    pub async fn set_key_limit(
        &self,
        key_id: &str,
        policy: &str,
        change: Option<&Override>,
        now: Timestamp,
    ) -> Result<bool, TableError> {
        self.set_limit(key_key(key_id), policy, change, now).await
    }

    async fn set_limit(
        &self,
        key: Item,
        policy: &str,
        change: Option<&Override>,
        now: Timestamp,
    ) -> Result<bool, TableError> {
        // What holds for everyone has a row from its first change on.
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
            // An attribute that is not there has no size: the condition holds only where there is a map.
            let most = AttributeValue::N(MOST_OVERRIDES.to_string());
            let row_with_room = row("attribute_exists(#limits.#policy) OR size(#limits) < :most");
            let row_with_room = row_with_room.with(&[], &[(":most", most)]);
            if self.transact(vec![Write::Update(row_with_room)]).await?.is_none() {
                return Ok(true);
            }

            // Find out why not: no row, no map in it yet, or a full one.
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
                    // Put it in the place of those that are over, as long as nobody sets them anew.
                    let row = over.into_iter().enumerate().fold(row("attribute_exists(pk)"), taken_back);
                    if self.transact(vec![Write::Update(row)]).await?.is_none() {
                        return Ok(true);
                    }
                }
                Some(_) => {}
                None => self.prepare(key.clone(), may_create).await?,
            }
        }
        Err(TableError::DynamoDb("the row changes all the time".to_owned()))
    }

    /// Takes the change to a policy back.
    async fn unset_limit(&self, key: Item, policy: &str) -> Result<bool, TableError> {
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

    /// Gives the row a map for changes, unless it has one or there is no row.
    async fn prepare(&self, key: Item, may_create: bool) -> Result<(), TableError> {
        let row = Row::new(key)
            .only_if("attribute_not_exists(#limits)")
            .set("#limits = :none")
            .with(&[("#limits", "limits")], &[(":none", AttributeValue::M(HashMap::new()))]);
        let row = if may_create { row } else { row.if_there() };
        self.transact(vec![Write::Update(row)]).await.map(drop)
    }
}

/// The changes that are over at `now`: policies with the moments at which they ended.
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

/// `row` without the change to `policy`, which must still end at `until`.
fn taken_back(row: Row, (place, (policy, until)): (usize, (&str, &AttributeValue))) -> Row {
    let (name, value) = (format!("#over{place}"), format!(":over{place}"));
    row.only_if(&format!("#limits.{name}.#until = {value}"))
        .remove(&format!("#limits.{name}"))
        .with(&[(&name, policy), ("#until", "until")], &[(&value, until.clone())])
}

fn entry(change: &Override, policy: &str) -> Result<AttributeValue, TableError> {
    serde_dynamo::to_attribute_value(change)
        .map_err(|error| TableError::Item { key: policy.to_owned(), cause: error.to_string() })
}
