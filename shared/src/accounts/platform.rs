//! Platform-wide changes by admins: other default limits, and blocks.

use std::fmt;
use std::net::IpAddr;

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

use super::form::canonical;
use super::table::{AccountsTable, AccountsTableError, defaults_key, from_item};
use crate::clock::Timestamp;
use crate::limits::Overrides;

/// Largest number of blocks.
pub const MOST_BLOCKS: usize = 500;

/// Platform-wide overrides and blocks.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Platform {
    /// Version, which rises with every change.
    pub version: u64,
    /// Overrides of the default limits.
    pub limits: Overrides,
    /// Blocks, including expired ones that were not deleted yet.
    pub blocks: Vec<Block>,
}

/// Block of an account or a network. A blocked account's calls are refused. So is every request from a blocked
/// network that the authorizer sees, sign-ins included.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Block {
    /// Blocked account or network.
    pub subject: Blocked,
    /// Time at which the block ends, Unix seconds; `None` if it does not end by itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<u64>,
    /// Reason, for operators. Blocked clients do not see it.
    pub reason: String,
    /// Creation time, Unix seconds.
    pub created_at: u64,
}

/// Subject of a block.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Blocked {
    /// A network of client addresses.
    Network(IpNet),
    /// An account, by its id.
    Account(String),
}

/// Writes the network or the id. An id has no `/`, so the two cannot be confused.
impl fmt::Display for Blocked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Network(network) => network.fmt(f),
            Self::Account(account) => f.write_str(account),
        }
    }
}

impl Blocked {
    /// Returns the canonical form: a network without the bits beyond its prefix, and as IPv4 if it is IPv4-mapped.
    #[must_use]
    pub fn canonical(&self) -> Self {
        match self {
            Self::Network(network) => Self::Network(canonical(*network)),
            Self::Account(_) => self.clone(),
        }
    }
}

impl Block {
    /// Returns true if the block is in force at `now`.
    pub fn is_live(&self, now: Timestamp) -> bool {
        self.until.is_none_or(|until| now.as_secs() < until)
    }
}

impl Platform {
    /// Returns the block that applies to `address` at `now`. The address may be an IPv4-mapped IPv6 address.
    pub fn block_of_address(&self, address: IpAddr, now: Timestamp) -> Option<&Block> {
        let address = address.to_canonical();
        self.live(now).find(|block| matches!(&block.subject, Blocked::Network(network) if network.contains(&address)))
    }

    /// Returns the block that applies to an account at `now`.
    pub fn block_of_account(&self, account: &str, now: Timestamp) -> Option<&Block> {
        self.live(now).find(|block| matches!(&block.subject, Blocked::Account(blocked) if blocked == account))
    }

    fn live(&self, now: Timestamp) -> impl Iterator<Item = &Block> {
        self.blocks.iter().filter(move |block| block.is_live(now))
    }
}

/// Stored form of the platform-wide item, which holds no blocks.
#[derive(Deserialize)]
struct Defaults {
    #[serde(default)]
    version: u64,
    #[serde(default)]
    limits: Overrides,
}

impl AccountsTable {
    /// Reads the platform-wide overrides and blocks consistently. Expired blocks are included until they are deleted.
    /// A block that cannot be read is logged and left out, so that the others still apply.
    ///
    /// # Errors
    /// [`AccountsTableError`] if the table cannot be read, or the limits are malformed.
    pub async fn platform(&self) -> Result<Platform, AccountsTableError> {
        let (items, _) = self.of_platform(MOST_BLOCKS + 1).await?;
        let mut platform = Platform::default();
        for item in items {
            if item.get("sk") == defaults_key().get("sk") {
                let Defaults { version, limits } = from_item(item)?;
                (platform.version, platform.limits) = (version, limits);
                continue;
            }
            match from_item(item) {
                Ok(block) => platform.blocks.push(block),
                Err(error) => tracing::error!(code = "accounts.odd_block", %error, "a block cannot be read"),
            }
        }
        // Restore ascending order.
        platform.blocks.reverse();
        Ok(platform)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp::from_secs(1_700_000_000);

    fn block(subject: Blocked, until: Option<u64>) -> Block {
        Block { subject, until, reason: "scraping".to_owned(), created_at: NOW.as_secs() }
    }

    #[test]
    fn an_address_is_blocked_by_its_network_however_it_is_written_and_until_that_is_over() {
        let network = |text: &str| Blocked::Network(text.parse().unwrap());
        let blocks = vec![
            block(network("203.0.113.0/24"), None),
            block(network("2001:db8:1::/48"), Some(NOW.as_secs() + 1)),
            block(network("198.51.100.7/32"), Some(NOW.as_secs())),
        ];
        let platform = Platform { blocks, ..Platform::default() };
        let is_blocked = |address: &str| platform.block_of_address(address.parse().unwrap(), NOW).is_some();
        for address in ["203.0.113.9", "::ffff:203.0.113.9", "2001:db8:1:2::3"] {
            assert!(is_blocked(address), "{address}");
        }
        for address in ["203.0.114.9", "::ffff:203.0.114.9", "2001:db8:2::3", "198.51.100.7"] {
            assert!(!is_blocked(address), "{address}");
        }
    }

    #[test]
    fn an_account_is_blocked_by_its_whole_id() {
        let platform =
            Platform { blocks: vec![block(Blocked::Account("acme".to_owned()), None)], ..Platform::default() };
        assert!(platform.block_of_account("acme", NOW).is_some());
        assert!(platform.block_of_account("acme-2", NOW).is_none());
    }

    #[test]
    fn a_block_is_stored_under_who_it_is_about() {
        let stored = serde_json::to_value(block(Blocked::Account("acme".to_owned()), None)).unwrap();
        let expected = serde_json::json!({
            "subject": { "account": "acme" }, "reason": "scraping", "created_at": NOW.as_secs(),
        });
        assert_eq!(stored, expected);
        let network = Blocked::Network("::ffff:10.1.2.3/104".parse().unwrap());
        assert_eq!(network.canonical().to_string(), "10.0.0.0/8");
    }
}
