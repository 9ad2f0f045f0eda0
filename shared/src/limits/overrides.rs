//! Overrides: admins' changes to policies, for the whole platform, an account, an integration or a key.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::policy::{Mode, PolicyScope};
use crate::clock::Timestamp;

/// Largest number of policies overridden at one level's record.
pub const MOST_OVERRIDES: usize = 16;

/// Overrides by policy name.
pub type Overrides = BTreeMap<String, Override>;

/// Override of one policy. Fields that are `None` stay as they are.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Override {
    /// New limit; at least 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit: Option<u64>,
    /// True if the policy does not apply at all.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub exempt: bool,
    /// New mode.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mode: Option<Mode>,
    /// Time at which the override ends by itself, Unix seconds; `None` if it does not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<u64>,
    /// Grant for the same policy. It is stored apart from overrides, and ends by itself at its own time.
    #[serde(skip)]
    pub grant: Option<Grant>,
}

impl Override {
    /// Returns true if an admin's change is in force at `now`.
    pub fn is_live(&self, now: Timestamp) -> bool {
        let is_change = self.limit.is_some() || self.mode.is_some() || self.exempt;
        is_change && self.until.is_none_or(|until| now.as_secs() < until)
    }
}

/// Raised limit that a customer asked for. It raises the limit of the policy, however that was set, and never lowers it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Grant {
    /// Raised limit; at least 1.
    pub limit: u64,
    /// Time at which the grant ends by itself, Unix seconds; `None` if it does not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<u64>,
    /// Time of the grant, Unix seconds.
    pub granted_at: u64,
    /// Id of the request that it follows from.
    pub request: String,
}

impl Grant {
    /// Returns true if the grant is in force at `now`.
    pub fn is_live(&self, now: Timestamp) -> bool {
        self.until.is_none_or(|until| now.as_secs() < until)
    }
}

/// Level at which an override is set. A narrower level wins over a wider one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// The whole platform.
    Platform,
    /// One account.
    Account,
    /// One integration.
    Integration,
    /// One key.
    Key,
}

impl Level {
    /// Returns true if a policy of `scope` can be overridden at this level. A count that several callers share cannot
    /// have a limit of its own for one of them. For client addresses, an override of an integration or a key has a
    /// count of its own.
    pub fn may_override(self, scope: PolicyScope) -> bool {
        match self {
            Self::Platform => scope != PolicyScope::Share,
            Self::Account => !matches!(scope, PolicyScope::Share | PolicyScope::Global),
            Self::Integration => {
                matches!(scope, PolicyScope::Integration | PolicyScope::Key | PolicyScope::ClientAddress)
            }
            Self::Key => matches!(scope, PolicyScope::Key | PolicyScope::ClientAddress),
        }
    }
}
