//! Reading a catalog through the cache.

use std::sync::Arc;
use std::time::Duration;

use super::Catalog;
use super::snapshot::{CatalogSnapshot, SCHEMA};
use super::table::{CatalogsTable, CatalogsTableError};
use crate::cache::{Cache, CacheAnswer, CacheConfig, CacheSpace, SourceAnswer, SourceGone, SourceValue};
use crate::clock::Clock;
use crate::stores::redis::Redis;
use crate::stores::with_timeout;

/// Names in the keys of the cached catalogs.
pub const CATALOG_SPACE: CacheSpace = CacheSpace { name: "catalog", schema: SCHEMA };

/// The catalogs as an environment reads them.
pub struct Catalogs {
    table: CatalogsTable,
    cache: Cache<CatalogSnapshot>,
    timeout: Duration,
}

impl Catalogs {
    /// Creates a reader. No read of the table takes longer than `timeout`.
    pub fn new(table: CatalogsTable, redis: Arc<Redis>, clock: Clock, config: CacheConfig, timeout: Duration) -> Self {
        Self { table, cache: Cache::new(CATALOG_SPACE, redis, clock, config), timeout }
    }

    /// Connects to Redis ahead of the first request, whose budget is too short for a first TLS handshake on a small
    /// function. A failure has no effect, because the first request tries again.
    pub async fn warm_up(&self) {
        self.cache.warm_up().await;
    }

    /// Returns a catalog that is at least as new as `required`, the version that the authorizer read from the marker;
    /// `None` if it could not. A catalog without any item is an entry without a value.
    ///
    /// # Errors
    /// [`SourceGone`] if the table cannot be read, and no snapshot of the last 24 hours is cached.
    pub async fn read(
        &self,
        catalog: Catalog,
        required: Option<u64>,
    ) -> Result<CacheAnswer<CatalogSnapshot>, SourceGone> {
        let read = async |held: Option<u64>| with_timeout(self.timeout, Box::pin(self.source(catalog, held))).await;
        Box::pin(self.cache.get(catalog.name(), required, read)).await
    }

    /// Reads the table. If nothing was written since the version `held`, one small row says so.
    async fn source(
        &self,
        catalog: Catalog,
        held: Option<u64>,
    ) -> Result<SourceAnswer<CatalogSnapshot>, CatalogsTableError> {
        if let Some(held) = held
            && self.table.version().await? <= held
        {
            return Ok(SourceAnswer::Unchanged);
        }
        let stored = self.table.read(catalog).await?;
        let value = (stored.version > 0).then(|| CatalogSnapshot::new(stored.items));
        Ok(SourceAnswer::Value(SourceValue { value, version: stored.version }))
    }
}
