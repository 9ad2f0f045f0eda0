//! What the local stack's tables hold when it starts: the keys that tests and people use, and demo data.

use std::collections::BTreeMap;

use anyhow::Context;
use aws_sdk_dynamodb::config::Credentials;
use levee::accounts::{Account, AccountsTable, ApiKey, Integration, IntegrationKind, KeyRecord, Peppers, Scope};
use levee::admins::{Admin, AdminsTable, PasswordHash, Role};
use levee::clock::{Clock, Timestamp};
use levee::metering::{Call, Figures, Ledger, Part, Reading, Record, Service, Usage};
use levee::stores::aws::AwsConfig;
use levee::stores::dynamodb::{self, DynamoDbConfig};

use crate::providers::EXAMPLE_MODEL;

/// Where to seed.
#[derive(Debug, Clone)]
pub struct Targets {
    /// The DynamoDB emulator's address.
    pub dynamodb_url: String,
    /// Redis's address.
    pub redis_url: String,
    /// Table names by logical id.
    pub tables: BTreeMap<String, String>,
    /// Whether to seed demo accounts and a month of usage besides the fixed keys.
    pub demo: bool,
    /// The peppers of API keys.
    pub key_peppers: String,
}

/// What was seeded, for `local.json`.
#[derive(Debug, Clone)]
pub struct Seeded {
    /// The fixed key: every scope, exempt from the limit per client address.
    pub api_key: String,
    /// A key like any other.
    pub plain_api_key: String,
    /// The account of both keys.
    pub account_id: String,
    /// A key of each demo integration, by `account/integration`.
    pub demo_keys: BTreeMap<String, String>,
    /// The platform admins, in templates that have a table for them.
    pub admins: Option<SeededAdmins>,
}

/// The platform admins.
#[derive(Debug, Clone)]
pub struct SeededAdmins {
    /// The e-mail address of the one who may change things.
    pub operator: &'static str,
    /// The e-mail address of the one who may look.
    pub viewer: &'static str,
    /// The password of both.
    pub password: &'static str,
}

/// Id, name and kind.
type DemoIntegration = (&'static str, &'static str, IntegrationKind);

/// The accounts of the demo, the first of which is always there: id, name, integrations.
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
/// The environment of local keys, which no deployed stack accepts.
pub(crate) const ENVIRONMENT: &str = "local";
const ADMINS: SeededAdmins =
    SeededAdmins { operator: "admin@levee.local", viewer: "viewer@levee.local", password: "nothing-but-localhost" };
const DAY_SECS: u64 = 24 * 3600;

/// Seeds the tables.
///
/// # Errors
/// When a table is missing or cannot be written.
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

    let now = Clock::system().now();
    for (id, name, integrations) in ACCOUNTS.iter().take(if targets.demo { ACCOUNTS.len() } else { 1 }) {
        accounts.put_account(&Account::new(id, name, now)).await?;
        for (integration, name, kind) in integrations {
            accounts.put_integration(id, &Integration::new(integration, name, *kind, now)).await?;
        }
    }

    let (account, _, [(integration, ..), _]) = ACCOUNTS[0];
    let record = |key: &ApiKey, account: &str, integration: &str, name: &str| {
        KeyRecord::new(key, &peppers, account, integration, name, now)
    };
    let (id, secret) = API_KEY;
    let api_key = ApiKey::from_parts(ENVIRONMENT, id, secret)?;
    let all_scopes = record(&api_key, account, integration, "local stack");
    accounts.put_key(&KeyRecord { scopes: Scope::ALL.into(), address_exempt: true, ..all_scopes }).await?;
    let (id, secret) = PLAIN_API_KEY;
    let plain_api_key = ApiKey::from_parts(ENVIRONMENT, id, secret)?;
    accounts.put_key(&record(&plain_api_key, account, integration, "local stack, plain")).await?;

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

/// Both admins share one hash: a second one would only take longer.
async fn seed_admins(table: &AdminsTable, now: Timestamp) -> anyhow::Result<SeededAdmins> {
    let password = tokio::task::spawn_blocking(|| PasswordHash::new(ADMINS.password)).await??;
    for (email, role) in [(ADMINS.operator, Role::Operator), (ADMINS.viewer, Role::Viewer)] {
        let (email, password) = (email.to_owned(), password.clone());
        table.create(&Admin { email, role, password, created_at: now.as_secs(), sessions_from: 0 }).await?;
    }
    Ok(ADMINS)
}

/// The key of a demo integration. Its id is made of their names, cut or filled up to the length of an id.
fn demo_key(account: &str, integration: &str) -> anyhow::Result<ApiKey> {
    let id: String = account.chars().chain(integration.chars()).chain(std::iter::repeat('0')).take(12).collect();
    Ok(ApiKey::from_parts(ENVIRONMENT, &id, DEMO_SECRET)?)
}

/// A month of calls: one a day and integration, the amounts told apart by account and weekday.
async fn seed_usage(ledger: &Ledger, now: Timestamp) -> anyhow::Result<()> {
    for day in 1..=30u64 {
        for (size, (account, _, integrations)) in (1u64..).zip(ACCOUNTS) {
            for (integration, _, kind) in integrations {
                let tokens = size * 1_000 * (1 + (day * 7 + integration.len() as u64) % 5);
                let started_at = now.as_secs() - day * DAY_SECS;
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
