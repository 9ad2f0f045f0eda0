//! What the customers' API is configured with, and what it holds between calls.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use levee::clock::Clock;
use levee::config::Reader;
use levee::function::Common;
use levee::http::AllowedOrigin;
use levee::metering::{Counts, Ledger, Months, OpenCalls, Prices};
use levee::stores::dynamodb;

use crate::cached::Cached;

/// The configuration.
pub struct Config {
    /// What all functions have.
    pub common: Common,
    /// `USAGE_TABLE`: the table of AI calls and monthly sums.
    pub usage_table: String,
    /// Which tokens count against caps.
    pub counts: Counts,
    /// What models cost.
    pub prices: Prices,
    /// The origin whose pages may call.
    pub allowed_origin: AllowedOrigin,
}

impl Config {
    /// Reads the variables named at the fields.
    pub fn read(reader: &mut Reader<'_>) -> Self {
        Self {
            common: Common::read(reader),
            usage_table: reader.required("USAGE_TABLE"),
            counts: Counts::read(reader),
            prices: Prices::read(reader),
            allowed_origin: AllowedOrigin::read(reader),
        }
    }
}

/// What one environment holds between calls.
pub struct State {
    pub(crate) clock: Clock,
    pub(crate) months: Months,
    pub(crate) ledger: Ledger,
    /// How many calls of all accounts are open.
    pub(crate) open: Cached<Arc<OpenCalls>>,
    pub(crate) counts: Counts,
    pub(crate) prices: Prices,
    pub(crate) allowed_origin: AllowedOrigin,
    /// How long the reads of one request may take.
    pub(crate) store_timeout: Duration,
}

impl State {
    /// Makes the clients, which connect when first used.
    ///
    /// # Errors
    /// Never.
    pub async fn new(config: Config) -> Result<Self, Infallible> {
        let Common { clock, dynamodb, .. } = config.common;
        let client = dynamodb::client(&dynamodb);
        Ok(Self {
            clock,
            months: Months::new(client.clone(), &config.usage_table),
            ledger: Ledger::new(client, config.usage_table, dynamodb.timeout),
            open: Cached::default(),
            counts: config.counts,
            prices: config.prices,
            allowed_origin: config.allowed_origin,
            store_timeout: dynamodb.timeout,
        })
    }
}
