//! A whole catalog as customers read it: the value that is cached.

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::item::{CatalogItem, ItemStatus};

/// Number of the schema of [`CatalogSnapshot`] in the cache: a change of the types below, or of the items' public form, needs
/// another one.
pub(super) const SCHEMA: u32 = 1;

/// All items of a catalog, by id. Each is rendered when the table is read, so that a hit copies text and builds none.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CatalogSnapshot {
    /// Items, retired ones included, in the order of their ids.
    pub items: Vec<SnapshotItem>,
}

/// Item of a snapshot.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SnapshotItem {
    /// Id.
    pub id: String,
    /// Category.
    pub category: String,
    /// True if lists name the item: it is not retired.
    pub is_listed: bool,
    /// First bytes of the body's SHA-256, for entity tags.
    pub tag: u64,
    /// Item as JSON.
    pub body: String,
}

impl CatalogSnapshot {
    /// Renders the items of a catalog.
    pub fn new(mut items: Vec<CatalogItem>) -> Self {
        items.sort_by(|one, other| one.id.cmp(&other.id));
        Self { items: items.iter().map(SnapshotItem::new).collect() }
    }

    /// Returns the item with the given id, retired or not.
    pub fn item(&self, id: &str) -> Option<&SnapshotItem> {
        let at = self.items.binary_search_by(|item| item.id.as_str().cmp(id)).ok()?;
        self.items.get(at)
    }
}

impl SnapshotItem {
    fn new(item: &CatalogItem) -> Self {
        let body = item.public().to_string();
        let tag = first_bytes(Sha256::digest(&body).as_slice());
        let is_listed = item.status != ItemStatus::Retired;
        Self { id: item.id.clone(), category: item.category.clone(), is_listed, tag, body }
    }

    /// Returns the entity tag of the item (RFC 9110 section 8.8.3): the same body has the same tag.
    pub fn etag(&self) -> String {
        format!("\"{:016x}\"", self.tag)
    }
}

/// Returns the first eight bytes as a number.
pub(super) fn first_bytes(bytes: &[u8]) -> u64 {
    bytes.iter().take(8).fold(0, |number, byte| number << 8 | u64::from(*byte))
}
