//! Cost of decisions for the server, from its own statistics.

use std::collections::HashMap;

use anyhow::Context as _;
use levee::stores::redis::Redis;
use redis::{Cmd, FromRedisValue, cmd};
use serde_json::{Value, json};

use crate::block;
use crate::client::{Client, Place};
use crate::levee::Decider;

const CONNECTIONS: usize = 32;

/// Sends requests on 32 connections for `millis` and returns, per decision: the microseconds of its script
/// (`usec_per_call` of EVALSHA in `INFO commandstats`), the microseconds of the server's main thread (reading,
/// running and writing), and the bytes received and sent.
pub(crate) async fn of_decisions(place: &Place, target: &str, millis: u64) -> anyhow::Result<Value> {
    // Warm up.
    let mut clients = Vec::new();
    for _ in 0..CONNECTIONS {
        clients.push(Client::open(place, target).await?);
    }
    block::run(&mut clients, CONNECTIONS, millis / 4).await?;

    // Measure between two readings of the server's statistics.
    let server = place.redis()?;
    tell::<()>(&server, cmd("CONFIG").arg("RESETSTAT")).await?;
    let before = facts(&server).await?;
    block::run(&mut clients, CONNECTIONS, millis).await?;
    let after = facts(&server).await?;

    // Divide the growth by the number of calls.
    let command = if target == "ping" { "cmdstat_ping" } else { "cmdstat_evalsha" };
    let stats = after.get(command).with_context(|| format!("the server tells nothing of {command}"))?;
    let stat = |name: &str| {
        let value = stats.split(',').find_map(|stat| stat.strip_prefix(name)?.strip_prefix('='));
        value.and_then(|value| value.parse::<f64>().ok()).with_context(|| format!("no {name} in {stats}"))
    };
    let calls = stat("calls")?;
    let grown = |name: &str| Ok::<_, anyhow::Error>(number(&after, name)? - number(&before, name)?);
    let cpu_seconds = grown("used_cpu_user_main_thread")? + grown("used_cpu_sys_main_thread")?;
    Ok(json!({
        "calls": calls,
        "script_us": stat("usec_per_call")?,
        "cpu_us": cpu_seconds * 1e6 / calls,
        "bytes_in": grown("total_net_input_bytes")? / calls,
        "bytes_out": grown("total_net_output_bytes")? / calls,
    }))
}

/// Empties the server, makes one default AI call for each of `accounts` accounts, and returns the memory per account:
/// in total, and of one counter, one place in flight and one tally of a minute.
pub(crate) async fn of_accounts(place: &Place, accounts: usize) -> anyhow::Result<Value> {
    let server = place.redis()?;
    tell::<()>(&server, &cmd("FLUSHALL")).await?;
    let mut decider = Decider::open(place, "levee-ai")?;
    // Create the keys that all accounts share.
    decider.ask_about(accounts, 0).await?;
    let before = number(&facts(&server).await?, "used_memory")?;
    for account in 0..accounts {
        decider.ask_about(account, 0).await?;
    }
    let after = number(&facts(&server).await?, "used_memory")?;

    // Size of the largest key of a kind.
    let count = accounts as f64;
    let largest = async |pattern: &str| {
        let keys: Vec<String> = tell(&server, cmd("KEYS").arg(pattern)).await?;
        let mut largest = 0;
        for key in keys {
            let mut usage = cmd("MEMORY");
            let usage = usage.arg("USAGE").arg(key).arg("SAMPLES").arg(0);
            largest = largest.max(tell::<u64>(&server, usage).await?);
        }
        Ok::<_, anyhow::Error>(largest as f64)
    };
    Ok(json!({
        "accounts": accounts,
        "account_bytes": (after - before) / count,
        "counter_bytes": largest("{levee}:limit:integration:acc000000001/*").await?,
        "in_flight_bytes": largest("{levee}:lease:global-in-flight:all").await? / (count + 1.0),
        "tally_bytes": largest("{levee}:tally:*").await? / (count + 1.0),
    }))
}

async fn tell<T: FromRedisValue>(server: &Redis, command: &Cmd) -> anyhow::Result<T> {
    Ok(server.run(async |mut connection| command.query_async(&mut connection).await).await?)
}

/// Reads the server's `INFO`, by name.
async fn facts(server: &Redis) -> anyhow::Result<HashMap<String, String>> {
    let text: String = tell(server, cmd("INFO").arg("everything")).await?;
    let facts = text.lines().filter_map(|line| line.split_once(':'));
    Ok(facts.map(|(name, value)| (name.to_owned(), value.trim().to_owned())).collect())
}

fn number(facts: &HashMap<String, String>, name: &str) -> anyhow::Result<f64> {
    let value = facts.get(name).with_context(|| format!("the server does not tell {name}"))?;
    value.parse().with_context(|| format!("{name} is {value}"))
}
