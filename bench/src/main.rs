//! One of the processes that `cargo xtask bench limits` and `cargo xtask bench cache` start: Levee's limiter and reads of
//! a catalog under load, and the requests they are compared with through the same client. Usage: `bench REDIS_URL [EXPRESS_PORT]`.
//! `bench csp` prints the speed of reading CSP reports, see [`csp`].
//!
//! All processes (`bench/peers`) have the same protocol. They write one line when they are ready, and then answer
//! each line with one line, all JSON:
//!
//! - `{"target":"levee-3","connections":32,"millis":200}`: a **block**. Makes decisions for this time on this number
//!   of connections, and answers `{"measured_ns":…,"nanos":[…]}`: the length of the measured period, and the duration
//!   of each decision that began and ended in it. The first tenth of a block is not measured: caches are cold, and
//!   connections may have been closed.
//! - `{"cost":"levee-3","millis":1000}`: the cost of a decision for the server, see [`cost`]. This process only.
//! - `{"memory":1000}`: the memory of this number of active accounts in the server, see [`cost`]. This process only.
//!
//! The answer to a failed request is `{"error":…}`.
#![allow(clippy::print_stdout, reason = "its standard output is the answer to whoever started it")]

mod block;
mod catalog;
mod client;
mod cost;
mod csp;
mod express;
mod levee;

use std::collections::HashMap;
use std::io::{BufRead as _, stdin};

use anyhow::Context as _;
use serde_json::{Value, json};

use crate::client::{Client, Place};

/// Connections of each target, opened at its first block.
type Clients = HashMap<String, Vec<Client>>;

fn main() -> anyhow::Result<()> {
    let mut arguments = std::env::args().skip(1);
    let redis = arguments.next().context("usage: bench REDIS_URL [EXPRESS_PORT], or bench csp")?;
    if redis == "csp" {
        println!("{}", csp::measure()?);
        return Ok(());
    }
    let express = arguments.next().map(|port| port.parse()).transpose()?;
    let place = Place { redis, express };
    // Use one thread, as the processes of the other limiters do.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let mut clients = Clients::new();
    println!("{}", json!({ "versions": {} }));
    for line in stdin().lock().lines() {
        let asked: Value = serde_json::from_str(&line?)?;
        let tasks = tokio::task::LocalSet::new();
        let answer = runtime.block_on(tasks.run_until(answer(&place, &mut clients, &asked)));
        println!("{}", answer.unwrap_or_else(|error| json!({ "error": format!("{error:#}") })));
    }
    Ok(())
}

async fn answer(place: &Place, clients: &mut Clients, asked: &Value) -> anyhow::Result<Value> {
    let number = |name: &str| asked[name].as_u64().with_context(|| format!("{name} is no number: {asked}"));
    // A request for costs.
    if let Some(target) = asked["cost"].as_str() {
        return cost::of_decisions(place, target, number("millis")?).await;
    }
    if asked["memory"].is_u64() {
        return cost::of_accounts(place, usize::try_from(number("memory")?)?).await;
    }
    // A block: open the missing connections, then measure.
    let target = asked["target"].as_str().with_context(|| format!("no target: {asked}"))?;
    let connections = usize::try_from(number("connections")?)?;
    let clients = clients.entry(target.to_owned()).or_default();
    while clients.len() < connections {
        clients.push(Client::open(place, target).await?);
    }
    let (measured, nanos) = block::run(clients, connections, number("millis")?).await?;
    Ok(json!({ "measured_ns": u64::try_from(measured.as_nanos())?, "nanos": nanos }))
}
