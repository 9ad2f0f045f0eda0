//! `cargo xtask bench cache`: compares a hit of the read-through cache with a bare GET.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;

use anyhow::{Context as _, bail};
use serde_json::{Value, json};

use super::numbers::{Block, Summary};
use super::process::{Machine, Server, Worker};
use crate::preflight::{self, Consent, Need};
use crate::shell;
use crate::workspace::Workspace;

/// Measured reads, with their labels.
const ROWS: [(&str, &str); 5] = [
    ("cache-get", "bare GET of the same bytes"),
    ("cache-hit", "hit in Redis"),
    ("cache-first", "first hit of an environment"),
    ("cache-front", "hit in the environment's own copy"),
    ("cache-source", "read of the table (emulator)"),
];
/// Largest ratio of a hit's p50 to that of a bare GET.
const TARGET: f64 = 1.2;
/// Number of rounds that are not measured.
const WARM_UP: u32 = 4;

/// Measure reads through the cache beside a bare GET
///
/// Starts a Redis server of its own. A catalog of 60 items is read from the cache, from an environment's own copy and
/// from an emulated table, and its bytes by a bare GET through the same handle, on 1 connection. They take turns in
/// short blocks, so that changes of the machine's speed affect all of them equally. The target: a hit's p50 is at most
/// 1.2 times that of the bare GET. Takes a quarter of a minute once everything is built; run nothing else meanwhile.
#[derive(clap::Args)]
pub(crate) struct Cache {
    /// Number of blocks of each kind to measure
    #[arg(long, default_value_t = 30, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    rounds: u32,
    /// Write everything that was measured to this file, too
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Fail where the target is missed
    #[arg(long)]
    check: bool,
    #[command(flatten)]
    consent: Consent,
}

impl Cache {
    pub(crate) fn run(self, workspace: &Workspace) -> anyhow::Result<()> {
        // Build the worker and start it beside a Redis.
        preflight::ensure(workspace, &[Need::Redis, Need::CCompiler], &self.consent)?;
        shell::run(&mut workspace.cargo(["build", "--package", "bench", "--profile", "fast"]))?;
        let server = Server::start(workspace)?;
        let mut worker = Worker::start(workspace.command(workspace.target.join("fast/bench")).arg(&server.url))?;

        // Measure in turns; reverse the order each round, so that a read does not always follow the same other one.
        let mut blocks: BTreeMap<&str, Vec<Block>> = BTreeMap::new();
        let mut rows = ROWS;
        let before = Machine::read(&server, &[&worker]);
        for round in 0..WARM_UP + self.rounds {
            for (target, _) in rows {
                let block = Block::read(&worker.ask(&json!({ "target": target, "connections": 1, "millis": 100 }))?)?;
                if round >= WARM_UP {
                    blocks.entry(target).or_default().push(block);
                }
            }
            rows.reverse();
        }
        let others = before.zip(Machine::read(&server, &[&worker])).map(|(before, after)| after.others_since(before));

        // Report and judge.
        let summaries: BTreeMap<&str, Summary> =
            blocks.iter().filter_map(|(target, blocks)| Some((*target, Summary::of(blocks)?))).collect();
        let ratio = summaries.get("cache-hit").zip(summaries.get("cache-get"));
        let ratio = ratio.and_then(|(hit, get)| hit.times_as_long_as(get)).context("nothing was measured")?;
        print(&server, others, &summaries, ratio);
        if let Some(file) = &self.json {
            let json = report(&summaries, ratio);
            fs::write(file, format!("{json:#}\n")).with_context(|| format!("cannot write {}", file.display()))?;
        }
        if self.check && ratio > TARGET {
            bail!("the target is missed");
        }
        Ok(())
    }
}

fn print(server: &Server, others: Option<f64>, summaries: &BTreeMap<&str, Summary>, ratio: f64) {
    println!("{}, 1 connection", server.version);
    if let Some(others) = others {
        let so = if others > 5.0 { ": too much for numbers that mean something" } else { "" };
        println!("other processes used {others:.0} % of the machine meanwhile{so}");
    }
    println!("\n{:<34} {:>8} {:>8} {:>9}", "", "p50 µs", "p99 µs", "reads/s");
    for (target, label) in ROWS {
        if let Some(Summary { p50, p99, rate, .. }) = summaries.get(target) {
            println!("{label:<34} {p50:>8.1} {p99:>8.1} {rate:>9.0}");
        }
    }
    let verdict = if ratio <= TARGET { "met" } else { "missed" };
    println!("\np50 of a hit / p50 of a bare GET, at most {TARGET}: {ratio:.2}, {verdict}");
}

fn report(summaries: &BTreeMap<&str, Summary>, ratio: f64) -> Value {
    let rows = summaries.iter().map(|(target, it)| {
        ((*target).to_owned(), json!({ "p50_us": it.p50, "p99_us": it.p99, "reads_per_second": it.rate }))
    });
    json!({ "reads": rows.collect::<serde_json::Map<_, _>>(), "hit_to_get": ratio, "target": TARGET })
}
