//! `cargo xtask bench`: compares the limiter's and the cache's speed and the breaker's savings, on this machine.
//! Results and methods are in docs/BENCHMARKS.md and docs/BREAKER.md.

mod breaker;
mod cache;
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
    Cache(cache::Cache),
    Csp(csp::Csp),
    Limits(limits::Limits),
}

impl Bench {
    pub(crate) fn run(self, workspace: &Workspace) -> anyhow::Result<()> {
        match self.what {
            What::Breaker(breaker) => breaker.run(workspace),
            What::Cache(cache) => cache.run(workspace),
            What::Csp(csp) => csp.run(workspace),
            What::Limits(limits) => limits.run(workspace),
        }
    }
}
