//! What is stored about accounts, integrations and keys.

use std::collections::BTreeSet;
use std::fmt;

use serde::{Deserialize, Serialize};

/// Whether something may be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    /// In use.
    Active,
    /// An account or integration that an admin has stopped; can be resumed.
    Suspended,
    /// A key that was withdrawn for good.
    Revoked,
}

/// A customer of the platform.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Account {
    /// Stable id, such as `acme`.
    pub id: String,
    /// Name for people.
    pub name: String,
    /// Active or suspended.
    pub status: Status,
}

/// One of an account's connected systems.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Integration {
    /// Id, unique within its account.
    pub id: String,
    /// Name for people.
    pub name: String,
    /// What kind of integration it is.
    pub kind: IntegrationKind,
    /// Active or suspended.
    pub status: Status,
}

/// An integration with its account: who a key belongs to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Owner {
    /// The account.
    pub account: Account,
    /// The integration.
    pub integration: Integration,
}

/// What kind of integration it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum IntegrationKind {
    /// A system of the customer's.
    Customer,
    /// The platform's own AI Operator working for the customer.
    AiOperator,
}

/// What a key may be used for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Scope {
    /// Call the AI routes.
    Ai,
    /// Read the catalogs.
    Catalogs,
    /// Read quota and usage.
    Read,
    /// Ask for more quota.
    Request,
    /// Change keys.
    Keys,
}

impl Scope {
    /// The scopes of a new key unless others are asked for.
    pub const DEFAULT: [Scope; 3] = [Scope::Ai, Scope::Catalogs, Scope::Read];
    /// Every scope.
    pub const ALL: [Scope; 5] = [Scope::Ai, Scope::Catalogs, Scope::Read, Scope::Request, Scope::Keys];
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Scope::Ai => "ai",
            Scope::Catalogs => "catalogs",
            Scope::Read => "read",
            Scope::Request => "request",
            Scope::Keys => "keys",
        })
    }
}

/// An API key as it is stored: never the key, only its HMAC.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyRecord {
    /// The public id within the key.
    pub id: String,
    /// The account it belongs to.
    pub account: String,
    /// The integration it belongs to.
    pub integration: String,
    /// Name for people.
    pub name: String,
    /// HMAC-SHA256 of the key in hexadecimal.
    pub hash: String,
    /// The version of the pepper that `hash` was made with.
    pub pepper: u32,
    /// What it may be used for.
    pub scopes: BTreeSet<Scope>,
    /// Active or revoked.
    pub status: Status,
    /// Unix seconds after which it is refused.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<u64>,
    /// Whether calls with it are left out of the limit per client address: for servers behind one address.
    #[serde(default)]
    pub address_exempt: bool,
}
