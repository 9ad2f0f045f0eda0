//! What the proxy is configured with, and what it holds between calls.

use levee::clock::Clock;
use levee::config::Reader;
use levee::metering::Ledger;
use levee::stores::dynamodb::{self, DynamoDbConfig};
use levee::stores::secrets::SecretError;

use crate::providers::{Provider, ProviderConfig, parse_providers};
use crate::timeouts::Timeouts;

/// The proxy's configuration.
#[derive(Debug)]
pub struct Config {
    /// The clock.
    pub clock: Clock,
    /// DynamoDB.
    pub dynamodb: DynamoDbConfig,
    /// `USAGE_TABLE`: the table of calls and monthly sums.
    pub usage_table: String,
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
            clock: Clock::read(reader),
            dynamodb: DynamoDbConfig::read(reader),
            usage_table: reader.required("USAGE_TABLE"),
            providers: reader.parsed("AI_PROVIDERS", parse_providers).unwrap_or_default(),
            timeouts: Timeouts::read(reader),
        }
    }
}

/// What one environment holds between calls.
pub struct State {
    pub(crate) clock: Clock,
    pub(crate) ledger: Ledger,
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
    /// Fetches the providers' keys and makes the clients, which connect when first used.
    ///
    /// # Errors
    /// When a key cannot be fetched or cannot stand in a header.
    pub async fn new(config: Config) -> Result<Self, StartError> {
        let Some(first) = config.providers.first() else {
            return Err(StartError::Provider("names no provider".to_owned()));
        };
        let provider = Provider::new(first, &config.dynamodb.aws, &config.timeouts).await?;
        Ok(Self {
            clock: config.clock,
            ledger: Ledger::new(dynamodb::client(&config.dynamodb), config.usage_table, config.dynamodb.timeout),
            provider,
            timeouts: config.timeouts,
        })
    }
}
