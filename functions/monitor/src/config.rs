//! What the monitor is configured with, and what it holds between runs.

use std::convert::Infallible;

use levee::alerts::{Alerts, Sns, SnsConfig};
use levee::breadcrumbs::BreadcrumbTable;
use levee::clock::Clock;
use levee::config::Reader;
use levee::function::Common;
use levee::stores::dynamodb;

/// The monitor's configuration.
pub struct Config {
    /// What all functions have.
    pub common: Common,
    /// Where alerts go.
    pub sns: SnsConfig,
    /// What is worth an alert.
    pub thresholds: Thresholds,
    /// `ALERTS_TABLE`: the table of alerts.
    pub alerts_table: String,
}

/// What is worth an alert.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Thresholds {
    /// `ALERT_ERRORS_PER_MINUTE`: more errors of one code than that within one minute are an alert. Default 60, 1 to
    /// 1,000,000.
    pub errors_per_minute: u64,
}

impl Config {
    /// Reads the variables named at the fields.
    pub fn read(reader: &mut Reader<'_>) -> Self {
        Self {
            common: Common::read(reader),
            sns: SnsConfig::read(reader),
            thresholds: Thresholds::read(reader),
            alerts_table: reader.required("ALERTS_TABLE"),
        }
    }
}

impl Thresholds {
    /// Reads the variables named at the fields.
    pub fn read(reader: &mut Reader<'_>) -> Self {
        Self { errors_per_minute: reader.number("ALERT_ERRORS_PER_MINUTE", 60, 1..=1_000_000) }
    }
}

/// What one environment holds between runs.
pub struct State {
    pub(crate) clock: Clock,
    pub(crate) breadcrumbs: BreadcrumbTable,
    pub(crate) alerts: Alerts,
    pub(crate) sns: Sns,
    pub(crate) thresholds: Thresholds,
}

impl State {
    /// Opens no connection yet.
    ///
    /// # Errors
    /// None: the signature is that of every function's start.
    pub async fn new(config: Config) -> Result<Self, Infallible> {
        let breadcrumbs = config.common.breadcrumbs();
        let Common { clock, dynamodb, .. } = config.common;
        Ok(Self {
            clock,
            breadcrumbs,
            alerts: Alerts::new(dynamodb::client(&dynamodb), config.alerts_table),
            sns: Sns::new(config.sns),
            thresholds: config.thresholds,
        })
    }
}
