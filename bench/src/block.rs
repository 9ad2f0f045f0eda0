//! One block of load.

use std::time::Duration;

use anyhow::Context as _;
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::client::Client;

/// Asks on the first `connections` of these clients at once, over and over for `millis`; how long was measured, and how
/// long each answer took, in nanoseconds.
pub(crate) async fn run(
    clients: &mut Vec<Client>,
    connections: usize,
    millis: u64,
) -> anyhow::Result<(Duration, Vec<u64>)> {
    let whole = Duration::from_millis(millis);
    let since = Instant::now() + whole / 10;
    let until = since + (whole - whole / 10);
    let mut loops = JoinSet::new();
    for (place, mut client) in clients.drain(..connections).enumerate() {
        loops.spawn_local(async move {
            // Each begins with another subject.
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
    let mut all = Vec::new();
    while let Some(ended) = loops.join_next().await {
        let (client, nanos) = ended.context("a loop ended early")??;
        clients.push(client);
        all.extend(nanos);
    }
    Ok((until - since, all))
}
