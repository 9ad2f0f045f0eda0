//! `cargo xtask bench`: how fast the limiter is and how much the breaker saves, beside others, on this machine. What was
//! measured once, and how, is in docs/BENCHMARKS.md and docs/BREAKER.md.

mod breaker;
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
    Breaker(breaker::Breaker),
    Limits(limits::Limits),
}

impl Bench {
    pub(crate) fn run(self, workspace: &Workspace) -> anyhow::Result<()> {
        match self.what {
            What::Breaker(breaker) => breaker.run(workspace),
            What::Limits(limits) => limits.run(workspace),
        }
    }
}
