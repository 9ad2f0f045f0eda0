//! `cargo xtask bench limits`: compares the limiter with other limiters.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;

use anyhow::{Context as _, bail};
use serde_json::{Value, json};

use super::numbers::{Block, Summary};
use super::process::{Machine, Server, Worker};
use super::targets::Party::{self, Express, Levee, RateLimiterFlexible, Upstash};
use super::targets::{ACCOUNTS, ADMITTED, COSTS, REFUSED};
use super::{peers, report};
use crate::preflight::{self, Consent, Need};
use crate::shell;
use crate::workspace::Workspace;

/// Measure the limiter's decisions and compare them with other limiters
///
/// Starts a Redis server of its own. Levee's limiter, the plainest commands through the same client, and four other
/// limiters use it, all with the same three limits, on 1 connection and on 32. They take turns in short blocks, so
/// that changes of the machine's speed affect all of them equally. At the end the server's cost of each decision is
/// measured. The targets: on 1 connection, three policies in at most twice the time of a PING; on 32, at least twice
/// the decisions per second of the best other limiter. Takes three minutes once everything is built and installed;
/// run nothing else meanwhile. See docs/BENCHMARKS.md.
#[derive(clap::Args)]
pub(crate) struct Limits {
    /// Number of blocks of each kind to measure
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..))]
    rounds: u32,
    /// Six rounds of shorter blocks: less than a minute, and less exact
    #[arg(long, conflicts_with = "rounds")]
    quick: bool,
    /// Measure only these, separated by commas; a target that needs another is then not judged
    #[arg(long, value_enum, value_delimiter = ',')]
    only: Vec<Party>,
    /// Write everything that was measured to this file, too
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Fail where a target is missed
    #[arg(long)]
    check: bool,
    #[command(flatten)]
    consent: Consent,
}

/// Lengths of the blocks, in milliseconds, and numbers of rounds.
struct Plan {
    /// Number of rounds that are not measured, in which the peers' code is compiled.
    warm_up: u32,
    rounds: u32,
    one: u32,
    many: u32,
    cost: u32,
}

/// Processes that run the limiters.
struct Workers {
    levee: Worker,
    node: Option<Worker>,
    python: Option<Worker>,
    express: Option<Worker>,
}

impl Workers {
    fn all(&self) -> Vec<&Worker> {
        let others = [&self.node, &self.python, &self.express];
        std::iter::once(&self.levee).chain(others.into_iter().flatten()).collect()
    }

    fn of(&mut self, party: Party) -> anyhow::Result<&mut Worker> {
        match party {
            Levee | Express => Some(&mut self.levee),
            RateLimiterFlexible | Upstash => self.node.as_mut(),
            Party::Limits => self.python.as_mut(),
        }
        .context("a party whose process was not started")
    }
}

/// Results of all measurements.
pub(super) struct Measured {
    pub(super) redis: String,
    pub(super) versions: BTreeMap<String, String>,
    pub(super) rounds: u32,
    /// Share of the machine's processor time that other processes used, in percent; `None` if unknown.
    pub(super) others_percent: Option<f64>,
    /// Summaries by target and number of connections.
    pub(super) summaries: BTreeMap<(&'static str, u32), Summary>,
    /// Costs by target.
    pub(super) costs: Vec<(&'static str, Value)>,
    pub(super) memory: Value,
}

impl Limits {
    pub(crate) fn run(self, workspace: &Workspace) -> anyhow::Result<()> {
        // Install the peers' requirements and build the worker.
        let mut needs = vec![Need::Redis, Need::CCompiler];
        needs.extend(self.with(Party::Limits).then_some(Need::Python));
        needs.extend(self.with_node().then_some(Need::Node));
        preflight::ensure(workspace, &needs, &self.consent)?;
        shell::run(&mut workspace.cargo(["build", "--package", "bench", "--profile", "fast"]))?;

        // Measure.
        let server = Server::start(workspace)?;
        let mut workers = self.workers(workspace, &server)?;
        let plan = match self.quick {
            true => Plan { warm_up: 2, rounds: 6, one: 60, many: 120, cost: 250 },
            false => Plan { warm_up: 4, rounds: self.rounds, one: 100, many: 250, cost: 1_000 },
        };
        let measured = self.measure(&server, &mut workers, &plan)?;
        // Report and judge.
        let verdicts = report::verdicts(&measured);
        report::print(&measured, &verdicts);
        if let Some(file) = &self.json {
            fs::write(file, format!("{:#}\n", report::json(&measured, &verdicts)))
                .with_context(|| format!("cannot write {}", file.display()))?;
        }
        let missed = verdicts.iter().filter(|verdict| verdict.is_met == Some(false)).count();
        if self.check && missed > 0 {
            bail!("{missed} of {} targets missed", verdicts.len());
        }
        Ok(())
    }

    fn with(&self, party: Party) -> bool {
        self.only.is_empty() || self.only.contains(&party)
    }

    fn with_node(&self) -> bool {
        [RateLimiterFlexible, Upstash, Express].into_iter().any(|party| self.with(party))
    }

    fn workers(&self, workspace: &Workspace, server: &Server) -> anyhow::Result<Workers> {
        let node = self.with_node().then(|| peers::node(workspace)).transpose()?;
        let script = |name: &str| {
            let start =
                |folder: &PathBuf| Worker::start(workspace.command("node").arg(folder.join(name)).arg(&server.url));
            node.as_ref().map(start).transpose()
        };
        let express = if self.with(Express) { script("express.mjs")? } else { None };
        let mut levee = workspace.command(workspace.target.join("fast/bench"));
        levee.arg(&server.url);
        levee.args(express.as_ref().map(|it| it.greeting["port"].to_string()));
        let python = match self.with(Party::Limits) {
            true => Some(Worker::start(peers::python(workspace)?.arg(&server.url))?),
            false => None,
        };
        Ok(Workers { levee: Worker::start(&mut levee)?, node: script("worker.mjs")?, python, express })
    }

    fn measure(&self, server: &Server, workers: &mut Workers, plan: &Plan) -> anyhow::Result<Measured> {
        // Time of decisions, admitted and refused.
        let mut blocks = BTreeMap::new();
        let before = Machine::read(server, &workers.all());
        eprintln!("{} rounds of blocks that are admitted", plan.rounds);
        self.rounds(workers, &ADMITTED, plan, plan.rounds, &mut blocks)?;
        let fewer = plan.rounds.div_ceil(4);
        eprintln!("{fewer} rounds of blocks that are refused");
        self.rounds(workers, &REFUSED, plan, fewer, &mut blocks)?;

        let after = Machine::read(server, &workers.all());

        // Cost of decisions for the server.
        let (mut costs, mut memory) = (Vec::new(), Value::Null);
        if self.with(Levee) {
            eprintln!("what decisions cost the server");
            for target in COSTS {
                costs.push((target, workers.levee.ask(&json!({ "cost": target, "millis": plan.cost }))?));
            }
            memory = workers.levee.ask(&json!({ "memory": ACCOUNTS }))?;
        }
        let greetings = workers.all();
        let versions = greetings.iter().filter_map(|it| it.greeting["versions"].as_object());
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        Ok(Measured {
            redis: server.version.clone(),
            versions: versions.flatten().map(|(name, version)| (name.clone(), text(version))).collect(),
            rounds: plan.rounds,
            others_percent: before.zip(after).map(|(before, after)| after.others_since(before)),
            summaries: blocks.iter().filter_map(|(key, blocks)| Some((*key, Summary::of(blocks)?))).collect(),
            costs,
            memory,
        })
    }

    /// Runs the rounds, after the warm-up: one block of each target on 1 connection and on 32, in turn.
    fn rounds(
        &self,
        workers: &mut Workers,
        targets: &[(&'static str, Party)],
        plan: &Plan,
        rounds: u32,
        blocks: &mut BTreeMap<(&'static str, u32), Vec<Block>>,
    ) -> anyhow::Result<()> {
        let mut turns: Vec<_> = targets.iter().filter(|(_, party)| self.with(*party)).collect();
        for round in 0..plan.warm_up + rounds {
            for (target, party) in &turns {
                for (connections, millis) in [(1, plan.one), (32, plan.many)] {
                    if connections == 1 && target.ends_with("/32") {
                        continue;
                    }
                    let asked = json!({ "target": target, "connections": connections, "millis": millis });
                    let block = Block::read(&workers.of(*party)?.ask(&asked)?)?;
                    if round >= plan.warm_up {
                        blocks.entry((*target, connections)).or_default().push(block);
                    }
                }
            }
            // Reverse the order, so that a target does not always follow the same other one.
            turns.reverse();
        }
        Ok(())
    }
}
