//! Where a stack's usage is, and what its functions were told about it.

use std::collections::BTreeMap;

use aws_sdk_dynamodb::Client;
use levee::config;
use levee::metering::prices::Prices;
use levee::metering::{CapConfig, Counts, Ledger, Months};

use super::{DYNAMODB_TIMEOUT, Target};

pub(super) struct MeteringPlace {
    pub(super) client: Client,
    pub(super) table: String,
    /// By name.
    pub(super) variables: BTreeMap<String, String>,
}

/// What the functions were told about usage.
#[derive(Debug)]
pub(crate) struct MeteringConfig {
    /// The cap of accounts that have none of their own.
    pub(crate) cap: CapConfig,
    /// Which tokens count against caps.
    pub(crate) counts: Counts,
    /// What models cost.
    pub(crate) prices: Prices,
}

impl Target {
    /// What the functions were told about usage. Only commands about that read it.
    pub(crate) fn metering_config(&self) -> anyhow::Result<MeteringConfig> {
        let lookup = |name: &str| self.metering.variables.get(name).cloned();
        let read = |reader: &mut config::Reader<'_>| MeteringConfig {
            cap: CapConfig::read(reader),
            counts: Counts::read(reader),
            prices: Prices::read(reader),
        };
        Ok(config::from_lookup(lookup, read)?)
    }

    /// Reads sums.
    pub(crate) fn months(&self) -> Months {
        Months::new(self.metering.client.clone(), &self.metering.table)
    }

    /// Reads and writes records. Each ledger begins with a shard of its own choice.
    pub(crate) fn ledger(&self) -> Ledger {
        Ledger::new(self.metering.client.clone(), &self.metering.table, DYNAMODB_TIMEOUT)
    }
}
