//! `cargo xtask bench breaker`: compares the breaker with other designs in a simulation.

use std::path::PathBuf;

use crate::shell;
use crate::workspace::Workspace;

/// Count the calls that failing providers spoil and those that are served all the same, and compare with other
/// breakers
///
/// A simulation in virtual time, from seeds, at 50, 5 and 0.5 calls a second of ten accounts. In the first part one
/// provider fails in seven ways while its backup is well; of four designs of a breaker, Levee's must not spoil more
/// calls than the design that it was developed from. In the second part one to three providers fail together, with
/// five ways to route calls; of the calls that a provider would have served, Levee must serve 99.5 %. Takes half a
/// minute, most of it for building; the result does not depend on the machine's load. See docs/BREAKER.md.
#[derive(clap::Args)]
pub(crate) struct Breaker {
    /// Number of runs of each kind
    #[arg(long, default_value_t = 8, value_parser = clap::value_parser!(u64).range(1..=1_000))]
    seeds: u64,
    /// The seed of the first run; the constants were chosen on 0 to 15
    #[arg(long, default_value_t = 100)]
    first: u64,
    /// Write everything that was found to this file, too
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Fail where the target is missed
    #[arg(long)]
    check: bool,
}

impl Breaker {
    pub(crate) fn run(self, workspace: &Workspace) -> anyhow::Result<()> {
        // Build the simulation with optimisations, then pass the flags on.
        shell::run(&mut workspace.cargo(["build", "--package", "simulation", "--profile", "fast"]))?;
        let mut simulation = workspace.command(workspace.target.join("fast/simulation"));
        simulation.args(["--seeds", &self.seeds.to_string(), "--first", &self.first.to_string()]);
        if let Some(file) = &self.json {
            simulation.arg("--json").arg(file);
        }
        if self.check {
            simulation.arg("--check");
        }
        shell::run(&mut simulation)
    }
}
