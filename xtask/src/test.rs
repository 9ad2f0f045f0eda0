//! `cargo xtask test`: everything that the repository can prove about itself on one machine.

use crate::preflight::{self, Consent, Need};
use crate::report::{Outcome, Report};
use crate::shell;
use crate::workspace::Workspace;

/// Run all tests: unit tests, whole-stack tests and documentation tests
///
/// The whole-stack tests run the same binaries as "cargo xtask up", each test a stack of its own on free ports.
#[derive(clap::Args)]
pub(crate) struct Test {
    #[command(flatten)]
    consent: Consent,
    /// Arguments for cargo nextest, for example a part of a test's name
    #[arg(last = true, value_name = "NEXTEST ARGUMENTS")]
    nextest: Vec<String>,
}

impl Test {
    pub(crate) fn run(self, workspace: &Workspace) -> anyhow::Result<()> {
        preflight::ensure(workspace, &[Need::Redis, Need::CCompiler, Need::Nextest], &self.consent)?;
        // Whole-stack tests start the binaries from the build directory, which cargo does not know. All targets, because
        // the features of dependencies are then those of the steps below, and nothing is built twice.
        shell::run(&mut workspace.cargo(["build", "--workspace", "--all-targets"]))?;

        let mut report = Report::default();
        let mut step = |name: &str, arguments: &[&str]| {
            report.step(name, || shell::run(&mut workspace.cargo(arguments)).map(|()| Outcome::Ok));
        };
        let mut nextest = vec!["nextest", "run", "--workspace", "--no-fail-fast"];
        nextest.extend(self.nextest.iter().map(String::as_str));
        step("unit tests and whole-stack tests", &nextest);

        step("documentation tests", &["test", "--workspace", "--doc"]);
        report.finish()
    }
}
