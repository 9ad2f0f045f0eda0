//! The needs of a command, checked before anything is built.
//!
//! A need that is not met is named together with the commands that meet it. Those that keep to the build directory run
//! without a question, Redis's among them where the distribution's package can be unpacked there; those that change the
//! system run after a yes. A machine with Rust, a C compiler and apt or dnf is therefore enough, for any user. Start
//! reading at [`ensure`]; [`plan`] is pure and says which commands, [`machine`] looks at what they can rely on.

mod consent;
mod machine;
mod need;
mod packages;
mod plan;

use std::fmt::Write as _;
use std::io::{IsTerminal as _, Write as _, stdin};

use anyhow::bail;

pub(crate) use consent::{Consent, is_ci};
pub(crate) use need::Need;

use crate::shell;
use crate::workspace::Workspace;
use consent::Answer;
use machine::Machine;
use plan::{Plan, listing};

/// Installs what is missing of these needs, after a yes where that changes the system.
///
/// # Errors
///
/// Something is missing and must not or cannot be installed, or its installation failed. The text names what, and the
/// commands that install it.
pub(crate) fn ensure(workspace: &Workspace, needs: &[Need], consent: &Consent) -> anyhow::Result<()> {
    agree(workspace, needs, consent)?.carry_out(workspace)
}

/// Returns why these needs are not met and cannot be met here, whatever is agreed to; `None` where they are or can be.
pub(crate) fn obstacle(workspace: &Workspace, needs: &[Need]) -> Option<String> {
    let missing = missing(workspace, needs);
    let advice = Plan::new(&missing, &Machine::detect(workspace), &workspace.tools()).err()?;
    Some(format!("{}{}", lacking(&missing), advice.trim_end()))
}

/// Commands that were agreed to and have not run yet.
pub(crate) struct Agreed {
    missing: Vec<Need>,
    commands: Vec<Vec<String>>,
}

/// Finds what is missing and asks where that takes a yes: the first half of [`ensure`], so that long work may come
/// between the question and the installation.
pub(crate) fn agree(workspace: &Workspace, needs: &[Need], consent: &Consent) -> anyhow::Result<Agreed> {
    let missing = missing(workspace, needs);
    if missing.is_empty() {
        return Ok(Agreed { missing, commands: Vec::new() });
    }
    let lacking = lacking(&missing);
    let plan = match Plan::new(&missing, &Machine::detect(workspace), &workspace.tools()) {
        Ok(plan) => plan,
        Err(advice) => bail!("{lacking}{advice}"),
    };
    let changes_system = plan.changes_system();
    let commands = plan.commands();
    let listing = listing(&commands);
    match consent.answer(changes_system, is_ci(), stdin().is_terminal()) {
        Answer::Yes if changes_system => eprintln!("{lacking}Installing it with:\n{listing}"),
        Answer::Yes => {
            let tools = workspace.tools();
            eprintln!("{lacking}Installing it into {}; the system stays as it is:\n{listing}", tools.display());
        }
        Answer::Ask => {
            eprint!("{lacking}These commands install it:\n{listing}Run them now? [y/N] ");
            std::io::stderr().flush()?;
            let mut reply = String::new();
            stdin().read_line(&mut reply)?;
            if !matches!(reply.trim(), "y" | "Y" | "yes" | "Yes") {
                bail!("nothing was installed, as the answer was not yes");
            }
        }
        Answer::No(why) => bail!("{lacking}{why}\n{listing}"),
    }
    Ok(Agreed { missing, commands })
}

impl Agreed {
    /// Runs the commands, and checks that they brought what was missing.
    pub(crate) fn carry_out(&self, workspace: &Workspace) -> anyhow::Result<()> {
        self.attempt(workspace)?.map_or(Ok(()), |lacking| bail!(lacking))
    }

    /// Runs the commands of what a command can do without, and returns the name of what they did not bring, as where the
    /// system's package is too old.
    pub(crate) fn attempt(&self, workspace: &Workspace) -> anyhow::Result<Option<String>> {
        for words in &self.commands {
            let Some((program, arguments)) = words.split_first() else { continue };
            // Tools are built in cargo's own temporary folder, not among our packages.
            shell::run(workspace.command(program).args(arguments).env_remove("CARGO_TARGET_DIR"))?;
        }
        let lacking = self.missing.iter().find(|need| !need.met(workspace));
        Ok(lacking
            .map(|need| format!("the installation succeeded, yet this machine still lacks {}", need.description())))
    }
}

/// Returns each of these needs that is not met, once.
fn missing(workspace: &Workspace, needs: &[Need]) -> Vec<Need> {
    let mut missing = Vec::new();
    for need in needs {
        if !missing.contains(need) && !need.met(workspace) {
            missing.push(*need);
        }
    }
    missing
}

fn lacking(missing: &[Need]) -> String {
    let mut lacking = String::from("this machine lacks:\n");
    for need in missing {
        let _ = writeln!(lacking, "  - {}", need.description());
    }
    lacking
}
