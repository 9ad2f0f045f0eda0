//! `cargo xtask bench`: compares the limiter's speed and the breaker's savings with other designs, on this machine.
//! Results and methods are in docs/BENCHMARKS.md and docs/BREAKER.md.

mod breaker;
mod csp;
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
    Csp(csp::Csp),
    Limits(limits::Limits),
}

impl Bench {
    pub(crate) fn run(self, workspace: &Workspace) -> anyhow::Result<()> {
        match self.what {
            What::Breaker(breaker) => breaker.run(workspace),
            What::Csp(csp) => csp.run(workspace),
            What::Limits(limits) => limits.run(workspace),
        }
    }
}
