//! Publishes a write: raises the marker that the authorizer reads with every request to a catalog.

use super::table::{CatalogsTable, CatalogsTableError};
use crate::limits::versions;
use crate::stores::redis::{Redis, Unavailable};

/// Errors of [`publish`]. An unpublished write is still noticed when the cached catalogs expire.
#[derive(Debug, thiserror::Error)]
pub enum CatalogPublicationError {
    /// The version could not be read.
    #[error(transparent)]
    Table(#[from] CatalogsTableError),
    /// The marker could not be written to Redis.
    #[error("Redis: {0}")]
    Redis(#[from] Unavailable),
}

/// Makes every environment notice the present state of all catalogs at its next request.
///
/// # Errors
/// [`CatalogPublicationError`]. The write itself stays in place.
pub async fn publish(table: &CatalogsTable, redis: &Redis) -> Result<(), CatalogPublicationError> {
    // Read the version, so that the marker never names one that the table does not have.
    let version = table.version().await?;
    Ok(versions::publish_catalogs(redis, version).await?)
}
