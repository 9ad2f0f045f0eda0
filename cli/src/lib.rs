//! `levee`, the operators' command. It manages accounts, integrations, API keys, limits, token caps, usage, blocks,
//! breakers, catalogs, content security policies and platform admins, shows the audit, and tells the story of a
//! request. It works on AWS or on the local stack.
//!
//! Each group of commands has a file. A command that changes something runs in these steps:
//! - It reads the present state.
//! - It writes the change to the audit, which the board shows. The command's texts call it the record of changes.
//! - It makes the change, and publishes it so that the functions notice it at once.
//! - It prints the result to standard output. Everything else goes to standard error.
//!
//! No hash is ever printed, and a secret only once: a new key, or a generated password.
//!
//! Start reading at [`main`], then `context.rs`, which all commands share.

mod account;
mod admin;
mod audit;
mod block;
mod breaker;
mod cap;
mod catalog;
mod consent;
mod context;
mod csp;
mod effect;
mod error;
mod integration;
mod key;
mod limit;
mod output;
mod password;
mod place;
mod request;
mod target;
mod usage;
mod views;
mod when;
mod why;

use std::process::ExitCode;

use crate::context::Context;
use crate::target::TargetArgs;

const ABOUT: &str = "Run Levee: accounts, API keys, limits, platform admins, and what happened to a request";
const HELP: &str = "\
Examples:
  levee account list                      the accounts of the stack 'levee' on AWS
  levee account list --stack staging      of another stack
  levee account list --local              of the local stack that 'cargo xtask up' runs
  levee why /I35jLf7JA2CvdI=              what happened to a request

Exit codes: 0 done, 1 failed or not found, 2 wrong usage.";

/// The command line.
#[derive(Debug, clap::Parser)]
#[command(name = "levee", version, about = ABOUT, after_help = HELP)]
pub struct Cli {
    /// Print JSON, for programs
    #[arg(long, global = true)]
    json: bool,
    #[command(flatten)]
    target: TargetArgs,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// Accounts: the customers of the platform
    #[command(
        subcommand,
        after_help = "Examples:\n  levee account list\n  levee account create acme --name 'Acme Logistics'"
    )]
    Account(account::Command),
    /// Integrations: an account's connected systems
    #[command(
        subcommand,
        after_help = "Examples:\n  levee integration list acme\n  levee integration create acme/crm --name CRM"
    )]
    Integration(integration::Command),
    /// API keys of integrations
    #[command(
        subcommand,
        after_help = "Examples:\n  levee key list acme\n  levee key create acme/crm --name production"
    )]
    Key(key::Command),
    /// Changes to limits: for everyone, an account, an integration or a key
    #[command(
        subcommand,
        after_help = "Examples:\n  levee limit list acme\n  levee limit set acme account --limit 1200 --until 7d"
    )]
    Limit(limit::Command),
    /// Requests of customers for higher limits: the queue, and decisions
    #[command(
        subcommand,
        after_help = "Examples:\n  levee request list\n  levee request approve acme qr-019ac0ffee0123456789 --limit 900 --until 30d"
    )]
    Request(request::Command),
    /// Token caps and cost guards: what accounts and keys may spend
    #[command(
        subcommand,
        after_help = "Examples:\n  levee cap list\n  levee cap set acme --tokens 5000000 --mode block"
    )]
    Cap(cap::Command),
    /// Usage: what accounts have used, and bringing back what could not be written
    #[command(
        subcommand,
        after_help = "Examples:\n  levee usage show acme --month 2026-11\n  levee usage replay --since 24h --dry-run"
    )]
    Usage(usage::Command),
    /// Blocks: accounts and client addresses whose API calls are refused
    #[command(
        subcommand,
        after_help = "Examples:\n  levee block list\n  levee block add 203.0.113.9 --until 24h --reason 'tries keys'"
    )]
    Block(block::Command),
    /// Breakers: which share of the calls each AI provider gets, and deciding that by hand
    #[command(
        subcommand,
        after_help = "Examples:\n  levee breaker show\n  levee breaker force primary open --for 30m --reason 'maintenance'"
    )]
    Breaker(breaker::Command),
    /// Content security policies: projects, and what browsers report about their pages
    #[command(
        subcommand,
        after_help = "Examples:\n  levee csp list shop\n  levee csp project create shop --host shop.example.com --policy policy.txt"
    )]
    Csp(csp::Command),
    /// Catalogs: the modules, starter packs and integration providers that every account reads
    #[command(
        subcommand,
        after_help = "Examples:\n  levee catalog list modules\n  levee catalog import modules modules.json --dry-run"
    )]
    Catalog(catalog::Command),
    /// Platform admins: who may sign in to the board
    #[command(
        subcommand,
        after_help = "Examples:\n  levee admin list\n  levee admin create ada@example.com --role operator"
    )]
    Admin(admin::Command),
    Audit(audit::Audit),
    Why(why::Why),
}

/// Runs the command. An error is printed to standard error.
pub async fn main(cli: Cli) -> ExitCode {
    let local = cli.target.is_local();
    match run(cli).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => error::report(&error, local),
    }
}

async fn run(cli: Cli) -> anyhow::Result<()> {
    let context = Context::open(&cli.target, cli.json).await?;
    match cli.command {
        Command::Account(command) => command.run(&context).await,
        Command::Integration(command) => command.run(&context).await,
        Command::Key(command) => command.run(&context).await,
        Command::Limit(command) => command.run(&context).await,
        Command::Request(command) => command.run(&context).await,
        Command::Cap(command) => command.run(&context).await,
        Command::Usage(command) => command.run(&context).await,
        Command::Block(command) => command.run(&context).await,
        Command::Breaker(command) => command.run(&context).await,
        Command::Csp(command) => command.run(&context).await,
        Command::Catalog(command) => command.run(&context).await,
        Command::Admin(command) => command.run(&context).await,
        Command::Audit(audit) => audit.run(&context).await,
        Command::Why(why) => why.run(&context).await,
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    fn commands(command: &clap::Command, path: &str, found: &mut Vec<(String, clap::Command)>) {
        let path = format!("{path} {}", command.get_name());
        found.push((path.clone(), command.clone()));
        for subcommand in command.get_subcommands().filter(|it| it.get_name() != "help") {
            commands(subcommand, &path, found);
        }
    }

    #[test]
    fn the_command_line_is_well_formed() {
        Cli::command().debug_assert();
    }

    #[test]
    fn every_command_says_what_it_does_and_shows_an_example_that_it_accepts() {
        let mut found = Vec::new();
        commands(&Cli::command(), "", &mut found);
        assert!(found.len() > 40, "{}", found.len());
        for (path, command) in found {
            assert!(command.get_about().is_some(), "{path} does not say what it does");
            let help = command.get_after_help().map(ToString::to_string).unwrap_or_default();
            let examples: Vec<&str> = help.lines().filter_map(|line| line.strip_prefix("  levee ")).collect();
            assert!(!examples.is_empty(), "{path} has no example");
            for example in examples {
                // Two blanks begin a remark.
                let example = example.split("  ").next().unwrap();
                let parsed = Cli::command().try_get_matches_from(words(&format!("levee {example}")));
                assert!(parsed.is_ok(), "{example}: {}", parsed.unwrap_err());
            }
        }
    }

    /// Splits a line into words as a shell does.
    fn words(line: &str) -> Vec<String> {
        let parts = line.split('\'').enumerate();
        let words = parts.flat_map(|(index, part)| match index % 2 {
            0 => part.split_whitespace().collect(),
            _ => vec![part],
        });
        words.map(str::to_owned).collect()
    }
}
