//! Configuration of the customers' API, and the state that an environment keeps between requests.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use levee::accounts::AccountsTable;
use levee::alerts::Alerts;
use levee::cache::CacheConfig;
use levee::catalogs::{Catalogs, CatalogsTable};
use levee::clock::Clock;
use levee::config::Reader;
use levee::function::Common;
use levee::http::AllowedOrigin;
use levee::limits::LimitsConfig;
use levee::metering::{Counts, Ledger, Months, OpenCalls, Prices};
use levee::quotas::{QuotaDesk, QuotaRules, RequestsTable};
use levee::statistics::StatisticsTable;
use levee::stores::dynamodb;
use levee::stores::redis::{Redis, RedisConfig};

use crate::cached::Cached;

/// Configuration of the customers' API.
pub struct CustomerApiConfig {
    /// Configuration that all functions share.
    pub common: Common,
    /// `USAGE_TABLE`: the table of AI calls and monthly sums.
    pub usage_table: String,
    /// `CATALOGS_TABLE`: the table of catalogs.
    pub catalogs_table: String,
    /// `ACCOUNTS_TABLE`: the table of accounts, integrations, keys and requests.
    pub accounts_table: String,
    /// `ALERTS_TABLE`: the table of alerts.
    pub alerts_table: String,
    /// Policies of limits.
    pub limits: LimitsConfig,
    /// Rules of automatic grants.
    pub rules: QuotaRules,
    /// Redis, which counts calls and caches catalogs.
    pub redis: RedisConfig,
    /// Cache of catalogs.
    pub cache: CacheConfig,
    /// Kinds of tokens that count against caps.
    pub counts: Counts,
    /// Prices of models.
    pub prices: Prices,
    /// Web origin whose pages may call the API.
    pub allowed_origin: AllowedOrigin,
}

impl CustomerApiConfig {
    /// Reads the variables that the fields name.
    pub fn read(reader: &mut Reader<'_>) -> Self {
        Self {
            common: Common::read(reader),
            usage_table: reader.required("USAGE_TABLE"),
            catalogs_table: reader.required("CATALOGS_TABLE"),
            accounts_table: reader.required("ACCOUNTS_TABLE"),
            alerts_table: reader.required("ALERTS_TABLE"),
            limits: LimitsConfig::read(reader),
            rules: QuotaRules::read(reader),
            redis: RedisConfig::read(reader),
            cache: CacheConfig::read(reader),
            counts: Counts::read(reader),
            prices: Prices::read(reader),
            allowed_origin: AllowedOrigin::read(reader),
        }
    }
}

/// State that one environment keeps between requests.
pub struct CustomerApiState {
    pub(crate) clock: Clock,
    pub(crate) desk: QuotaDesk,
    pub(crate) limits: LimitsConfig,
    pub(crate) rules: QuotaRules,
    pub(crate) statistics: StatisticsTable,
    pub(crate) alerts: Alerts,
    pub(crate) redis: Arc<Redis>,
    pub(crate) months: Months,
    pub(crate) ledger: Ledger,
    pub(crate) catalogs: Catalogs,
    /// Numbers of open calls of all accounts, cached.
    pub(crate) open: Cached<Arc<OpenCalls>>,
    pub(crate) counts: Counts,
    pub(crate) prices: Prices,
    pub(crate) allowed_origin: AllowedOrigin,
    /// Time limit for the reads of one request.
    pub(crate) store_timeout: Duration,
}

impl CustomerApiState {
    /// Builds the clients. That of DynamoDB connects at its first use. A Redis that cannot be reached does not prevent
    /// the start.
    ///
    /// # Errors
    /// Never fails.
    pub async fn new(config: CustomerApiConfig) -> Result<Self, Infallible> {
        let Common { clock, dynamodb, .. } = config.common;
        let client = dynamodb::client(&dynamodb);
        let (table, redis) = (CatalogsTable::new(client.clone(), config.catalogs_table), Redis::new(config.redis));
        let (redis, timeout) = (Arc::new(redis), dynamodb.timeout);
        let catalogs = Catalogs::new(table, redis.clone(), clock.clone(), config.cache, timeout);
        let accounts = AccountsTable::new(client.clone(), config.accounts_table.clone());
        let requests = RequestsTable::new(client.clone(), config.accounts_table);
        catalogs.warm_up().await;
        Ok(Self {
            catalogs,
            clock,
            desk: QuotaDesk::new(accounts, requests, redis.clone()),
            limits: config.limits,
            rules: config.rules,
            statistics: StatisticsTable::new(client.clone(), &config.usage_table),
            alerts: Alerts::new(client.clone(), config.alerts_table),
            redis,
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
