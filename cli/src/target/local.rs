//! The stack that `cargo xtask up` runs on this machine, as its local.json describes it.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::Context;
use aws_credential_types::Credentials;
use levee::clock::Clock;
use levee::config;
use levee::stores::aws::AwsConfig;
use levee::stores::dynamodb::DynamoDbConfig;
use levee::stores::redis::{Redis, RedisConfig};
use levee::stores::secrets::SecretRef;
use serde::Deserialize;

use super::publisher::Publisher;
use super::{DYNAMODB_TIMEOUT, FoundStack, LogPlace, Target};

/// Default folder of the stack's local.json.
const STATE_DIR: &str = "target/levee";
const FILE: &str = "local.json";
/// File with the functions' variables, by function.
const VARIABLES_FILE: &str = "sam-env.json";
/// Function whose variables this command reads. It shows admins the same as this command shows operators.
const FUNCTION: &str = "HealthApi";
/// Time-out of Redis in milliseconds. It is longer than that of a request.
const REDIS_BUDGET_MS: &str = "1000";
const START_IT: &str = "start the local stack with: cargo xtask up";

/// Fields of local.json that are used.
#[derive(Debug, Deserialize)]
struct Local {
    dynamodb_url: String,
    redis_url: String,
    tables: BTreeMap<String, String>,
    key_peppers: String,
    key_environment: String,
}

pub(super) fn open(state: Option<&Path>) -> anyhow::Result<Target> {
    // Find and read local.json.
    let state = match state {
        Some(state) => state.to_owned(),
        None => find(&std::env::current_dir()?)
            .with_context(|| format!("there is no {STATE_DIR}/{FILE} here or further up; {START_IT}"))?,
    };
    let file = state.join(FILE);
    let text = std::fs::read(&file).with_context(|| format!("cannot read {}; {START_IT}", file.display()))?;
    let local: Local = serde_json::from_slice(&text)
        .with_context(|| format!("{} is of another version; {START_IT}", file.display()))?;
    let table = |id: &str| {
        let name = local.tables.get(id).cloned();
        name.with_context(|| format!("the stack of {} has no table {id}", file.display()))
    };
    let clock_file = state.join("clock-offset");
    // Configure the clock and Redis as the functions do.
    let lookup = |name: &str| match name {
        "LEVEE_CLOCK_OFFSET_FILE" => Some(clock_file.display().to_string()),
        "REDIS_URL" => Some(local.redis_url.clone()),
        "REDIS_BUDGET_MS" => Some(REDIS_BUDGET_MS.to_owned()),
        _ => None,
    };
    let (clock, redis) = config::from_lookup(lookup, |reader| (Clock::read(reader), RedisConfig::read(reader)))?;
    Ok(FoundStack {
        accounts_table: table("Accounts")?,
        admins_table: table("Admins")?,
        breakers_table: table("Breakers")?,
        csp_table: table("Csp")?,
        catalogs_table: table("Catalogs")?,
        usage_table: table("Usage")?,
        variables: variables(&state.join(VARIABLES_FILE))?,
        dynamodb: DynamoDbConfig {
            aws: AwsConfig {
                region: "us-east-1".to_owned(),
                credentials: Credentials::new("local", "local", None, None, "local"),
            },
            endpoint_url: Some(local.dynamodb_url),
            timeout: DYNAMODB_TIMEOUT,
        },
        clock,
        key_environment: local.key_environment,
        peppers: SecretRef::new(local.key_peppers),
        logs: LogPlace::Local(state.join("logs")),
        publisher: Publisher::Redis(Box::new(Redis::new(redis))),
    }
    .into())
}

/// Reads the variables of one function from `file`.
fn variables(file: &Path) -> anyhow::Result<BTreeMap<String, String>> {
    let text = std::fs::read(file).with_context(|| format!("cannot read {}; {START_IT}", file.display()))?;
    let mut by_function: BTreeMap<String, BTreeMap<String, String>> = serde_json::from_slice(&text)
        .with_context(|| format!("{} is of another version; {START_IT}", file.display()))?;
    Ok(by_function.remove(FUNCTION).unwrap_or_default())
}

/// Finds the state folder of the stack that belongs to the folder `from` or to one above it.
fn find(from: &Path) -> Option<PathBuf> {
    from.ancestors().map(|folder| folder.join(STATE_DIR)).find(|state| state.join(FILE).is_file())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_stack_is_found_from_a_folder_below_its_workspace() {
        let workspace = tempfile::tempdir().unwrap();
        let (state, below) = (workspace.path().join(STATE_DIR), workspace.path().join("functions/authorizer"));
        std::fs::create_dir_all(&state).unwrap();
        std::fs::create_dir_all(&below).unwrap();
        assert_eq!(find(&below), None);
        std::fs::write(state.join(FILE), "{}").unwrap();
        assert_eq!(find(&below), Some(state));
    }

    #[test]
    fn without_a_stack_one_is_told_how_to_start_it() {
        let empty = tempfile::tempdir().unwrap();
        let error = open(Some(empty.path())).err().unwrap();
        assert!(format!("{error:#}").contains("cargo xtask up"), "{error:#}");
        std::fs::write(empty.path().join(FILE), "{}").unwrap();
        let error = open(Some(empty.path())).err().unwrap();
        assert!(format!("{error:#}").contains("another version"), "{error:#}");
    }
}
