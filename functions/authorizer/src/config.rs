//! Configuration of the authorizer, and the state that an environment keeps between calls.

use levee::accounts::pepper_source::PepperError;
use levee::accounts::{AccountsTable, Directory, PepperSource};
use levee::config::Reader;
use levee::function::Common;
use levee::http::address::{InvalidProxySecret, parse_proxy_secret};
use levee::http::{AddressKey, InvalidAddressKey};
use levee::limits::{Limiter, LimitsConfig};
use levee::metering::CapConfig;
use levee::stores::dynamodb;
use levee::stores::redis::{Redis, RedisConfig};
use levee::stores::secrets::{SecretError, SecretRef};

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
    /// `ADDRESS_KEY`: the secret with which client addresses are turned into pseudonyms, or the ARN of the secret that
    /// holds it.
    pub address_key: SecretRef,
    /// `PROXY_SECRET`: the secret by which the platform's own proxy proves itself, or the ARN of the secret that holds
    /// it. Default: no proxy is trusted.
    pub proxy_secret: Option<SecretRef>,
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
            address_key: SecretRef::new(reader.required("ADDRESS_KEY")),
            proxy_secret: reader.optional("PROXY_SECRET").map(SecretRef::new),
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
    pub(crate) address_key: AddressKey,
    pub(crate) proxy_secret: Option<String>,
}

/// Error at the start of the authorizer.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// A secret could not be fetched.
    #[error(transparent)]
    Secret(#[from] SecretError),
    /// The peppers could not be parsed.
    #[error(transparent)]
    Peppers(#[from] PepperError),
    /// The key of client addresses is invalid.
    #[error(transparent)]
    AddressKey(#[from] InvalidAddressKey),
    /// The secret of the platform's own proxy is invalid.
    #[error(transparent)]
    ProxySecret(#[from] InvalidProxySecret),
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
        let proxy_secret = async {
            match &config.proxy_secret {
                None => Ok(None),
                Some(secret) => Ok::<_, StartError>(Some(parse_proxy_secret(&secret.resolve(aws).await?)?)),
            }
        };
        let peppers = PepperSource::read(config.peppers, aws.clone(), limiter.now());
        let address_key = config.address_key.resolve(aws);
        let (peppers, proxy_secret, address_key, (), ()) =
            tokio::join!(peppers, proxy_secret, address_key, directory.warm_up(limiter.now()), limiter.warm_up());
        Ok(Self {
            directory,
            limiter,
            peppers: peppers?,
            proxy_secret: proxy_secret?,
            address_key: AddressKey::new(&address_key?)?,
            limits: config.limits,
            cap: config.cap,
            key_environment: config.key_environment,
        })
    }
}
