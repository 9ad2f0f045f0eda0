//! The catalogs: the three lists that every account reads, of modules, starter packs and integration providers.
//!
//! Admins write [items](CatalogItem), which [`form`] checks, into the [table](CatalogsTable). A [`CatalogSnapshot`] is a whole
//! catalog as customers read it. [`Catalogs`] reads it through the [cache](crate::cache), one cached value for each
//! catalog, and [`CatalogSnapshot::page`] and [`CatalogSnapshot::item`] answer all requests from it. The rules are in docs/CATALOGS.md.
//!
//! Invariants: a catalog is bounded in items and bytes, so that it is read by one query and cached as one value. Every
//! write raises one version that all catalogs share; once it is [published](publish), every environment's next read is
//! at least as new. No item is deleted, only retired.
//!
//! Start reading at [`Catalogs::read`].

mod changes;
pub mod form;
mod item;
mod page;
pub mod plan;
mod publication;
mod reader;
mod snapshot;
mod table;

use std::fmt;
use std::str::FromStr;

pub use self::changes::{MOST_WRITES, OvertakenItem, WriteOutcome};
pub use self::item::{CatalogItem, ItemLink, ItemStatus, Publisher, Requirement};
pub use self::page::{CatalogPage, DEFAULT_PAGE, LARGEST_PAGE, PageQuery};
pub use self::publication::publish;
pub use self::reader::{CATALOG_SPACE, Catalogs};
pub use self::snapshot::{CatalogSnapshot, SnapshotItem};
pub use self::table::{CatalogsTable, CatalogsTableError, StoredCatalog};

/// Largest number of items in a catalog, retired ones included.
pub const MOST_ITEMS: usize = 500;
/// Largest size of an item as JSON, bytes.
pub const LARGEST_ITEM: usize = 8 * 1024;
/// Largest size of all items of a catalog as JSON, bytes: less than one query of DynamoDB returns, and less than the
/// cache stores.
pub const LARGEST_CATALOG: usize = 768 * 1024;

/// One of the catalogs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Catalog {
    /// Modules of the marketplace.
    Modules,
    /// Starter packs.
    StarterPacks,
    /// Providers that integrations connect to.
    IntegrationProviders,
}

impl Catalog {
    /// Every catalog.
    pub const ALL: [Self; 3] = [Self::Modules, Self::StarterPacks, Self::IntegrationProviders];

    /// Returns the name in paths, keys and commands.
    pub fn name(self) -> &'static str {
        match self {
            Self::Modules => "modules",
            Self::StarterPacks => "starter-packs",
            Self::IntegrationProviders => "integration-providers",
        }
    }
}

impl fmt::Display for Catalog {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Error for a text that names no catalog.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("there is no such catalog; the catalogs are modules, starter-packs and integration-providers")]
pub struct UnknownCatalog;

impl FromStr for Catalog {
    type Err = UnknownCatalog;

    fn from_str(text: &str) -> Result<Self, UnknownCatalog> {
        Self::ALL.into_iter().find(|catalog| catalog.name() == text).ok_or(UnknownCatalog)
    }
}
