//! Publishes changes: reads what was written, tells Redis its versions, and waits until no environment repeats a refusal
//! that was made before.

use std::collections::BTreeSet;

use super::records::Status;
use super::table::{AccountsTable, Item, TableError, account_key, defaults_key, integration_key, key_key};
use crate::clock::Timestamp;
use crate::limits::REMEMBERED;
use crate::limits::markers::{self, Marked, Version};
use crate::stores::redis::{Redis, Unavailable};

/// Why a change was not published. It is noticed all the same, once the caches' time is over
/// ([`super::directory::FRESH`]).
#[derive(Debug, thiserror::Error)]
pub enum PublicationError {
    /// What was written cannot be read.
    #[error(transparent)]
    Table(#[from] TableError),
    /// Redis cannot be told.
    #[error("Redis: {0}")]
    Redis(#[from] Unavailable),
}

/// Makes every environment notice, at its next request, how `changed` are now. When it returns, the refusals that
/// environments repeat from memory are over too.
///
/// # Errors
/// [`PublicationError`]; nothing else is undone.
pub async fn publish(
    table: &AccountsTable,
    redis: &Redis,
    changed: &[Marked],
    now: Timestamp,
) -> Result<(), PublicationError> {
    let changed: BTreeSet<&Marked> = changed.iter().collect();
    let mut versions = Vec::with_capacity(changed.len());
    for of in changed {
        versions.push(version(of, table.current(key(of)).await?.as_ref(), now));
    }
    markers::publish(redis, &versions).await?;
    tokio::time::sleep(REMEMBERED).await;
    Ok(())
}

fn key(of: &Marked) -> Item {
    match of {
        Marked::Platform => defaults_key(),
        Marked::Account(account) => account_key(account),
        Marked::Integration(account, integration) => integration_key(account, integration),
        Marked::Key(id) => key_key(id),
    }
}

/// The version of `item`. What is gone is stopped, as of now: whatever is made in its place is newer.
fn version(of: &Marked, item: Option<&Item>, now: Timestamp) -> Version {
    let (version, is_stopped) = match item {
        Some(item) => {
            let status = item.get("status").and_then(|status| status.as_s().ok());
            (number(item, "version"), status.is_some_and(|status| *status != Status::Active.to_string()))
        }
        None if *of == Marked::Platform => (0, false),
        None => (now.as_millis(), true),
    };
    Version { of: of.clone(), version, is_stopped }
}

fn number(item: &Item, attribute: &str) -> u64 {
    item.get(attribute).and_then(|value| value.as_n().ok()).and_then(|text| text.parse().ok()).unwrap_or(0)
}
