//! Accounts, their integrations and their API keys: authenticates callers.
//!
//! An [`ApiKey`] is checked for typing errors before any store is read. It is then looked up by its public id in the
//! [`Directory`], and its HMAC is compared in constant time. Invariant: a caller is never guessed. While the table
//! cannot be read, a key that was never seen is rejected; a key seen before is accepted for
//! [`directory::KEPT_WHEN_DOWN`].
//!
//! Start reading at [`authenticate`]. Changes by operators and customers go through [`changes`], and [`publish`]
//! makes every environment notice them at its next request.

pub mod changes;
pub mod directory;
pub mod form;
pub mod grants;
pub mod key;
pub mod listing;
pub mod pepper;
pub mod pepper_source;
pub mod platform;
pub mod publication;
pub mod records;
pub mod table;
pub mod terms;

pub use crate::scope::KeyScope;
pub use changes::{Creation, Deletion, KeyChange};
pub use directory::{Directory, Unreachable};
pub use grants::{GrantSubject, Grants};
pub use key::ApiKey;
pub use listing::AccountDetail;
pub use pepper::Peppers;
pub use pepper_source::PepperSource;
pub use platform::{Block, Blocked, Platform};
pub use publication::publish;
pub use records::{Account, Integration, IntegrationKind, KeyRecord, Owner, Status};
pub use table::{AccountsTable, AccountsTableError};
pub use terms::{CapMode, CapOverride, Guards, Terms, TokenCap, UnknownFields};

use std::sync::Arc;

use crate::clock::Timestamp;
use crate::limits::versions::{RecordId, Version};

/// An authenticated key with the integration and the account that it belongs to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuthenticatedKey {
    /// API key.
    pub key: Arc<KeyRecord>,
    /// Integration and account that the key belongs to.
    pub owner: Arc<Owner>,
}

impl AuthenticatedKey {
    /// Returns the versions of the records that a decision about the caller depends on: key, integration, account and
    /// the account's grants.
    pub fn known(&self) -> Vec<Version> {
        let Self { key, owner } = self;
        let version = |of, version| Version { of, version, is_stopped: false };
        vec![
            version(RecordId::Key(key.id.clone()), key.version),
            version(RecordId::Integration(key.account.clone(), key.integration.clone()), owner.integration.version),
            version(RecordId::Account(key.account.clone()), owner.account.version),
            version(RecordId::Grants(key.account.clone()), owner.grants_version),
        ]
    }
}

/// Errors of [`authenticate`].
#[derive(Debug, thiserror::Error)]
pub enum AuthenticationError {
    /// The key does not exist or may no longer be used. The caller gets the same answer for every reason.
    #[error("the key is not valid: {reason}")]
    Refused {
        /// Reason, for operators only.
        reason: &'static str,
        /// Records that the refusal follows from; empty if it follows from the text alone.
        known: Vec<Version>,
    },
    /// The key or its owner is not cached, and the accounts table could not be read.
    #[error(transparent)]
    Unreachable(#[from] Unreachable),
}

/// Authenticates the caller that presents `text` as an API key. Accepts keys of `environment` only.
///
/// An unknown id costs the same work as a known one and gives the same answer.
///
/// # Errors
/// [`AuthenticationError::Refused`] for anything but a valid key; [`AuthenticationError::Unreachable`] if the key or
/// its owner cannot be looked up.
pub async fn authenticate(
    directory: &Directory,
    peppers: &PepperSource,
    environment: &str,
    text: &str,
    now: Timestamp,
) -> Result<AuthenticatedKey, AuthenticationError> {
    let refused = |reason, known| Err(AuthenticationError::Refused { reason, known });

    // Refuse mistyped keys before any I/O.
    let Ok(key) = ApiKey::parse(text) else { return refused("malformed", Vec::new()) };
    if key.environment() != environment {
        return refused("of another environment", Vec::new());
    }

    // Compare the secret. An unknown id is compared with a hash that matches nothing, which costs the same work.
    let record = directory.key(key.id(), now).await?;
    let matches = match &record {
        Some(record) => peppers.with_version(record.pepper, now).await.verify(&key, record.pepper, &record.hash),
        None => {
            let held = peppers.held();
            held.verify(&key, held.current(), "")
        }
    };
    // Give a wrong secret the same number of table reads as an unknown id.
    if record.is_some() && !matches {
        directory.refute(key.id(), now).await;
    }
    let version = record.as_ref().map_or(0, |record| record.version);
    let known = vec![Version { of: RecordId::Key(key.id().to_owned()), version, is_stopped: false }];
    let Some(key) = record.filter(|_| matches) else { return refused("unknown", known) };

    // Check that the key may still be used.
    if key.status != Status::Active {
        return refused("revoked", known);
    }
    if key.expires_at.is_some_and(|expires_at| expires_at <= now.as_secs()) {
        return refused("expired", known);
    }

    // Look up the owner only now that the secret has been verified.
    match directory.owner(&key, now).await? {
        Some(owner) => Ok(AuthenticatedKey { key, owner }),
        None => refused("without an account", known),
    }
}

#[cfg(test)]
mod tests {
    use aws_credential_types::Credentials;

    use super::*;
    use crate::stores::aws::AwsConfig;
    use crate::stores::dynamodb::stub::{Stub, TIMEOUT};
    use crate::stores::secrets::SecretRef;

    const PEPPERS: &str = r#"{"1":"a pepper of at least thirty-two characters"}"#;
    const NOW: Timestamp = Timestamp::from_secs(1_700_000_000);
    const OWNER: &str = r#"{"Responses":{"accounts":[
        {"pk":{"S":"ACCOUNT#acme"},"sk":{"S":"ACCOUNT"},"id":{"S":"acme"},"name":{"S":"Acme"},"status":{"S":"active"}},
        {"pk":{"S":"ACCOUNT#acme"},"sk":{"S":"INTEGRATION#crm"},"id":{"S":"crm"},"name":{"S":"CRM"},
        "kind":{"S":"customer"},"status":{"S":"active"}}]},"UnprocessedKeys":{}}"#;
    const NO_OWNER: &str = r#"{"Responses":{"accounts":[]},"UnprocessedKeys":{}}"#;

    fn peppers() -> Peppers {
        Peppers::from_json(PEPPERS).unwrap()
    }

    /// Returns DynamoDB's answer for a key with the given hash, status and further attributes.
    fn record(hash: &str, status: &str, more: &str) -> &'static str {
        let item = format!(
            r#"{{"Item":{{"pk":{{"S":"KEY#k"}},"sk":{{"S":"KEY"}},"id":{{"S":"k"}},"account":{{"S":"acme"}},
            "integration":{{"S":"crm"}},"name":{{"S":"n"}},"hash":{{"S":"{hash}"}},"pepper":{{"N":"1"}},
            "scopes":{{"L":[{{"S":"ai"}}]}},"status":{{"S":"{status}"}}{more}}}}}"#
        );
        item.leak()
    }

    async fn source() -> PepperSource {
        let credentials = Credentials::new("test", "test", None, None, "test");
        let aws = AwsConfig { region: "us-east-1".to_owned(), credentials };
        PepperSource::read(SecretRef::new(PEPPERS), aws, NOW).await.unwrap()
    }

    async fn authenticate_with(key: &ApiKey, record: &'static str, owner: &'static str) -> (String, usize) {
        let stub = Stub::start(vec![(200, record), (200, owner)].leak()).await;
        let directory = Directory::new(AccountsTable::new(stub.client.clone(), "accounts"), TIMEOUT);
        let result = authenticate(&directory, &source().await, "live", key.reveal(), NOW).await;
        (result.map_or_else(|error| error.to_string(), |caller| caller.owner.account.id.clone()), stub.answered())
    }

    #[tokio::test]
    async fn a_valid_key_names_its_account() {
        let key = ApiKey::generate("live").unwrap();
        let record = record(&peppers().hash(&key), "active", r#","expires_at":{"N":"1700000001"}"#);
        assert_eq!(authenticate_with(&key, record, OWNER).await, ("acme".to_owned(), 2));
    }

    #[tokio::test]
    async fn a_known_id_with_another_secret_is_refused_without_looking_further() {
        let (key, other) = (ApiKey::generate("live").unwrap(), ApiKey::generate("live").unwrap());
        let record = record(&peppers().hash(&other), "active", "");
        assert_eq!(authenticate_with(&key, record, OWNER).await, ("the key is not valid: unknown".to_owned(), 1));
    }

    #[tokio::test]
    async fn a_wrong_secret_costs_as_many_reads_as_an_id_that_does_not_exist() {
        let (key, other) = (ApiKey::generate("live").unwrap(), ApiKey::generate("live").unwrap());
        let wrong = ApiKey::from_parts("live", key.id(), "JIHGFEDCBAjihgfedcba9876543210").unwrap();
        let of_key = record(&peppers().hash(&key), "active", "");
        let answers = vec![(200, of_key), (200, OWNER), (200, of_key), (200, "{}"), (200, of_key), (200, "{}")].leak();
        let stub = Stub::start(answers).await;
        let directory = Directory::new(AccountsTable::new(stub.client.clone(), "accounts"), TIMEOUT);
        let source = source().await;
        let at = |secs| NOW.plus(std::time::Duration::from_secs(secs));
        // Cache the valid key, then compare the reads of a wrong secret and an unknown id at the same moments.
        assert!(authenticate(&directory, &source, "live", key.reveal(), NOW).await.is_ok());
        let mut reads = Vec::new();
        for secs in [1, 2, 12] {
            for text in [wrong.reveal(), other.reveal()] {
                let before = stub.answered();
                assert!(authenticate(&directory, &source, "live", text, at(secs)).await.is_err());
                reads.push(stub.answered() - before);
            }
        }
        assert_eq!(reads, [1, 1, 0, 0, 1, 1], "a wrong secret and an unknown id, in turn");
    }

    #[tokio::test]
    async fn a_hash_that_was_made_without_a_pepper_is_refused_under_a_version_that_is_not_there() {
        let key = ApiKey::generate("live").unwrap();
        let forged = record(&pepper::hash_under(b"", key.reveal()), "active", "");
        let forged = forged.replace(r#""pepper":{"N":"1"}"#, r#""pepper":{"N":"9"}"#).leak();
        assert_eq!(authenticate_with(&key, forged, OWNER).await, ("the key is not valid: unknown".to_owned(), 1));
    }

    #[tokio::test]
    async fn a_revoked_an_expired_and_an_orphaned_key_are_refused() {
        let key = ApiKey::generate("live").unwrap();
        let hash = peppers().hash(&key);
        for (status, more, owner, reason) in [
            ("revoked", "", OWNER, "revoked"),
            ("active", r#","expires_at":{"N":"1700000000"}"#, OWNER, "expired"),
            ("active", "", NO_OWNER, "without an account"),
        ] {
            let (outcome, _) = authenticate_with(&key, record(&hash, status, more), owner).await;
            assert_eq!(outcome, format!("the key is not valid: {reason}"));
        }
    }

    #[tokio::test]
    async fn a_mistyped_key_and_one_of_another_environment_cost_no_read() {
        let directory_of = |stub: &Stub| Directory::new(AccountsTable::new(stub.client.clone(), "accounts"), TIMEOUT);
        let test_key = ApiKey::generate("test").unwrap();
        for text in ["lv_live_nonsense", test_key.reveal()] {
            let stub = Stub::start(&[(200, "{}")]).await;
            assert!(authenticate(&directory_of(&stub), &source().await, "live", text, NOW).await.is_err());
            assert_eq!(stub.answered(), 0, "{text}");
        }
    }
}
