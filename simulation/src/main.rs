//! `simulation [--seeds N] [--first SEED] [--json FILE] [--check]`: prints the tables of `cargo xtask bench breaker`.
#![allow(clippy::print_stdout, reason = "tables are what it is for")]

mod tables;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;
use tables::{goodput, spoiled};

#[derive(Parser)]
struct Options {
    /// Number of runs of each kind
    #[arg(long, default_value_t = 8, value_parser = clap::value_parser!(u64).range(1..=1_000))]
    seeds: u64,
    /// Seed of the first run; the constants were chosen on 0 to 15
    #[arg(long, default_value_t = 100)]
    first: u64,
    /// Also write the results to this file
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Exit with a failure if a target is missed
    #[arg(long)]
    check: bool,
}

fn main() -> ExitCode {
    let options = Options::parse();
    let seeds = options.first..options.first + options.seeds;
    // Run both simulations and print their tables.
    let spoiled = spoiled::rows(seeds.clone());
    spoiled::print(&spoiled, options.seeds);
    let goodput = goodput::rows(seeds);
    goodput::print(&goodput, options.seeds);
    // Write all figures as JSON if a file is given.
    if let Some(file) = &options.json {
        let all = serde_json::json!({ "spoiled": spoiled::json(&spoiled), "goodput": goodput::json(&goodput) });
        if let Err(error) = std::fs::write(file, format!("{all:#}\n")) {
            println!("{} cannot be written: {error}", file.display());
            return ExitCode::FAILURE;
        }
    }
    let are_met = [spoiled::check(&spoiled), goodput::check(&goodput)];
    if options.check && are_met.contains(&false) { ExitCode::FAILURE } else { ExitCode::SUCCESS }
}
