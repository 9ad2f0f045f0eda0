//! Grants of an account: raised limits that followed from its requests.
//!
//! They are stored apart from the account's own record, so that the function that serves customers can write them and
//! nothing else about an account.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::form;
use crate::clock::Timestamp;
use crate::limits::{Grant, is_policy_name};

/// Largest number of grants of an account that are in force at the same time.
pub const MOST_GRANTS: usize = 16;

/// Subject of a grant: a policy of an account, or of one of its integrations.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct GrantSubject {
    /// Integration whose calls are counted; `None` for those of the account.
    pub integration: Option<String>,
    /// Name of the policy.
    pub policy: String,
}

/// Writes `account/account-day` or `integration/crm/integration`.
impl fmt::Display for GrantSubject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.integration {
            None => write!(f, "account/{}", self.policy),
            Some(integration) => write!(f, "integration/{integration}/{}", self.policy),
        }
    }
}

/// Error for a text that names no subject of a grant.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("names no policy of an account or an integration")]
pub struct InvalidGrantSubject;

impl FromStr for GrantSubject {
    type Err = InvalidGrantSubject;

    fn from_str(text: &str) -> Result<Self, InvalidGrantSubject> {
        let (integration, policy) = match *text.split('/').collect::<Vec<_>>() {
            ["account", policy] => (None, policy),
            ["integration", integration, policy] if form::id(integration).is_ok() => (Some(integration), policy),
            _ => return Err(InvalidGrantSubject),
        };
        if !is_policy_name(policy) {
            return Err(InvalidGrantSubject);
        }
        Ok(Self { integration: integration.map(str::to_owned), policy: policy.to_owned() })
    }
}

impl TryFrom<String> for GrantSubject {
    type Error = InvalidGrantSubject;

    fn try_from(text: String) -> Result<Self, InvalidGrantSubject> {
        text.parse()
    }
}

impl From<GrantSubject> for String {
    fn from(subject: GrantSubject) -> Self {
        subject.to_string()
    }
}

/// Grants of an account.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Grants {
    /// Version, which rises with every change; 0 if there was none.
    #[serde(default)]
    pub version: u64,
    /// Grants by their subject. Some may have ended.
    #[serde(default)]
    pub grants: BTreeMap<GrantSubject, Grant>,
}

impl Grants {
    /// Returns the grants that are in force at `now`.
    pub fn live(&self, now: Timestamp) -> impl Iterator<Item = (&GrantSubject, &Grant)> {
        self.grants.iter().filter(move |(_, grant)| grant.is_live(now))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_subject_is_read_as_it_is_written() {
        for text in ["account/account-day", "integration/crm/integration"] {
            assert_eq!(text.parse::<GrantSubject>().unwrap().to_string(), text);
        }
        for text in
            ["", "account", "account/", "account/A", "account/a/b", "integration/crm", "key/k/p", "integration//p"]
        {
            assert_eq!(text.parse::<GrantSubject>(), Err(InvalidGrantSubject), "{text}");
        }
    }
}
