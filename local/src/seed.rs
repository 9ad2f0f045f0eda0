//! Initial content of the local stack's tables: the keys for tests and developers, and demo data.

mod catalogs;

use std::collections::BTreeMap;

use anyhow::Context;
use aws_sdk_dynamodb::config::Credentials;
use levee::accounts::{Account, AccountsTable, ApiKey, Integration, IntegrationKind, KeyRecord, KeyScope, Peppers};
use levee::admins::{Admin, AdminsTable, PasswordHash, Role};
use levee::catalogs::CatalogsTable;
use levee::clock::{Clock, Timestamp};
use levee::metering::{Call, Figures, Ledger, Part, Reading, Record, Service, Usage};
use levee::stores::aws::AwsConfig;
use levee::stores::dynamodb::{self, DynamoDbConfig};

use crate::providers::EXAMPLE_MODEL;

/// Addresses of the stores, and options of the seed.
#[derive(Debug, Clone)]
pub struct Targets {
    /// Address of the DynamoDB emulator.
    pub dynamodb_url: String,
    /// Address of Redis.
    pub redis_url: String,
    /// Table names by logical id.
    pub tables: BTreeMap<String, String>,
    /// True to seed demo accounts, a month of usage and catalogs besides the fixed keys.
    pub demo: bool,
    /// Peppers of the API keys.
    pub key_peppers: String,
}

/// Seeded keys and admins, for `local.json`.
#[derive(Debug, Clone)]
pub struct Seeded {
    /// The fixed key: it has all scopes and is exempt from the limit per client address.
    pub api_key: String,
    /// A key with default settings.
    pub plain_api_key: String,
    /// Account of both keys.
    pub account_id: String,
    /// One key for each demo integration, by `account/integration`.
    pub demo_keys: BTreeMap<String, String>,
    /// The platform admins, if the template has a table for them.
    pub admins: Option<SeededAdmins>,
}

/// The platform admins.
#[derive(Debug, Clone)]
pub struct SeededAdmins {
    /// E-mail address of the operator.
    pub operator: &'static str,
    /// E-mail address of the viewer.
    pub viewer: &'static str,
    /// Password of both.
    pub password: &'static str,
}

/// Id, name and kind of an integration.
type DemoIntegration = (&'static str, &'static str, IntegrationKind);

/// Accounts of the demo: id, name, integrations. The first one is always seeded.
const ACCOUNTS: [(&str, &str, [DemoIntegration; 2]); 3] = [
    (
        "acme",
        "Acme Logistics",
        [("crm", "Customer desk", IntegrationKind::Customer), ("operator", "AI Operator", IntegrationKind::AiOperator)],
    ),
    (
        "globex",
        "Globex Retail",
        [("shop", "Web shop", IntegrationKind::Customer), ("warehouse", "Warehouse", IntegrationKind::Customer)],
    ),
    (
        "initech",
        "Initech Software",
        [("helpdesk", "Help desk", IntegrationKind::Customer), ("billing", "Billing", IntegrationKind::Customer)],
    ),
];
const API_KEY: (&str, &str) = ("localDemoKey", "thisKeyOpensNothingButLocalhost1");
const PLAIN_API_KEY: (&str, &str) = ("localPlainKy", "thisKeyOpensNothingButLocalhost2");
const DEMO_SECRET: &str = "thisKeyOpensNothingButLocalhost4";
/// Environment of local keys, which no deployed stack accepts.
pub(crate) const ENVIRONMENT: &str = "local";
const ADMINS: SeededAdmins =
    SeededAdmins { operator: "admin@levee.local", viewer: "viewer@levee.local", password: "nothing-but-localhost" };
const DAY_SECS: u64 = 24 * 3600;

/// Seeds the tables.
///
/// # Errors
/// Fails if a table is missing or cannot be written.
pub async fn seed(targets: &Targets) -> anyhow::Result<Seeded> {
    let client = dynamodb::client(&DynamoDbConfig {
        aws: AwsConfig {
            region: "us-east-1".to_owned(),
            credentials: Credentials::new("local", "local", None, None, "local"),
        },
        endpoint_url: Some(targets.dynamodb_url.clone()),
        timeout: std::time::Duration::from_secs(10),
    });
    let table = |id: &str| targets.tables.get(id).with_context(|| format!("the template has no table {id}"));
    let accounts = AccountsTable::new(client.clone(), table("Accounts")?);
    let peppers = Peppers::from_json(&targets.key_peppers).context("peppers")?;

    // Accounts and integrations; without the demo, only the first account.
    let now = Clock::system().now();
    for (id, name, integrations) in ACCOUNTS.iter().take(if targets.demo { ACCOUNTS.len() } else { 1 }) {
        accounts.put_account(&Account::new(id, name, now)).await?;
        for (integration, name, kind) in integrations {
            accounts.put_integration(id, &Integration::new(integration, name, *kind, now)).await?;
        }
    }

    // The two fixed keys.
    let (account, _, [(integration, ..), _]) = ACCOUNTS[0];
    let record = |key: &ApiKey, account: &str, integration: &str, name: &str| {
        KeyRecord::new(key, &peppers, account, integration, name, now)
    };
    let (id, secret) = API_KEY;
    let api_key = ApiKey::from_parts(ENVIRONMENT, id, secret)?;
    let all_scopes = record(&api_key, account, integration, "local stack");
    accounts.put_key(&KeyRecord { scopes: KeyScope::ALL.into(), address_exempt: true, ..all_scopes }).await?;
    let (id, secret) = PLAIN_API_KEY;
    let plain_api_key = ApiKey::from_parts(ENVIRONMENT, id, secret)?;
    accounts.put_key(&record(&plain_api_key, account, integration, "local stack, plain")).await?;

    // Keys and usage of the demo.
    let mut demo_keys = BTreeMap::new();
    if targets.demo {
        for (account, _, integrations) in ACCOUNTS {
            for (integration, name, _) in integrations {
                let key = demo_key(account, integration)?;
                accounts.put_key(&record(&key, account, integration, name)).await?;
                demo_keys.insert(format!("{account}/{integration}"), key.reveal().to_owned());
            }
        }
        seed_usage(&Ledger::new(client.clone(), table("Usage")?, std::time::Duration::from_secs(10)), now).await?;
        catalogs::seed(&CatalogsTable::new(client.clone(), table("Catalogs")?), now).await?;
    }
    let admins = match targets.tables.get("Admins") {
        Some(table) => Some(seed_admins(&AdminsTable::new(client, table), now).await?),
        None => None,
    };
    Ok(Seeded {
        api_key: api_key.reveal().to_owned(),
        plain_api_key: plain_api_key.reveal().to_owned(),
        account_id: account.to_owned(),
        demo_keys,
        admins,
    })
}

/// Creates both admins with one hash, since a second one would only take longer.
async fn seed_admins(table: &AdminsTable, now: Timestamp) -> anyhow::Result<SeededAdmins> {
    let password = tokio::task::spawn_blocking(|| PasswordHash::new(ADMINS.password)).await??;
    for (email, role) in [(ADMINS.operator, Role::Operator), (ADMINS.viewer, Role::Viewer)] {
        let (email, password) = (email.to_owned(), password.clone());
        table.create(&Admin { email, role, password, created_at: now.as_secs(), sessions_from: 0 }).await?;
    }
    Ok(ADMINS)
}

/// Returns the key of a demo integration. Its id is made of the names of account and integration, cut or padded to
/// the length of an id.
fn demo_key(account: &str, integration: &str) -> anyhow::Result<ApiKey> {
    let id: String = account.chars().chain(integration.chars()).chain(std::iter::repeat('0')).take(12).collect();
    Ok(ApiKey::from_parts(ENVIRONMENT, &id, DEMO_SECRET)?)
}

/// Writes a month of calls, one per day and integration. The amounts depend on account, integration and day.
async fn seed_usage(ledger: &Ledger, now: Timestamp) -> anyhow::Result<()> {
    for day in 1..=30u64 {
        for (size, (account, _, integrations)) in (1u64..).zip(ACCOUNTS) {
            for (integration, _, kind) in integrations {
                let tokens = size * 1_000 * (1 + (day * 7 + integration.len() as u64) % 5);
                let started_at = now.as_secs() - day * DAY_SECS;
                // Build a finished call of that day and write its record.
                let call = Call {
                    id: format!("demo-{integration}-{day}"),
                    attempt: 1,
                    request_id: format!("demo-{integration}-{day}"),
                    account: account.to_owned(),
                    integration: integration.to_owned(),
                    kind,
                    provider: "primary".to_owned(),
                    model: EXAMPLE_MODEL.to_owned(),
                    started_at,
                    deadline: started_at + 60,
                    further: false,
                };
                let usage = Usage { input: tokens * 4, output: tokens, cache_read: tokens * 2, ..Usage::default() };
                let service = Service { model: EXAMPLE_MODEL.to_owned(), ..Service::default() };
                let (figures, parts) = (Figures { usage, ..Figures::default() }, vec![Part { service, usage }]);
                let reading = Reading { figures, parts, ..Reading::default() };
                ledger.write(&Record::closed(call, figures, false).with_reading(&reading, false)).await?;
            }
        }
    }
    Ok(())
}
