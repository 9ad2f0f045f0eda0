//! `levee-local`: the whole Levee stack on one machine. For its usage see `--help`, for its parts `local::stack`.

use std::process::ExitCode;

use clap::Parser;

fn main() -> ExitCode {
    if let Some(failure) = local::process::exec_if_guard(std::env::args_os()) {
        eprintln!("levee-local: {failure}");
        return ExitCode::from(127);
    }
    let options = local::Options::parse();
    match local::run(options) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("levee-local: {failure:#}");
            ExitCode::FAILURE
        }
    }
}
