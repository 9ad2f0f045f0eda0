//! What the proxy is configured with, and what it holds between calls.

use std::sync::Arc;

use levee::alerts::Alerts;
use levee::clock::Clock;
use levee::config::Reader;
use levee::function::Common;
use levee::limits::leases;
use levee::metering::{Counts, Ledger, Months, Told, View};
use levee::stores::dynamodb;
use levee::stores::redis::{Redis, RedisConfig};
use levee::stores::secrets::SecretError;

use crate::cap::Caps;
use crate::providers::{Provider, ProviderConfig, parse_providers};
use crate::timeouts::Timeouts;

/// The proxy's configuration.
pub struct Config {
    /// What all functions have.
    pub common: Common,
    /// Redis.
    pub redis: RedisConfig,
    /// `USAGE_TABLE`: the table of calls and monthly sums.
    pub usage_table: String,
    /// `ALERTS_TABLE`: the table of alerts.
    pub alerts_table: String,
    /// Which tokens count against caps.
    pub counts: Counts,
    /// `AI_PROVIDERS`: the providers in order of preference; see [`parse_providers`].
    pub providers: Vec<ProviderConfig>,
    /// How long to wait for a provider.
    pub timeouts: Timeouts,
}

impl Config {
    /// Reads the variables named at the fields.
    pub fn read(reader: &mut Reader<'_>) -> Self {
        reader.required("AI_PROVIDERS");
        Self {
            common: Common::read(reader),
            redis: RedisConfig::read(reader),
            usage_table: reader.required("USAGE_TABLE"),
            alerts_table: reader.required("ALERTS_TABLE"),
            counts: Counts::read(reader),
            providers: reader.parsed("AI_PROVIDERS", parse_providers).unwrap_or_default(),
            timeouts: Timeouts::read(reader),
        }
    }
}

/// What one environment holds between calls.
pub struct State {
    pub(crate) clock: Clock,
    pub(crate) ledger: Ledger,
    pub(crate) caps: Arc<Caps>,
    pub(crate) redis: Arc<Redis>,
    pub(crate) provider: Provider,
    pub(crate) timeouts: Timeouts,
}

/// Why the proxy could not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// A secret could not be fetched.
    #[error(transparent)]
    Secret(#[from] SecretError),
    /// The first provider is not usable.
    #[error("AI_PROVIDERS: {0}")]
    Provider(String),
}

impl State {
    /// Fetches the providers' keys, connects to DynamoDB and Redis, and makes the providers' clients, which connect when first
    /// used.
    ///
    /// # Errors
    /// When a key cannot be fetched or cannot stand in a header.
    pub async fn new(config: Config) -> Result<Self, StartError> {
        let Some(first) = config.providers.first() else {
            return Err(StartError::Provider("names no provider".to_owned()));
        };
        // What needs a handshake, at once: a starting function has a whole CPU and no caller waiting.
        let breadcrumbs = config.common.breadcrumbs();
        let Common { clock, dynamodb, .. } = config.common;
        let provider = Provider::new(first, &dynamodb.aws, &config.timeouts);
        let redis = Arc::new(Redis::new(config.redis));
        let (provider, (), ()) = tokio::join!(provider, breadcrumbs.warm_up(), leases::warm_up(&redis));
        let provider = provider?;
        let client = dynamodb::client(&dynamodb);
        let months = Months::new(client.clone(), &config.usage_table);
        let alerts = Alerts::new(client.clone(), config.alerts_table);
        let caps = Caps {
            view: View::new(redis.clone(), months, config.counts, dynamodb.timeout),
            told: Told::new(alerts, dynamodb.timeout),
            clock: clock.clone(),
        };
        Ok(Self {
            clock,
            ledger: Ledger::new(client, config.usage_table, dynamodb.timeout),
            caps: Arc::new(caps),
            redis,
            provider,
            timeouts: config.timeouts,
        })
    }
}
