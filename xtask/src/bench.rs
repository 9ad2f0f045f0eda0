//! `cargo xtask bench`: how fast Levee is, beside others, on this machine. What it measured once, and how it measures, is
//! in docs/BENCHMARKS.md.

mod limits;
mod numbers;
mod peers;
mod process;
mod report;
mod targets;

use crate::workspace::Workspace;

/// Measure Levee beside others
#[derive(clap::Args)]
pub(crate) struct Bench {
    #[command(subcommand)]
    what: What,
}

#[derive(clap::Subcommand)]
enum What {
    Limits(limits::Limits),
}

impl Bench {
    pub(crate) fn run(self, workspace: &Workspace) -> anyhow::Result<()> {
        match self.what {
            What::Limits(limits) => limits.run(workspace),
        }
    }
}
