//! The operators' command, `levee`.

use std::process::ExitCode;

use clap::Parser;

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    levee_cli::main(levee_cli::Cli::parse()).await
}
