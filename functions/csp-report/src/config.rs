//! Configuration of the intake, and the state that an environment keeps between requests.

use std::sync::Arc;

use levee::clock::Clock;
use levee::config::Reader;
use levee::csp::counter::CspBounds;
use levee::csp::{Counter, CspTable, Projects};
use levee::function::Common;
use levee::http::address::{InvalidProxySecret, parse_proxy_secret};
use levee::http::{AddressKey, InvalidAddressKey};
use levee::stores::dynamodb;
use levee::stores::redis::{Redis, RedisConfig};
use levee::stores::secrets::{SecretError, SecretRef};

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
    /// `ADDRESS_KEY`: the secret with which networks are turned into pseudonyms, or the ARN of the secret that holds it.
    pub address_key: SecretRef,
    /// `PROXY_SECRET`: the secret by which the platform's own proxy proves itself, or the ARN of the secret that holds
    /// it. Default: no proxy is trusted.
    pub proxy_secret: Option<SecretRef>,
}

impl CspReportConfig {
    /// Reads the variables that the fields name.
    pub fn read(reader: &mut Reader<'_>) -> Self {
        Self {
            common: Common::read(reader),
            redis: RedisConfig::read(reader),
            bounds: CspBounds::read(reader),
            csp_table: reader.required("CSP_TABLE"),
            address_key: SecretRef::new(reader.required("ADDRESS_KEY")),
            proxy_secret: reader.optional("PROXY_SECRET").map(SecretRef::new),
        }
    }
}

/// State that one environment keeps between requests.
pub struct CspReportState {
    pub(crate) clock: Clock,
    pub(crate) counter: Counter,
    pub(crate) projects: Projects,
    pub(crate) address_key: AddressKey,
    pub(crate) proxy_secret: Option<String>,
}

/// Error at the start of the intake.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// A secret could not be fetched.
    #[error(transparent)]
    Secret(#[from] SecretError),
    /// The key of client addresses is invalid.
    #[error(transparent)]
    AddressKey(#[from] InvalidAddressKey),
    /// The secret of the platform's own proxy is invalid.
    #[error(transparent)]
    ProxySecret(#[from] InvalidProxySecret),
}

impl CspReportState {
    /// Fetches the secrets and reads the projects. A store that cannot be reached yet does not prevent the start.
    ///
    /// # Errors
    /// Returns [`StartError`] if a secret cannot be fetched or is malformed.
    pub async fn new(config: CspReportConfig) -> Result<Self, StartError> {
        let Common { clock, dynamodb, .. } = config.common;
        let projects = Projects::new(CspTable::new(dynamodb::client(&dynamodb), config.csp_table));
        // Do everything that needs a handshake concurrently. The matcher's expressions are compiled meanwhile.
        let aws = &dynamodb.aws;
        let proxy_secret = async {
            match &config.proxy_secret {
                None => Ok(None),
                Some(secret) => Ok::<_, StartError>(Some(parse_proxy_secret(&secret.resolve(aws).await?)?)),
            }
        };
        let (proxy_secret, address_key, _read) =
            tokio::join!(proxy_secret, config.address_key.resolve(aws), projects.rules(None, None));
        levee::csp::judge::prepare();
        Ok(Self {
            clock,
            counter: Counter::new(Arc::new(Redis::new(config.redis)), config.bounds),
            projects,
            address_key: AddressKey::new(&address_key?)?,
            proxy_secret: proxy_secret?,
        })
    }
}
