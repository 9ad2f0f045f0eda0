//! `cargo xtask fuzz`: fuzzes the code that parses untrusted bytes.
//!
//! The targets are in `fuzz/`, a workspace of its own. They need no nightly toolchain: the stable compiler has
//! libFuzzer's instrumentation. Sanitizers, which are not in it, would find nothing in code without `unsafe`.

use std::fs;

use anyhow::Context as _;

use crate::preflight::{self, Consent, Need};
use crate::report::{Outcome, Report};
use crate::shell;
use crate::workspace::Workspace;

/// Files of `fuzz/fuzz_targets`.
const TARGETS: [&str; 4] = ["csp_report", "sse", "usage_message", "usage_stream"];

/// Initial corpus of every run.
const SEEDS: &str = "shared/core/src/metering/usage/corpus";

/// Largest generated input, in bytes: a few times the largest seed.
const LARGEST_INPUT: u32 = 16 * 1024;

/// Fuzz the code that parses untrusted bytes
///
/// A finding ends its target's run and is kept in fuzz/artifacts; the corpus is kept in fuzz/corpus for the next run.
#[derive(clap::Args)]
pub(crate) struct Fuzz {
    #[command(flatten)]
    consent: Consent,
    /// Duration of each target's run, in seconds
    #[arg(long, value_name = "N", default_value_t = 60, value_parser = clap::value_parser!(u32).range(1..))]
    seconds: u32,
    /// The one target to run; without it, all
    #[arg(value_parser = TARGETS)]
    target: Option<String>,
}

impl Fuzz {
    pub(crate) fn run(self, workspace: &Workspace) -> anyhow::Result<()> {
        preflight::ensure(workspace, &[Need::CCompiler, Need::CxxCompiler, Need::Fuzz], &self.consent)?;
        let mut report = Report::default();
        for target in TARGETS {
            if self.target.as_ref().is_none_or(|only| only == target) {
                report.step(target, || fuzz(workspace, target, self.seconds).map(|()| Outcome::Ok));
            }
        }
        report.finish()
    }
}

fn fuzz(workspace: &Workspace, target: &str, seconds: u32) -> anyhow::Result<()> {
    let corpus = workspace.root.join("fuzz/corpus").join(target);
    fs::create_dir_all(&corpus).with_context(|| format!("cannot create {}", corpus.display()))?;
    let mut run = workspace.cargo(["fuzz", "run", "--sanitizer", "none", "--target-dir"]);
    run.arg(workspace.target.join("fuzz")).arg(target).arg(corpus).arg(SEEDS).arg("--");
    run.arg(format!("-max_total_time={seconds}")).arg(format!("-max_len={LARGEST_INPUT}"));
    shell::run(run.args(["-dict=fuzz/words.dict", "-print_final_stats=1"]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_target_is_run() {
        let workspace = Workspace::locate().unwrap();
        let files = fs::read_dir(workspace.root.join("fuzz/fuzz_targets")).unwrap();
        let mut names =
            files.map(|file| file.unwrap().path().file_stem().unwrap().display().to_string()).collect::<Vec<_>>();
        names.sort();
        assert_eq!(names, TARGETS);
    }
}
