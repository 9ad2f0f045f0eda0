//! Overrides: an admin's changes to policies, for the whole platform, an account, an integration or a key.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::policy::{Mode, Scope};
use crate::clock::Timestamp;

/// How many policies may be overridden in one place.
pub const MOST_OVERRIDES: usize = 16;

/// Overrides by the policy's name.
pub type Overrides = BTreeMap<String, Override>;

/// A change to one policy. What is `None` stays as it is.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Override {
    /// Another limit; at least 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit: Option<u64>,
    /// The policy does not apply at all.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub exempt: bool,
    /// Another mode.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mode: Option<Mode>,
    /// When the change ends by itself, Unix seconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<u64>,
}

impl Override {
    /// Whether it holds at `now`.
    pub fn is_live(&self, now: Timestamp) -> bool {
        self.until.is_none_or(|until| now.as_secs() < until)
    }
}

/// Where an override is set; each narrower place wins over the wider ones.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// For everyone.
    Platform,
    /// For one account.
    Account,
    /// For one integration.
    Integration,
    /// For one key.
    Key,
}

impl Level {
    /// Returns true where a policy of `scope` can be overridden here: a count that others share cannot have a limit of
    /// one's own. Per client address, an override of an integration or a key has a count of its own.
    pub fn may_override(self, scope: Scope) -> bool {
        match self {
            Self::Platform => scope != Scope::Share,
            Self::Account => !matches!(scope, Scope::Share | Scope::Global),
            Self::Integration => matches!(scope, Scope::Integration | Scope::Key | Scope::ClientAddress),
            Self::Key => matches!(scope, Scope::Key | Scope::ClientAddress),
        }
    }
}
