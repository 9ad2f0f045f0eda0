//! Stored records of accounts, integrations and keys.

use std::collections::BTreeSet;
use std::fmt;

use serde::{Deserialize, Serialize};

use super::grants::{GrantSubject, Grants};
use super::key::ApiKey;
use super::pepper::Peppers;
use super::terms::{CapOverride, Guards};
use crate::clock::Timestamp;
use crate::limits::Overrides;
use crate::scope::KeyScope;

/// Status of an account, an integration or a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    /// Active: may be used.
    Active,
    /// An account or integration suspended by an admin; it can be resumed.
    Suspended,
    /// A key that was revoked for good.
    Revoked,
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Active => "active",
            Self::Suspended => "suspended",
            Self::Revoked => "revoked",
        })
    }
}

/// A customer of the platform.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Account {
    /// Stable id, such as `acme`.
    pub id: String,
    /// Display name.
    pub name: String,
    /// Active or suspended.
    pub status: Status,
    /// Creation time, Unix seconds; `None` if it was not recorded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub created_at: Option<u64>,
    /// Version, which rises with every change so that other environments notice it ([`crate::limits::versions`]); 0
    /// for records older than versions.
    #[serde(default)]
    pub version: u64,
    /// Overrides of its limits, set by an admin.
    #[serde(default, skip_serializing_if = "Overrides::is_empty")]
    pub limits: Overrides,
    /// Override of its token cap, set by an admin.
    #[serde(default, skip_serializing_if = "CapOverride::is_none")]
    pub cap: CapOverride,
    /// Guards on the cost of its calls.
    #[serde(default, skip_serializing_if = "Guards::are_none")]
    pub guards: Guards,
}

impl Account {
    /// Builds the record of a new, active account.
    pub fn new(id: &str, name: &str, now: Timestamp) -> Self {
        Self {
            id: id.to_owned(),
            name: name.to_owned(),
            status: Status::Active,
            created_at: Some(now.as_secs()),
            version: now.as_millis(),
            limits: Overrides::new(),
            cap: CapOverride::default(),
            guards: Guards::default(),
        }
    }
}

/// Connected system of an account.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Integration {
    /// Id, unique within its account.
    pub id: String,
    /// Display name.
    pub name: String,
    /// Kind of integration.
    pub kind: IntegrationKind,
    /// Active or suspended.
    pub status: Status,
    /// Creation time, Unix seconds; `None` if it was not recorded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub created_at: Option<u64>,
    /// Version, which rises with every change so that other environments notice it ([`crate::limits::versions`]); 0
    /// for records older than versions.
    #[serde(default)]
    pub version: u64,
    /// Overrides of its limits, set by an admin.
    #[serde(default, skip_serializing_if = "Overrides::is_empty")]
    pub limits: Overrides,
}

impl Integration {
    /// Builds the record of a new, active integration.
    pub fn new(id: &str, name: &str, kind: IntegrationKind, now: Timestamp) -> Self {
        Self {
            id: id.to_owned(),
            name: name.to_owned(),
            kind,
            status: Status::Active,
            created_at: Some(now.as_secs()),
            version: now.as_millis(),
            limits: Overrides::new(),
        }
    }
}

/// Owner of a key: an integration with its account. Their limits include the grants.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Owner {
    /// The account.
    pub account: Account,
    /// The integration.
    pub integration: Integration,
    /// Version of the account's grants; 0 if there are none.
    pub grants_version: u64,
}

impl Owner {
    /// Builds the owner, and adds the grants to the limits that they raise.
    pub fn new(mut account: Account, mut integration: Integration, grants: Grants) -> Self {
        // Put each grant beside the override of the same policy.
        for (GrantSubject { integration: of, policy }, grant) in grants.grants {
            let limits = match of {
                None => &mut account.limits,
                Some(of) if of == integration.id => &mut integration.limits,
                Some(_) => continue,
            };
            limits.entry(policy).or_default().grant = Some(grant);
        }
        Self { account, integration, grants_version: grants.version }
    }
}

/// Kind of an integration.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum IntegrationKind {
    /// A system of the customer.
    #[default]
    Customer,
    /// The platform's own AI Operator, working for the customer.
    AiOperator,
}

impl fmt::Display for IntegrationKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Customer => "customer",
            Self::AiOperator => "ai-operator",
        })
    }
}

/// Stored form of an API key. It holds the key's HMAC, never the key itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyRecord {
    /// Public id, which is part of the key.
    pub id: String,
    /// Id of the account that the key belongs to.
    pub account: String,
    /// Id of the integration that the key belongs to.
    pub integration: String,
    /// Display name.
    pub name: String,
    /// HMAC-SHA256 of the key in hexadecimal.
    pub hash: String,
    /// Version of the pepper that `hash` was made with.
    pub pepper: u32,
    /// Scopes of the key.
    pub scopes: BTreeSet<KeyScope>,
    /// Active or revoked.
    pub status: Status,
    /// Time at which the key expires, Unix seconds; `None` if it does not expire.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<u64>,
    /// True if the limit per client address does not apply to the key's calls: for servers behind one address.
    #[serde(default)]
    pub address_exempt: bool,
    /// Creation time, Unix seconds; `None` if it was not recorded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub created_at: Option<u64>,
    /// Id of the key that replaced this one at a rotation.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub replaced_by: Option<String>,
    /// Version, which rises with every change so that other environments notice it ([`crate::limits::versions`]); 0
    /// for records older than versions.
    #[serde(default)]
    pub version: u64,
    /// Overrides of its limits, set by an admin.
    #[serde(default, skip_serializing_if = "Overrides::is_empty")]
    pub limits: Overrides,
    /// Guards on the cost of calls with this key.
    #[serde(default, skip_serializing_if = "Guards::are_none")]
    pub guards: Guards,
}

impl KeyRecord {
    /// Builds the record of a new key, with the default scopes and no expiry.
    pub fn new(key: &ApiKey, peppers: &Peppers, account: &str, integration: &str, name: &str, now: Timestamp) -> Self {
        Self {
            id: key.id().to_owned(),
            account: account.to_owned(),
            integration: integration.to_owned(),
            name: name.to_owned(),
            hash: peppers.hash(key),
            pepper: peppers.current(),
            scopes: KeyScope::DEFAULT.into(),
            status: Status::Active,
            expires_at: None,
            address_exempt: false,
            replaced_by: None,
            created_at: Some(now.as_secs()),
            version: now.as_millis(),
            limits: Overrides::new(),
            guards: Guards::default(),
        }
    }

    /// Builds the record of a new key that replaces this one, with the same name, scopes, expiry, exemption, limits
    /// and guards.
    pub fn successor(&self, key: &ApiKey, peppers: &Peppers, now: Timestamp) -> Self {
        let new = Self::new(key, peppers, &self.account, &self.integration, &self.name, now);
        let Self { scopes, expires_at, address_exempt, limits, guards, .. } = self.clone();
        Self { scopes, expires_at, address_exempt, limits, guards, ..new }
    }

    /// Returns true if the key is active and has not expired at `now`. Its integration and account may be suspended
    /// all the same.
    pub fn is_live(&self, now: Timestamp) -> bool {
        self.status == Status::Active && self.expires_at.is_none_or(|expires_at| now.as_secs() < expires_at)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits::Override;

    #[test]
    fn what_is_stored_is_what_is_printed_and_read() {
        for status in [Status::Active, Status::Suspended, Status::Revoked] {
            assert_eq!(serde_json::to_value(status).unwrap(), status.to_string());
        }
        for kind in [IntegrationKind::Customer, IntegrationKind::AiOperator] {
            assert_eq!(serde_json::to_value(kind).unwrap(), kind.to_string());
        }
        for scope in KeyScope::ALL {
            assert_eq!(serde_json::to_value(scope).unwrap(), scope.to_string());
            assert_eq!(scope.to_string().parse(), Ok(scope));
        }
        assert_eq!("everything".parse::<KeyScope>(), Err(crate::scope::UnknownScope));
    }

    #[test]
    fn a_successor_is_a_new_key_in_the_place_of_the_old_one() {
        let peppers = Peppers::from_json(r#"{"1":"a pepper of at least thirty-two characters"}"#).unwrap();
        let (first, second) = (ApiKey::generate("live").unwrap(), ApiKey::generate("live").unwrap());
        let began = Timestamp::from_secs(1_700_000_000);
        let old = KeyRecord {
            scopes: [KeyScope::Read].into(),
            expires_at: Some(1_700_000_100),
            address_exempt: true,
            limits: [("key".to_owned(), Override { limit: Some(90), ..Override::default() })].into(),
            guards: Guards { max_tokens: Some(4_096), ..Guards::default() },
            ..KeyRecord::new(&first, &peppers, "acme", "crm", "production", began)
        };
        let new = old.successor(&second, &peppers, Timestamp::from_secs(1_700_000_050));
        assert!(peppers.verify(&second, new.pepper, &new.hash));
        let (id, hash) = (new.id.clone(), new.hash.clone());
        let (created_at, version) = (Some(1_700_000_050), 1_700_000_050_000);
        let expected = KeyRecord { id, hash, created_at, version, ..old.clone() };
        assert_eq!((new.id.as_str(), &new), (second.id(), &expected));

        let at = |secs| old.is_live(Timestamp::from_secs(secs));
        assert_eq!((at(1_700_000_099), at(1_700_000_100)), (true, false));
        assert!(!KeyRecord { status: Status::Revoked, ..old.clone() }.is_live(began));
    }
}
