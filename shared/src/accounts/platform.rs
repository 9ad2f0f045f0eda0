//! What an admin changed for everyone: other default limits, and who is blocked.

use std::fmt;
use std::net::IpAddr;

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

use super::form::canonical;
use super::table::{AccountsTable, TableError, defaults_key, from_item};
use crate::clock::Timestamp;
use crate::limits::Overrides;

/// The most blocks that there may be.
pub const MOST_BLOCKS: usize = 500;

/// What holds for everyone.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Platform {
    /// Rises with every change.
    pub version: u64,
    /// Other default limits.
    pub limits: Overrides,
    /// Who is refused.
    pub blocks: Vec<Block>,
}

/// Somebody whose calls are refused: of an account, those with its keys; of a network, those and sign-ins.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Block {
    /// Who.
    pub subject: Blocked,
    /// When it ends by itself, Unix seconds; `None` for never.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<u64>,
    /// Why, for operators; the blocked are not told.
    pub reason: String,
    /// When it began, Unix seconds.
    pub created_at: u64,
}

/// Who is blocked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Blocked {
    /// Client addresses.
    Network(IpNet),
    /// An account, by its id.
    Account(String),
}

/// Writes the network or the id; neither can be taken for the other.
impl fmt::Display for Blocked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Network(network) => network.fmt(f),
            Self::Account(account) => f.write_str(account),
        }
    }
}

impl Blocked {
    /// The same written in one way: networks without what lies beyond their prefix, and as IPv4 where they stand for
    /// that.
    #[must_use]
    pub fn canonical(&self) -> Self {
        match self {
            Self::Network(network) => Self::Network(canonical(*network)),
            Self::Account(_) => self.clone(),
        }
    }
}

impl Block {
    /// Whether it holds at `now`.
    pub fn is_live(&self, now: Timestamp) -> bool {
        self.until.is_none_or(|until| now.as_secs() < until)
    }
}

impl Platform {
    /// The block that `address` falls under at `now`; an IPv4 address may come mapped to IPv6.
    pub fn block_of_address(&self, address: IpAddr, now: Timestamp) -> Option<&Block> {
        let address = address.to_canonical();
        self.live(now).find(|block| matches!(&block.subject, Blocked::Network(network) if network.contains(&address)))
    }

    /// The block of an account at `now`.
    pub fn block_of_account(&self, account: &str, now: Timestamp) -> Option<&Block> {
        self.live(now).find(|block| matches!(&block.subject, Blocked::Account(blocked) if blocked == account))
    }

    fn live(&self, now: Timestamp) -> impl Iterator<Item = &Block> {
        self.blocks.iter().filter(move |block| block.is_live(now))
    }
}

/// What is stored of it, but for blocks.
#[derive(Deserialize)]
struct Defaults {
    #[serde(default)]
    version: u64,
    #[serde(default)]
    limits: Overrides,
}

impl AccountsTable {
    /// What holds for everyone, as it is now; blocks that are over are among it until they are deleted. A block that
    /// cannot be read is left out rather than taking the others with it.
    ///
    /// # Errors
    /// [`TableError`] when the table cannot be read, or the limits are none.
    pub async fn platform(&self) -> Result<Platform, TableError> {
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
