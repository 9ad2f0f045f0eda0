//! Accounts, their integrations and their API keys: who is calling.
//!
//! An [`ApiKey`] is checked for typing errors before anything is asked of a store, looked up by its public id in the
//! [`Directory`], and compared as an HMAC in constant time. Invariant: who may call is never guessed. A key that was
//! never seen is not accepted while the table cannot be read; a key seen before goes on working for
//! [`directory::KEPT_WHEN_DOWN`].
//!
//! Start reading at [`authenticate`].

pub mod directory;
pub mod key;
pub mod pepper;
pub mod records;
pub mod table;

pub use directory::{Directory, Unreachable};
pub use key::ApiKey;
pub use pepper::Peppers;
pub use records::{Account, Integration, IntegrationKind, KeyRecord, Owner, Scope, Status};
pub use table::AccountsTable;

use std::sync::Arc;

use crate::clock::Timestamp;

/// An authenticated key with the integration and the account that it belongs to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Caller {
    /// The key.
    pub key: Arc<KeyRecord>,
    /// Its integration and account.
    pub owner: Arc<Owner>,
}

/// Why a caller could not be authenticated.
#[derive(Debug, thiserror::Error)]
pub enum AuthenticationError {
    /// There is no such key, or it may no longer be used. All reasons look alike to the caller.
    #[error("the key is not valid: {0}")]
    Refused(&'static str),
    /// The key is unknown here and the accounts table cannot be read.
    #[error(transparent)]
    Unreachable(#[from] Unreachable),
}

/// Finds out who presents `text` as an API key, accepting keys of `environment` only.
///
/// An unknown id costs the same work as a known one and gives the same answer.
///
/// # Errors
/// [`AuthenticationError::Refused`] for anything but a valid key; [`AuthenticationError::Unreachable`] where that
/// cannot be known.
pub async fn authenticate(
    directory: &Directory,
    peppers: &Peppers,
    environment: &str,
    text: &str,
    now: Timestamp,
) -> Result<Caller, AuthenticationError> {
    use AuthenticationError::Refused;

    // Refuse mistyped keys before any I/O.
    let key = ApiKey::parse(text).map_err(|_| Refused("malformed"))?;
    if key.environment() != environment {
        return Err(Refused("of another environment"));
    }

    // Compare the secret, against a hash that nothing matches where the id is unknown.
    let record = directory.key(key.id(), now).await?;
    let matches = match &record {
        Some(record) => peppers.verify(&key, record.pepper, &record.hash),
        None => peppers.verify(&key, peppers.current(), ""),
    };
    let key = record.filter(|_| matches).ok_or(Refused("unknown"))?;

    // Check that the key may still be used.
    if key.status != Status::Active {
        return Err(Refused("revoked"));
    }
    if key.expires_at.is_some_and(|expires_at| expires_at <= now.as_secs()) {
        return Err(Refused("expired"));
    }

    // Only now, with the secret shown, look up whom the key belongs to.
    let owner = directory.owner(&key, now).await?.ok_or(Refused("without an account"))?;
    Ok(Caller { key, owner })
}
