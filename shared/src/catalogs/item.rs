//! Items of catalogs.

use std::fmt;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::clock::Timestamp;

/// Item of a catalog, in its stored form. [`form`](super::form) has the rules of each field.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CatalogItem {
    /// Id, unique within the catalog.
    pub id: String,
    /// Display name.
    pub name: String,
    /// Description in a few sentences.
    pub summary: String,
    /// Category, by which customers filter.
    pub category: String,
    /// Version of the module, the pack or the provider.
    pub version: String,
    /// Status. Default: available.
    #[serde(default)]
    pub status: ItemStatus,
    /// Publisher.
    pub publisher: Publisher,
    /// Links to documentation and the like.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub links: Vec<ItemLink>,
    /// Other items, or parts of the platform, that the item needs.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub requirements: Vec<Requirement>,
    /// Number of writes of the item; 0 if it was never written. A write names the revision that it replaces.
    #[serde(default)]
    pub revision: u64,
    /// Time of the last write, Unix seconds.
    #[serde(default)]
    pub updated_at: u64,
}

/// Status of an item.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ItemStatus {
    /// Offered.
    #[default]
    Available,
    /// Offered for trial.
    Beta,
    /// Still offered, but not for new use.
    Deprecated,
    /// No longer listed. It can be read by its id, by accounts that still use it.
    Retired,
}

impl ItemStatus {
    /// Every status.
    pub const ALL: [Self; 4] = [Self::Available, Self::Beta, Self::Deprecated, Self::Retired];
}

impl fmt::Display for ItemStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Available => "available",
            Self::Beta => "beta",
            Self::Deprecated => "deprecated",
            Self::Retired => "retired",
        })
    }
}

/// Publisher of an item.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Publisher {
    /// Display name.
    pub name: String,
    /// Website.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
}

/// ItemLink of an item.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ItemLink {
    /// Purpose of the link, such as `documentation`.
    pub rel: String,
    /// Address.
    pub url: String,
}

/// Requirement of an item.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Requirement {
    /// Id of the required item or part of the platform.
    pub id: String,
    /// Required version, such as `>=2.1`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
}

impl CatalogItem {
    /// Returns the fields that an admin writes, as JSON: without revision and time.
    pub fn content(&self) -> Value {
        let Self { id, name, summary, category, version, status, publisher, links, requirements, .. } = self;
        json!({
            "id": id, "name": name, "summary": summary, "category": category, "version": version, "status": status,
            "publisher": publisher, "links": links, "requirements": requirements,
        })
    }

    /// Returns the item as customers read it.
    pub fn public(&self) -> Value {
        let mut public = self.content();
        public["updated_at"] = json!(Timestamp::from_secs(self.updated_at).to_rfc3339());
        public
    }

    /// Returns the size that counts against the limits of items and catalogs, bytes.
    pub fn bytes(&self) -> usize {
        self.public().to_string().len()
    }

    /// Returns true if an admin wrote the same into both items.
    pub fn is_same(&self, other: &Self) -> bool {
        self.content() == other.content()
    }
}
