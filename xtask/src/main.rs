//! The developers' command, `cargo xtask`: runs the whole stack on this machine, tests it, lints it, and checks the
//! README's promises from the outside.
//!
//! Each command has a file, which declares its needs of the machine; [`preflight`] installs them.
#![allow(clippy::print_stdout, reason = "a command line tool talks on standard output")]

mod bench;
mod docker;
mod e2e;
mod fuzz;
mod language;
mod lint;
mod preflight;
mod report;
mod shell;
mod test;
mod tools;
mod up;
mod workspace;

use clap::Parser as _;

#[derive(clap::Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask", about = "Run, test and check Levee on this machine")]
enum Xtask {
    Up(up::Up),
    Test(test::Test),
    Lint(lint::Lint),
    Language(language::Language),
    E2e(e2e::E2e),
    Bench(bench::Bench),
    Fuzz(fuzz::Fuzz),
}

fn main() -> std::process::ExitCode {
    let outcome = workspace::Workspace::locate().and_then(|workspace| match Xtask::parse() {
        Xtask::Up(up) => up.run(&workspace),
        Xtask::Test(test) => test.run(&workspace),
        Xtask::Lint(lint) => lint.run(&workspace),
        Xtask::Language(language) => language.run(&workspace),
        Xtask::E2e(e2e) => e2e.run(&workspace),
        Xtask::Bench(bench) => bench.run(&workspace),
        Xtask::Fuzz(fuzz) => fuzz.run(&workspace),
    });
    outcome.map_or_else(shell::fail, |()| std::process::ExitCode::SUCCESS)
}
