//! Publishes changes: reads the changed rows, writes their versions to Redis as markers, and waits until no
//! environment repeats a refusal that was made before the change.

use std::collections::BTreeSet;

use super::records::Status;
use super::table::{
    AccountsTable, AccountsTableError, Item, account_key, defaults_key, grants_key, integration_key, key_key,
};
use crate::clock::Timestamp;
use crate::limits::REMEMBERED;
use crate::limits::versions::{self, RecordId, Version};
use crate::stores::redis::{Redis, Unavailable};

/// Errors of [`publish`]. An unpublished change is still noticed once the cached records expire
/// ([`super::directory::FRESH`]).
#[derive(Debug, thiserror::Error)]
pub enum PublicationError {
    /// The changed rows could not be read.
    #[error(transparent)]
    Table(#[from] AccountsTableError),
    /// The markers could not be written to Redis.
    #[error("Redis: {0}")]
    Redis(#[from] Unavailable),
}

/// Makes every environment notice the present state of `changed` at its next request. Refusals that environments
/// repeat from memory have expired by the time this returns.
///
/// # Errors
/// [`PublicationError`]. The change itself stays in place.
pub async fn publish(
    table: &AccountsTable,
    redis: &Redis,
    changed: &[RecordId],
    now: Timestamp,
) -> Result<(), PublicationError> {
    let changed: BTreeSet<&RecordId> = changed.iter().collect();
    // Read the current versions, so that the markers match the table.
    let mut versions = Vec::with_capacity(changed.len());
    for of in changed {
        versions.push(version(of, table.current(key(of)).await?.as_ref(), now));
    }
    versions::publish(redis, &versions).await?;
    // Wait until remembered refusals have expired.
    tokio::time::sleep(REMEMBERED).await;
    Ok(())
}

fn key(of: &RecordId) -> Item {
    match of {
        RecordId::Platform => defaults_key(),
        RecordId::Account(account) => account_key(account),
        RecordId::Integration(account, integration) => integration_key(account, integration),
        RecordId::Key(id) => key_key(id),
        RecordId::Grants(account) => grants_key(account),
    }
}

/// Returns the version of `item`. A deleted row counts as stopped as of now, so that a row created in its place is
/// newer.
fn version(of: &RecordId, item: Option<&Item>, now: Timestamp) -> Version {
    let (version, is_stopped) = match item {
        Some(item) => {
            let status = item.get("status").and_then(|status| status.as_s().ok());
            (number(item, "version"), status.is_some_and(|status| *status != Status::Active.to_string()))
        }
        None if matches!(of, RecordId::Platform | RecordId::Grants(_)) => (0, false),
        None => (now.as_millis(), true),
    };
    Version { of: of.clone(), version, is_stopped }
}

fn number(item: &Item, attribute: &str) -> u64 {
    item.get(attribute).and_then(|value| value.as_n().ok()).and_then(|text| text.parse().ok()).unwrap_or(0)
}
