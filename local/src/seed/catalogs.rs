//! Catalogs of the demo. The files are as `levee catalog import` takes them.

use anyhow::{bail, ensure};
use levee::catalogs::plan::{ImportOptions, plan};
use levee::catalogs::{Catalog, CatalogItem, CatalogsTable, WriteOutcome};
use levee::clock::Timestamp;

/// Catalogs with their files.
const FILES: [(Catalog, &str); 3] = [
    (Catalog::Modules, include_str!("modules.json")),
    (Catalog::StarterPacks, include_str!("starter-packs.json")),
    (Catalog::IntegrationProviders, include_str!("integration-providers.json")),
];

/// Writes the items of all files into empty catalogs.
pub(super) async fn seed(table: &CatalogsTable, now: Timestamp) -> anyhow::Result<()> {
    for (catalog, file) in FILES {
        let items = items(catalog, file)?;
        let written = table.write(catalog, &items, now).await?;
        ensure!(matches!(written, WriteOutcome::Written(..)), "{catalog} is not empty");
    }
    Ok(())
}

fn items(catalog: Catalog, file: &str) -> anyhow::Result<Vec<CatalogItem>> {
    match plan(catalog, &[], &serde_json::from_str(file)?, ImportOptions::default()) {
        Ok(plan) => Ok(plan.changes.into_iter().map(|change| change.item).collect()),
        Err(mistakes) => bail!("the demo's {catalog}: {mistakes:?}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_demos_items_are_ones_that_an_admin_may_write() {
        for (catalog, file) in FILES {
            assert!(!items(catalog, file).unwrap().is_empty(), "{catalog}");
        }
    }
}
