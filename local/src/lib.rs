//! The whole Levee stack on one machine, for developers and tests: a gateway that behaves as API Gateway REST, a host
//! that runs the built function binaries as Lambda does, their stores, and stand-in AI providers. It is never
//! deployed.
//!
//! Start reading at [`stack`], which starts the parts in order. [`gateway`] and [`host`] are the two emulations, and
//! [`template`] is their configuration.

mod aws;
pub mod bindings;
mod clock;
mod control;
pub mod dynamodb;
pub mod gateway;
pub mod host;
mod options;
pub mod process;
mod progress;
pub mod providers;
pub mod redis;
mod relay;
mod schedule;
pub mod seed;
pub mod stack;
mod state_files;
mod status_line;
pub mod template;
mod variables;

pub use self::{
    options::{Environments, Options, Providers},
    relay::DockerHost,
};
use std::io::IsTerminal;

use tracing_subscriber::EnvFilter;

/// Runs the stack until Ctrl-C or SIGTERM.
///
/// # Errors
/// Names the part that could not be started, or that ended by itself.
pub fn run(options: Options) -> anyhow::Result<()> {
    let filter = EnvFilter::try_new(variables::own("RUST_LOG").unwrap_or_default().as_str());
    let filter = filter
        .ok()
        .filter(|filter| !filter.to_string().is_empty())
        .unwrap_or_else(|| EnvFilter::new("local=info,warn"));
    let ansi = std::io::stderr().is_terminal();
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_ansi(ansi)
        .with_writer(std::io::stderr)
        .without_time()
        .init();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let result = runtime.block_on(stack::run(options));
    // Drops all tasks and with them the handles of child processes, which kills these.
    runtime.shutdown_timeout(std::time::Duration::from_secs(2));
    process::reap();
    result
}
