//! Scopes of API keys: the kinds of calls that a key may make.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// Permission of a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum KeyScope {
    /// Permission to call the AI routes.
    Ai,
    /// Permission to read the catalogs.
    Catalogs,
    /// Permission to read quota and usage.
    Read,
    /// Permission to ask for more quota.
    Request,
    /// Permission to change keys.
    Keys,
}

impl KeyScope {
    /// Scopes of a new key unless the request names others.
    pub const DEFAULT: [KeyScope; 4] = [KeyScope::Ai, KeyScope::Catalogs, KeyScope::Read, KeyScope::Request];
    /// Every scope.
    pub const ALL: [KeyScope; 5] =
        [KeyScope::Ai, KeyScope::Catalogs, KeyScope::Read, KeyScope::Request, KeyScope::Keys];
}

impl fmt::Display for KeyScope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            KeyScope::Ai => "ai",
            KeyScope::Catalogs => "catalogs",
            KeyScope::Read => "read",
            KeyScope::Request => "request",
            KeyScope::Keys => "keys",
        })
    }
}

/// Error for a text that names no scope.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("there is no such scope; the scopes are ai, catalogs, read, request and keys")]
pub struct UnknownScope;

impl FromStr for KeyScope {
    type Err = UnknownScope;

    fn from_str(text: &str) -> Result<Self, UnknownScope> {
        Self::ALL.into_iter().find(|scope| scope.to_string() == text).ok_or(UnknownScope)
    }
}
