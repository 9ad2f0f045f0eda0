//! The proxy's configuration, and the state that it keeps between calls.

use std::sync::Arc;

use futures_util::future::try_join_all;
use levee::alerts::Alerts;
use levee::breaker::{Breakers, BreakersTable, Share};
use levee::clock::Clock;
use levee::config::Reader;
use levee::function::Common;
use levee::headroom::Headrooms;
use levee::http::AllowedOrigin;
use levee::limits::leases;
use levee::metering::{CapNotifier, Counts, Ledger, Months, UsageCache};
use levee::stores::dynamodb;
use levee::stores::redis::{Redis, RedisConfig};
use levee::stores::secrets::SecretError;

use crate::cap::CapService;
use crate::platform_alert::PlatformAlert;
use crate::providers::{Provider, ProviderConfig, parse_providers};
use crate::releases::Releases;
use crate::timeouts::Timeouts;

/// The proxy's configuration.
pub struct AiProxyConfig {
    /// Configuration common to all functions.
    pub common: Common,
    /// Configuration of Redis.
    pub redis: RedisConfig,
    /// `USAGE_TABLE`: name of the table of records and monthly sums.
    pub usage_table: String,
    /// `ALERTS_TABLE`: name of the table of alerts.
    pub alerts_table: String,
    /// `AI_TOKEN_CAP_COUNTS`: the tokens that count against caps.
    pub counts: Counts,
    /// `AI_PROVIDERS`: the providers in order of preference; see [`parse_providers`]. `AI_HTTP_HOSTS`: hosts,
    /// separated by commas, that may be called in plain HTTP, such as the stand-ins of the local stack. Default: none.
    pub providers: Vec<ProviderConfig>,
    /// `BREAKERS_TABLE`: name of the table of breakers.
    pub breakers_table: String,
    /// Rules for choosing a provider.
    pub routing: Routing,
    /// Time-outs of calls to providers.
    pub timeouts: Timeouts,
    /// Origin whose pages may call the API.
    pub allowed_origin: AllowedOrigin,
}

/// Rules for choosing a provider.
#[derive(Debug, Clone, Copy)]
pub struct Routing {
    /// `BREAKER_MODE`: `enforce` (default) or `dry-run`. In dry-run mode breakers decide and log their decisions, but
    /// calls are routed as if all providers were healthy.
    pub is_enforced: bool,
    /// `AI_WARM_PERCENT`: percentage of the sessions that go to the second provider while all is well, to keep it
    /// known as working. Default 1, 0 to 50.
    pub warm: Share,
    /// `AI_RETRY_BUDGET_PERCENT`: percentage of all calls, over the whole fleet, that may be retried at the same
    /// provider. Default 10, 0 to 100.
    pub retry_percent: u64,
}

impl Routing {
    fn read(reader: &mut Reader<'_>) -> Self {
        // At most 50, so the conversion cannot fail.
        let warm = u16::try_from(reader.number("AI_WARM_PERCENT", 1, 0..=50)).unwrap_or_default();
        Self {
            is_enforced: reader.parsed("BREAKER_MODE", parse_mode).unwrap_or(true),
            warm: Share::from_basis_points(warm * 100),
            retry_percent: reader.number("AI_RETRY_BUDGET_PERCENT", 10, 0..=100),
        }
    }
}

fn parse_mode(text: &str) -> Result<bool, &'static str> {
    match text {
        "enforce" => Ok(true),
        "dry-run" => Ok(false),
        _ => Err("must be enforce or dry-run"),
    }
}

impl AiProxyConfig {
    /// Reads the variables named at the fields.
    pub fn read(reader: &mut Reader<'_>) -> Self {
        reader.required("AI_PROVIDERS");
        // Read the hosts first, because the providers' URLs are checked against them.
        let http_hosts = reader.optional("AI_HTTP_HOSTS").unwrap_or_default();
        let http_hosts: Vec<String> = http_hosts.split(',').map(|host| host.trim().to_owned()).collect();
        Self {
            common: Common::read(reader),
            redis: RedisConfig::read(reader),
            usage_table: reader.required("USAGE_TABLE"),
            alerts_table: reader.required("ALERTS_TABLE"),
            counts: Counts::read(reader),
            providers: reader.parsed("AI_PROVIDERS", |text| parse_providers(text, &http_hosts)).unwrap_or_default(),
            breakers_table: reader.required("BREAKERS_TABLE"),
            routing: Routing::read(reader),
            timeouts: Timeouts::read(reader),
            allowed_origin: AllowedOrigin::read(reader),
        }
    }
}

/// State of one environment between calls.
pub struct ProxyState {
    pub(crate) clock: Clock,
    pub(crate) ledger: Ledger,
    pub(crate) caps: Arc<CapService>,
    pub(crate) redis: Arc<Redis>,
    pub(crate) releases: Arc<Releases>,
    pub(crate) headrooms: Arc<Headrooms>,
    pub(crate) providers: Vec<Provider>,
    pub(crate) breakers: Arc<Breakers>,
    pub(crate) routing: Routing,
    pub(crate) alarm: Arc<PlatformAlert>,
    pub(crate) timeouts: Timeouts,
    pub(crate) allowed_origin: AllowedOrigin,
}

/// Reason why the proxy could not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// A secret could not be fetched.
    #[error(transparent)]
    Secret(#[from] SecretError),
    /// A provider is not usable.
    #[error("AI_PROVIDERS: {0}")]
    Provider(String),
}

impl ProxyState {
    /// Fetches the providers' keys, connects to DynamoDB and Redis, and builds the providers' clients, which connect
    /// on first use.
    ///
    /// # Errors
    /// If no provider is configured, or a key cannot be fetched or cannot be sent in a header.
    pub async fn new(config: AiProxyConfig) -> Result<Self, StartError> {
        if config.providers.is_empty() {
            return Err(StartError::Provider("names no provider".to_owned()));
        }
        // Do everything that needs a handshake at once: a starting function has a whole CPU and no caller waiting.
        let breadcrumbs = config.common.breadcrumbs();
        let Common { clock, dynamodb, .. } = config.common;
        let providers =
            config.providers.iter().map(|provider| Provider::new(provider, &dynamodb.aws, &config.timeouts));
        let redis = Arc::new(Redis::new(config.redis));
        let (providers, (), ()) = tokio::join!(try_join_all(providers), breadcrumbs.warm_up(), leases::warm_up(&redis));
        let providers = providers?;
        let client = dynamodb::client(&dynamodb);
        // Build the stores, the breakers and the alerts on top of the clients.
        let months = Months::new(client.clone(), &config.usage_table);
        let alerts = Alerts::new(client.clone(), config.alerts_table);
        let breakers = Breakers::new(
            redis.clone(),
            BreakersTable::new(client.clone(), config.breakers_table),
            dynamodb.timeout,
            clock.clone(),
            "ai-proxy",
            providers.iter().map(|provider| provider.name.clone()).collect(),
        );
        let releases = Releases::new(redis.clone(), clock.clone());
        let alarm = PlatformAlert::new(alerts.clone(), clock.clone(), dynamodb.timeout);
        let caps = CapService {
            view: UsageCache::new(redis.clone(), months, config.counts, dynamodb.timeout),
            told: CapNotifier::new(alerts, dynamodb.timeout),
            clock: clock.clone(),
        };
        Ok(Self {
            clock,
            ledger: Ledger::new(client, config.usage_table, dynamodb.timeout),
            caps: Arc::new(caps),
            headrooms: Arc::new(Headrooms::new(redis.clone())),
            releases: Arc::new(releases),
            redis,
            providers,
            breakers: Arc::new(breakers),
            routing: config.routing,
            alarm: Arc::new(alarm),
            timeouts: config.timeouts,
            allowed_origin: config.allowed_origin,
        })
    }
}
