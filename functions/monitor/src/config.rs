//! Configuration of the monitor, and the state that an environment keeps between runs.

use std::convert::Infallible;
use std::sync::Arc;

use levee::accounts::AccountsTable;
use levee::alerts::{Alerts, Sns, SnsConfig};
use levee::breadcrumbs::BreadcrumbTable;
use levee::breaker::BreakersTable;
use levee::catalogs::CatalogsTable;
use levee::clock::Clock;
use levee::config::Reader;
use levee::csp::{CspTable, Folder};
use levee::function::Common;
use levee::metering::Ledger;
use levee::statistics::{Statistics, StatisticsTable};
use levee::stores::dynamodb;
use levee::stores::redis::{Redis, RedisConfig};

use crate::judge::csp::CspThresholds;

/// Configuration of the monitor.
pub struct MonitorConfig {
    /// Configuration that all functions share.
    pub common: Common,
    /// Topic to which alerts are sent.
    pub sns: SnsConfig,
    /// Thresholds of alerts.
    pub thresholds: Thresholds,
    /// Redis, which holds the counters and tallies.
    pub redis: RedisConfig,
    /// `ACCOUNTS_TABLE`: the table of accounts.
    pub accounts_table: String,
    /// `ALERTS_TABLE`: the table of alerts.
    pub alerts_table: String,
    /// `BREAKERS_TABLE`: the table of decisions about providers.
    pub breakers_table: String,
    /// `CSP_TABLE`: the table of CSP projects, groups and counts.
    pub csp_table: String,
    /// Thresholds of alerts about CSP reports.
    pub csp_thresholds: CspThresholds,
    /// `CATALOGS_TABLE`: the table of catalogs.
    pub catalogs_table: String,
    /// `USAGE_TABLE`: the table of usage, which holds calls, their sums, and the statistics.
    pub usage_table: String,
}

/// Thresholds of alerts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Thresholds {
    /// `ALERT_ERRORS_PER_MINUTE`: number of errors of one code within one minute above which an alert is raised.
    /// Default 60, 1 to 1,000,000.
    pub errors_per_minute: u64,
}

impl MonitorConfig {
    /// Reads the variables that the fields name.
    pub fn read(reader: &mut Reader<'_>) -> Self {
        Self {
            common: Common::read(reader),
            sns: SnsConfig::read(reader),
            thresholds: Thresholds::read(reader),
            redis: RedisConfig::read(reader),
            accounts_table: reader.required("ACCOUNTS_TABLE"),
            alerts_table: reader.required("ALERTS_TABLE"),
            breakers_table: reader.required("BREAKERS_TABLE"),
            csp_table: reader.required("CSP_TABLE"),
            csp_thresholds: CspThresholds::read(reader),
            catalogs_table: reader.required("CATALOGS_TABLE"),
            usage_table: reader.required("USAGE_TABLE"),
        }
    }
}

impl Thresholds {
    /// Reads the variables that the fields name.
    pub fn read(reader: &mut Reader<'_>) -> Self {
        Self { errors_per_minute: reader.number("ALERT_ERRORS_PER_MINUTE", 60, 1..=1_000_000) }
    }
}

/// State that one environment keeps between runs.
pub struct MonitorState {
    pub(crate) clock: Clock,
    pub(crate) redis: Arc<Redis>,
    pub(crate) accounts: AccountsTable,
    pub(crate) statistics: Statistics,
    pub(crate) ledger: Ledger,
    pub(crate) breadcrumbs: BreadcrumbTable,
    pub(crate) breakers: BreakersTable,
    pub(crate) csp: CspTable,
    pub(crate) csp_folder: Folder,
    pub(crate) csp_thresholds: CspThresholds,
    pub(crate) catalogs: CatalogsTable,
    pub(crate) alerts: Alerts,
    pub(crate) sns: Sns,
    pub(crate) thresholds: Thresholds,
}

impl MonitorState {
    /// Builds the clients, which connect at their first use.
    ///
    /// # Errors
    /// Never fails. The signature is the one that every function's start has.
    pub async fn new(config: MonitorConfig) -> Result<Self, Infallible> {
        let breadcrumbs = config.common.breadcrumbs();
        let Common { clock, dynamodb, .. } = config.common;
        let client = dynamodb::client(&dynamodb);
        let redis = Arc::new(Redis::new(config.redis));
        let accounts = AccountsTable::new(client.clone(), config.accounts_table);
        let rows = StatisticsTable::new(client.clone(), config.usage_table.clone());
        let csp = CspTable::new(client.clone(), config.csp_table);
        Ok(Self {
            csp_folder: Folder::new(redis.clone(), csp.clone()),
            csp,
            csp_thresholds: config.csp_thresholds,
            statistics: Statistics::new(redis.clone(), clock.clone(), accounts.clone(), rows),
            ledger: Ledger::new(client.clone(), config.usage_table, dynamodb.timeout),
            clock,
            redis,
            accounts,
            breadcrumbs,
            breakers: BreakersTable::new(client.clone(), config.breakers_table),
            catalogs: CatalogsTable::new(client.clone(), config.catalogs_table),
            alerts: Alerts::new(client, config.alerts_table),
            sns: Sns::new(config.sns),
            thresholds: config.thresholds,
        })
    }
}
