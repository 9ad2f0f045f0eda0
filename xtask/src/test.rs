//! `cargo xtask test`: everything that the repository can prove about itself on one machine.

use crate::preflight::{self, Consent, Need};
use crate::report::{Outcome, Report};
use crate::shell;
use crate::workspace::Workspace;

/// What `tests/tests/sdk` and `tests/tests/scenes` cannot do without, and all other tests can.
const SDKS: [Need; 4] = [Need::Python, Need::PythonSdk, Need::Node, Need::TypeScriptSdk];

/// Run all tests: unit tests, whole-stack tests and documentation tests
///
/// The whole-stack tests run the same binaries as "cargo xtask up", each test a stack of its own on free ports. Those that
/// point Anthropic's official SDKs at it are reported as SKIPPED where the SDKs are missing and may not be installed.
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
        // Asked at once, done after the build.
        let sdks = preflight::agree(workspace, &SDKS, &self.consent);
        // Whole-stack tests start the binaries from the build directory, which cargo does not know. All targets, because
        // the features of dependencies are then those of the steps below, and nothing is built twice.
        shell::run(&mut workspace.cargo(["build", "--workspace", "--all-targets"]))?;

        let mut report = Report::default();
        let mut with_sdks = false;
        report.step("Anthropic's official SDKs", || {
            // Whatever becomes of them, the other tests run.
            let lacking = match sdks {
                Ok(sdks) => sdks.attempt(workspace)?,
                Err(refused) => Some(format!("{refused:#}")),
            };
            if let Some(lacking) = lacking {
                return Ok(Outcome::Skipped(format!(
                    "tests/tests/sdk and tests/tests/scenes do not run, as {}",
                    lacking.trim_end()
                )));
            }
            with_sdks = true;
            Ok(Outcome::Ok)
        });
        let mut step = |name: &str, arguments: &[&str]| {
            report.step(name, || shell::run(&mut workspace.cargo(arguments)).map(|()| Outcome::Ok));
        };
        let mut nextest = vec!["nextest", "run", "--workspace", "--no-fail-fast"];
        if !with_sdks {
            nextest.extend(["--profile", "without-sdks"]);
        }
        nextest.extend(self.nextest.iter().map(String::as_str));
        step("unit tests and whole-stack tests", &nextest);

        step("documentation tests", &["test", "--workspace", "--doc"]);
        report.finish()
    }
}
