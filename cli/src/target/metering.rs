//! Usage of a stack: its table, and the functions' configuration about it.

use std::collections::BTreeMap;

use aws_sdk_dynamodb::Client;
use levee::config;
use levee::metering::prices::Prices;
use levee::metering::{CapConfig, Counts, Ledger, Months};

use super::{DYNAMODB_TIMEOUT, Target};

pub(super) struct MeteringPlace {
    pub(super) client: Client,
    pub(super) table: String,
    /// Variables of the functions, by name.
    pub(super) variables: BTreeMap<String, String>,
}

/// Configuration of the functions about usage.
#[derive(Debug)]
pub(crate) struct MeteringConfig {
    /// Cap of accounts that have none of their own.
    pub(crate) cap: CapConfig,
    /// Kinds of tokens that count against caps.
    pub(crate) counts: Counts,
    /// Prices of models.
    pub(crate) prices: Prices,
}

impl Target {
    /// Reads the functions' configuration about usage. Only commands about usage need it.
    pub(crate) fn metering_config(&self) -> anyhow::Result<MeteringConfig> {
        let lookup = |name: &str| self.metering.variables.get(name).cloned();
        let read = |reader: &mut config::Reader<'_>| MeteringConfig {
            cap: CapConfig::read(reader),
            counts: Counts::read(reader),
            prices: Prices::read(reader),
        };
        Ok(config::from_lookup(lookup, read)?)
    }

    /// Creates the reader of monthly sums.
    pub(crate) fn months(&self) -> Months {
        Months::new(self.metering.client.clone(), &self.metering.table)
    }

    /// Creates a ledger, which reads and writes records. Each ledger begins with a random shard.
    pub(crate) fn ledger(&self) -> Ledger {
        Ledger::new(self.metering.client.clone(), &self.metering.table, DYNAMODB_TIMEOUT)
    }
}
