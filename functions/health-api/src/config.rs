//! Configuration of the board, and the state that one environment keeps between calls.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use levee::accounts::AccountsTable;
use levee::admins::AdminsTable;
use levee::alerts::Alerts;
use levee::breadcrumbs::BreadcrumbTable;
use levee::breaker::BreakersTable;
use levee::clock::{Clock, Timestamp};
use levee::config::Reader;
use levee::csp::CspTable;
use levee::function::Common;
use levee::headroom::Headrooms;
use levee::http::{AllowedOrigin, Links};
use levee::limits::LimitsConfig;
use levee::metering::{CapConfig, Counts, Ledger, Months, Prices};
use levee::stores::dynamodb;
use levee::stores::logs::{Logs, LogsConfig};
use levee::stores::redis::{Redis, RedisConfig};
use levee::web::{Router, RoutesError};
use serde::Deserialize;

use crate::health::HealthCache;
use crate::requests::Stories;
use crate::routes::ROUTES;

/// Configuration of the board.
pub struct HealthApiConfig {
    /// Configuration that all functions share.
    pub common: Common,
    /// Configuration of Redis.
    pub redis: RedisConfig,
    /// Default limits.
    pub limits: LimitsConfig,
    /// Configuration of the search in the functions' logs.
    pub logs: LogsConfig,
    /// `ACCOUNTS_TABLE`: table of accounts, integrations and keys.
    pub accounts_table: String,
    /// `ADMINS_TABLE`: table of admins, their sessions and the audit.
    pub admins_table: String,
    /// `ALERTS_TABLE`: table of alerts.
    pub alerts_table: String,
    /// `BREAKERS_TABLE`: table of decisions about providers.
    pub breakers_table: String,
    /// `CSP_TABLE`: the table of CSP projects, groups and counts.
    pub csp_table: String,
    /// `USAGE_TABLE`: table of AI calls and monthly sums.
    pub usage_table: String,
    /// Token cap of accounts that have none of their own.
    pub cap: CapConfig,
    /// Kinds of tokens that count against caps.
    pub counts: Counts,
    /// Prices of models.
    pub prices: Prices,
    /// `AI_PROVIDERS`: names of the providers in order of preference. Nothing else of them is kept.
    pub providers: Vec<String>,
    /// `BASE_URL`: the API's public address. Default: taken from each request.
    pub base_url: Option<Links>,
    /// Origin whose pages may call the API from a browser.
    pub allowed_origin: AllowedOrigin,
}

impl HealthApiConfig {
    /// Reads the configuration from the variables named at the fields.
    pub fn read(reader: &mut Reader<'_>) -> Self {
        reader.required("AI_PROVIDERS");
        Self {
            common: Common::read(reader),
            redis: RedisConfig::read(reader),
            limits: LimitsConfig::read(reader),
            logs: LogsConfig::read(reader),
            accounts_table: reader.required("ACCOUNTS_TABLE"),
            admins_table: reader.required("ADMINS_TABLE"),
            alerts_table: reader.required("ALERTS_TABLE"),
            breakers_table: reader.required("BREAKERS_TABLE"),
            csp_table: reader.required("CSP_TABLE"),
            usage_table: reader.required("USAGE_TABLE"),
            cap: CapConfig::read(reader),
            counts: Counts::read(reader),
            prices: Prices::read(reader),
            providers: reader.parsed("AI_PROVIDERS", names).unwrap_or_default(),
            base_url: reader.parsed("BASE_URL", Links::configured),
            allowed_origin: AllowedOrigin::read(reader),
        }
    }
}

/// Parses the names of the providers, and discards their other fields, which may hold keys.
fn names(text: &str) -> Result<Vec<String>, &'static str> {
    #[derive(Deserialize)]
    struct Provider {
        name: String,
    }
    let providers: Vec<Provider> = serde_json::from_str(text).map_err(|_| "is not a list of providers with names")?;
    Ok(providers.into_iter().map(|provider| provider.name).collect())
}

/// State that one environment keeps between calls.
pub struct BoardState {
    pub(crate) clock: Clock,
    pub(crate) accounts: AccountsTable,
    pub(crate) admins: AdminsTable,
    pub(crate) alerts: Alerts,
    pub(crate) breadcrumbs: BreadcrumbTable,
    pub(crate) breakers: BreakersTable,
    pub(crate) csp: CspTable,
    pub(crate) months: Months,
    pub(crate) cap: CapConfig,
    pub(crate) counts: Counts,
    pub(crate) prices: Prices,
    pub(crate) ledger: Ledger,
    pub(crate) logs: Logs,
    pub(crate) redis: Arc<Redis>,
    pub(crate) headrooms: Headrooms,
    pub(crate) limits: LimitsConfig,
    pub(crate) providers: Vec<String>,
    pub(crate) base_url: Option<Links>,
    pub(crate) allowed_origin: AllowedOrigin,
    pub(crate) router: Router<Self>,
    /// Time-out of one read of DynamoDB.
    pub(crate) store_timeout: Duration,
    /// Last answer of `/health`.
    pub(crate) health: HealthCache,
    /// Stories that were shown last.
    pub(crate) stories: Stories,
    /// Moment since which this environment has not reached Redis; `None` while it does.
    pub(crate) redis_gone: Mutex<Option<Timestamp>>,
}

impl BoardState {
    /// Creates the clients, which connect when first used.
    ///
    /// # Errors
    /// Fails if the table of routes contradicts itself.
    pub async fn new(config: HealthApiConfig) -> Result<Self, RoutesError> {
        let Common { clock, dynamodb, .. } = &config.common;
        let client = dynamodb::client(dynamodb);
        let redis = Arc::new(Redis::new(config.redis));
        Ok(Self {
            clock: clock.clone(),
            accounts: AccountsTable::new(client.clone(), config.accounts_table),
            admins: AdminsTable::new(client.clone(), config.admins_table),
            alerts: Alerts::new(client.clone(), config.alerts_table),
            breadcrumbs: config.common.breadcrumbs(),
            breakers: BreakersTable::new(client.clone(), config.breakers_table),
            csp: CspTable::new(client.clone(), config.csp_table),
            ledger: Ledger::new(client.clone(), &config.usage_table, dynamodb.timeout),
            months: Months::new(client, config.usage_table),
            cap: config.cap,
            counts: config.counts,
            prices: config.prices,
            logs: Logs::new(&config.logs),
            headrooms: Headrooms::new(redis.clone()),
            redis,
            limits: config.limits,
            providers: config.providers,
            base_url: config.base_url,
            allowed_origin: config.allowed_origin,
            router: Router::new(&ROUTES)?,
            store_timeout: dynamodb.timeout,
            health: HealthCache::default(),
            stories: Stories::default(),
            redis_gone: Mutex::new(None),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_the_providers_only_names_are_kept_and_a_mistake_repeats_no_key() {
        let text = r#"[{"name":"primary","kind":"anthropic","api_key":"sk-x"},{"name":"backup"}]"#;
        assert_eq!(names(text).unwrap(), ["primary", "backup"]);
        assert!(!names(r#"["sk-x"]"#).unwrap_err().contains("sk-x"));
    }
}
