//! Configuration of the intake, and the state that an environment keeps between requests.

use std::sync::Arc;

use levee::clock::Clock;
use levee::config::Reader;
use levee::csp::counter::CspBounds;
use levee::csp::{Counter, CspTable, Projects};
use levee::function::Common;
use levee::http::{ClientSecrets, ClientSecretsConfig, ClientSecretsError};
use levee::stores::dynamodb;
use levee::stores::redis::{Redis, RedisConfig};

/// Configuration of the intake.
pub struct CspReportConfig {
    /// Configuration that all functions share.
    pub common: Common,
    /// Redis, which counts reports.
    pub redis: RedisConfig,
    /// Bounds of what strangers may store.
    pub bounds: CspBounds,
    /// `CSP_TABLE`: the table of projects, groups and counts.
    pub csp_table: String,
    /// Secrets by which senders are told apart.
    pub client_secrets: ClientSecretsConfig,
}

impl CspReportConfig {
    /// Reads the variables that the fields name.
    pub fn read(reader: &mut Reader<'_>) -> Self {
        Self {
            common: Common::read(reader),
            redis: RedisConfig::read(reader),
            bounds: CspBounds::read(reader),
            csp_table: reader.required("CSP_TABLE"),
            client_secrets: ClientSecretsConfig::read(reader),
        }
    }
}

/// State that one environment keeps between requests.
pub struct CspReportState {
    pub(crate) clock: Clock,
    pub(crate) counter: Counter,
    pub(crate) projects: Projects,
    pub(crate) client_secrets: ClientSecrets,
}

impl CspReportState {
    /// Fetches the secrets and reads the projects. A store that cannot be reached yet does not prevent the start.
    ///
    /// # Errors
    /// Returns [`ClientSecretsError`] if a secret cannot be fetched or is malformed.
    pub async fn new(config: CspReportConfig) -> Result<Self, ClientSecretsError> {
        let Common { clock, dynamodb, .. } = config.common;
        let projects = Projects::new(CspTable::new(dynamodb::client(&dynamodb), config.csp_table));
        // Do everything that needs a handshake concurrently. The matcher's expressions are compiled meanwhile.
        let (client_secrets, _read) =
            tokio::join!(config.client_secrets.resolve(&dynamodb.aws), projects.rules(None, None));
        levee::csp::judge::prepare();
        Ok(Self {
            clock,
            counter: Counter::new(Arc::new(Redis::new(config.redis)), config.bounds),
            projects,
            client_secrets: client_secrets?,
        })
    }
}
