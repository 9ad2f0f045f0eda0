//! `cargo xtask e2e`: checks from the outside that the repository keeps its promises to users.
//!
//! A step is a row of [`STEPS`] with its function. A step that cannot be checked on a machine is reported as SKIPPED
//! with the reason, never silently left out.

mod docker;
mod emulator;
mod machine;
mod readme;
mod sam;
mod stack;

use anyhow::bail;

use crate::preflight::{self, Consent, Need};
use crate::report::{Outcome, Report};
use crate::workspace::Workspace;
use crate::{shell, tools};

/// One promise to check.
struct Step {
    name: &'static str,
    /// The promise, in one sentence.
    about: &'static str,
    needs: &'static [Need],
    run: fn(&Workspace) -> anyhow::Result<Outcome>,
}

impl Step {
    /// Returns the reason that the step cannot run on this machine, if there is one.
    fn obstacle(&self, workspace: &Workspace) -> Option<String> {
        if self.needs.contains(&Need::Docker) {
            docker::obstacle().or_else(|| preflight::obstacle(workspace, self.needs))
        } else {
            preflight::obstacle(workspace, self.needs)
        }
    }
}

const STEPS: &[Step] = &[
    Step {
        name: "template",
        about: "AWS's own tools accept template.yaml",
        needs: &[Need::Python, Need::Sam],
        run: template,
    },
    Step {
        name: "emulator",
        about: "the built functions answer events/ under AWS's runtime interface emulator",
        needs: &[Need::Redis, Need::CCompiler, Need::Python, Need::Sam],
        run: emulator::run,
    },
    Step {
        name: "sam-build",
        about: "sam build builds every function of the workspace (not optimised: that takes minutes more)",
        needs: &[Need::CCompiler, Need::Python, Need::Sam, Need::CargoLambda],
        run: sam::build,
    },
    Step {
        name: "sam-local",
        about: "what sam build built answers events/ under sam local invoke, in a Docker of its own",
        needs: &[Need::Redis, Need::CCompiler, Need::Python, Need::Sam, Need::CargoLambda, Need::Docker],
        run: sam::local,
    },
    Step {
        name: "readme",
        about: "the README's two commands work in a clean clone, for an ordinary user of a machine that has no redis-server",
        needs: &[],
        run: readme::run,
    },
];

/// Check the README's commands on a fresh machine, and template.yaml and the functions with AWS's tools
///
/// The steps are independent of each other; one that cannot be checked on this machine is reported as SKIPPED.
#[derive(clap::Args)]
pub(crate) struct E2e {
    /// Run only the steps of these names
    #[arg(long, value_name = "NAME", value_parser = step_names())]
    only: Vec<String>,
    #[command(flatten)]
    consent: Consent,
}

impl E2e {
    pub(crate) fn run(self, workspace: &Workspace) -> anyhow::Result<()> {
        let chosen = |step: &&Step| self.only.is_empty() || self.only.iter().any(|name| name == step.name);
        let steps = STEPS.iter().filter(chosen).collect::<Vec<_>>();
        // Install all needs at the start. Steps whose needs cannot be met here are skipped.
        let obstacles = steps.iter().map(|step| step.obstacle(workspace)).collect::<Vec<_>>();
        let possible = steps.iter().zip(&obstacles).filter(|(_, obstacle)| obstacle.is_none());
        let needs = possible.flat_map(|(step, _)| step.needs).copied().collect::<Vec<_>>();
        preflight::ensure(workspace, &needs, &self.consent)?;
        let mut report = Report::default();
        for (step, obstacle) in steps.into_iter().zip(obstacles) {
            report.step(&format!("{}: {}", step.name, step.about), || match obstacle {
                Some(why) => Ok(Outcome::Skipped(why)),
                None => (step.run)(workspace),
            });
        }
        report.finish()
    }
}

fn step_names() -> clap::builder::PossibleValuesParser {
    STEPS.iter().map(|step| step.name).collect::<Vec<_>>().into()
}

/// Checks the template against the translator's schema and cfn-lint's rules. Neither accesses AWS, so that no
/// credentials and no network are needed. The region only selects the rules by its services.
fn template(workspace: &Workspace) -> anyhow::Result<Outcome> {
    if !workspace.root.join("template.yaml").is_file() {
        bail!("there is no template.yaml");
    }
    let mut sam = workspace.command(tools::sam(workspace));
    sam.args(["validate", "--lint", "--region", "us-east-1", "--template-file", "template.yaml"]);
    shell::run(sam.env("SAM_CLI_TELEMETRY", "0"))?;
    Ok(Outcome::Ok)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_step_has_a_name_of_its_own() {
        let mut names = STEPS.iter().map(|step| step.name).collect::<Vec<_>>();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), STEPS.len());
    }
}
