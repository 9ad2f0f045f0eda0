//! Measures one block of load.

use std::time::Duration;

use anyhow::Context as _;
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::client::Client;

/// Sends requests on the first `connections` of these clients concurrently, one after the other for `millis`. Returns
/// the length of the measured period and the duration of each request in nanoseconds.
pub(crate) async fn run(
    clients: &mut Vec<Client>,
    connections: usize,
    millis: u64,
) -> anyhow::Result<(Duration, Vec<u64>)> {
    // The first tenth warms up and is not measured.
    let whole = Duration::from_millis(millis);
    let since = Instant::now() + whole / 10;
    let until = since + (whole - whole / 10);
    let mut loops = JoinSet::new();
    for (place, mut client) in clients.drain(..connections).enumerate() {
        loops.spawn_local(async move {
            // Each connection begins with another subject.
            let mut turn = place * 7;
            let mut nanos = Vec::new();
            loop {
                let start = Instant::now();
                if start >= until {
                    return anyhow::Ok((client, nanos));
                }
                client.ask(turn).await?;
                turn += 1;
                let end = Instant::now();
                if start >= since && end <= until {
                    nanos.push(u64::try_from((end - start).as_nanos())?);
                }
            }
        });
    }
    // Return the clients for the next block.
    let mut all = Vec::new();
    while let Some(ended) = loops.join_next().await {
        let (client, nanos) = ended.context("a loop ended early")??;
        clients.push(client);
        all.extend(nanos);
    }
    Ok((until - since, all))
}
