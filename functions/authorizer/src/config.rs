//! Configuration of the authorizer, and the state that an environment keeps between calls.

use levee::accounts::pepper_source::PepperError;
use levee::accounts::{AccountsTable, Directory, PepperSource};
use levee::config::Reader;
use levee::function::Common;
use levee::http::{ClientSecrets, ClientSecretsConfig, ClientSecretsError};
use levee::limits::{Limiter, LimitsConfig};
use levee::metering::CapConfig;
use levee::stores::dynamodb;
use levee::stores::redis::{Redis, RedisConfig};
use levee::stores::secrets::SecretRef;

/// Configuration of the authorizer.
pub struct AuthorizerConfig {
    /// Configuration that all functions share.
    pub common: Common,
    /// Redis, which counts calls.
    pub redis: RedisConfig,
    /// Policies of limits.
    pub limits: LimitsConfig,
    /// Token cap of accounts that have none of their own.
    pub cap: CapConfig,
    /// `ACCOUNTS_TABLE`: the table of accounts, integrations and keys.
    pub accounts_table: String,
    /// `KEY_ENVIRONMENT`: the environment whose keys are accepted, the second part of a key. Default `live`.
    pub key_environment: String,
    /// `KEY_PEPPERS`: the peppers as JSON, or the ARN of the secret that holds them.
    pub peppers: SecretRef,
    /// Secrets by which clients are told apart.
    pub client_secrets: ClientSecretsConfig,
}

impl AuthorizerConfig {
    /// Reads the variables that the fields name.
    pub fn read(reader: &mut Reader<'_>) -> Self {
        Self {
            common: Common::read(reader),
            redis: RedisConfig::read(reader),
            limits: LimitsConfig::read(reader),
            cap: CapConfig::read(reader),
            accounts_table: reader.required("ACCOUNTS_TABLE"),
            key_environment: reader.optional("KEY_ENVIRONMENT").unwrap_or_else(|| "live".to_owned()),
            peppers: SecretRef::new(reader.required("KEY_PEPPERS")),
            client_secrets: ClientSecretsConfig::read(reader),
        }
    }
}

/// State that one environment keeps between calls.
pub struct AuthorizerState {
    pub(crate) directory: Directory,
    pub(crate) limiter: Limiter,
    pub(crate) limits: LimitsConfig,
    pub(crate) cap: CapConfig,
    pub(crate) peppers: PepperSource,
    pub(crate) key_environment: String,
    pub(crate) client_secrets: ClientSecrets,
}

/// Error at the start of the authorizer.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The peppers could not be parsed.
    #[error(transparent)]
    Peppers(#[from] PepperError),
    /// A secret about clients could not be fetched or is invalid.
    #[error(transparent)]
    ClientSecrets(#[from] ClientSecretsError),
}

impl AuthorizerState {
    /// Fetches the secrets and connects to the stores. A store that cannot be reached yet does not prevent the start.
    ///
    /// # Errors
    /// Returns [`StartError`] if a secret cannot be fetched or is malformed.
    pub async fn new(config: AuthorizerConfig) -> Result<Self, StartError> {
        let Common { clock, dynamodb, .. } = config.common;
        let table = AccountsTable::new(dynamodb::client(&dynamodb), config.accounts_table);
        let directory = Directory::new(table, dynamodb.timeout);
        let limiter = Limiter::new(Redis::new(config.redis), clock, config.limits.degraded);

        // Do everything that needs a handshake concurrently: a starting function has a whole CPU and no caller waiting.
        let aws = &dynamodb.aws;
        let peppers = PepperSource::read(config.peppers, aws.clone(), limiter.now());
        let client_secrets = config.client_secrets.resolve(aws);
        let (peppers, client_secrets, (), ()) =
            tokio::join!(peppers, client_secrets, directory.warm_up(limiter.now()), limiter.warm_up());
        Ok(Self {
            directory,
            limiter,
            peppers: peppers?,
            client_secrets: client_secrets?,
            limits: config.limits,
            cap: config.cap,
            key_environment: config.key_environment,
        })
    }
}
