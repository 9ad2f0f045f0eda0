//! `cargo xtask lint`: formatting, lints, documentation and dependencies.

use std::time::Duration;

use crate::language::Language;
use crate::preflight::{self, Consent, Need};
use crate::report::{Outcome, Report};
use crate::shell;
use crate::workspace::Workspace;

/// Time-out of the download of the advisory database, a few megabytes of git.
const ADVISORIES_LIMIT: Duration = Duration::from_secs(120);

/// Check formatting, lints, documentation and dependencies
///
/// All checks run, even if earlier ones failed; the end lists those that failed.
#[derive(clap::Args)]
pub(crate) struct Lint {
    #[command(flatten)]
    consent: Consent,
}

impl Lint {
    pub(crate) fn run(self, workspace: &Workspace) -> anyhow::Result<()> {
        // Ask for consent now, install after the checks that need no tool: a formatting error is reported within a
        // second.
        let tools = preflight::agree(workspace, &[Need::Deny, Need::Machete], &self.consent)?;
        let mut report = Report::default();
        let cargo = |arguments: &[&str]| shell::run(&mut workspace.cargo(arguments)).map(|()| Outcome::Ok);

        report.step("formatting", || cargo(&["fmt", "--all", "--check"]));
        report.step("clippy", || cargo(&["clippy", "--workspace", "--all-targets", "--", "-D", "warnings"]));
        report.step("documentation", || {
            let mut doc = workspace.cargo(["doc", "--workspace", "--no-deps", "--document-private-items"]);
            shell::run(doc.env("RUSTDOCFLAGS", "-D warnings")).map(|()| Outcome::Ok)
        });
        report.step("language", || Language::default().run(workspace).map(|()| Outcome::Ok));
        report.step("tools for dependencies", || tools.carry_out(workspace).map(|()| Outcome::Ok));
        report.step("unused dependencies", || cargo(&["machete"]));
        report.step("licences, sources and bans", || cargo(&["deny", "check", "bans", "licenses", "sources"]));
        report.step("advisories", || advisories(workspace));
        report.finish()
    }
}

/// Checks advisories. The database comes from the internet; if it cannot be fetched, the check is skipped, since that
/// is not a fault of the code.
fn advisories(workspace: &Workspace) -> anyhow::Result<Outcome> {
    let mut fetch = workspace.cargo(["deny", "fetch", "db"]);
    eprintln!("$ {}", shell::line(&fetch));
    let fetched = shell::wait(&mut fetch.spawn()?, ADVISORIES_LIMIT)?;
    if !fetched.is_some_and(|status| status.success()) {
        return Ok(Outcome::Skipped("the advisory database cannot be fetched from here".to_owned()));
    }
    shell::run(&mut workspace.cargo(["deny", "check", "advisories"])).map(|()| Outcome::Ok)
}
