//! Checks a command's needs before anything is built.
//!
//! A need that is not met is reported together with the commands that install it. Commands that only write to the
//! build directory run without a question; this includes Redis if the distribution's package can be unpacked there.
//! Commands that change the system run only after consent. A machine with Rust, a C compiler and apt or dnf is
//! therefore enough, for any user. Start reading at [`ensure`]. [`plan`] is pure and chooses the commands;
//! [`machine`] detects what they can rely on.

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

/// Installs missing needs, after consent if that changes the system.
///
/// # Errors
///
/// Something is missing and must not or cannot be installed, or its installation failed. The text names it, and the
/// commands that install it.
pub(crate) fn ensure(workspace: &Workspace, needs: &[Need], consent: &Consent) -> anyhow::Result<()> {
    agree(workspace, needs, consent)?.carry_out(workspace)
}

/// Returns the reason that needs are missing and cannot be installed here, even with consent; `None` if they are met
/// or can be.
pub(crate) fn obstacle(workspace: &Workspace, needs: &[Need]) -> Option<String> {
    let missing = missing(workspace, needs);
    let advice = Plan::new(&missing, &Machine::detect(workspace), &workspace.tools()).err()?;
    Some(format!("{}{}", lacking(&missing), advice.trim_end()))
}

/// Commands that have consent and have not run yet.
pub(crate) struct Agreed {
    missing: Vec<Need>,
    commands: Vec<Vec<String>>,
}

/// Finds missing needs and asks for consent if it is required. This is the first half of [`ensure`], so that long
/// work can be done between the question and the installation.
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
    // Ask, or decide by the flags.
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
    /// Runs the commands and checks that all needs are met afterwards.
    pub(crate) fn carry_out(&self, workspace: &Workspace) -> anyhow::Result<()> {
        self.attempt(workspace)?.map_or(Ok(()), |lacking| bail!(lacking))
    }

    /// Runs the commands for needs that are optional, and returns a description of the first one that is still
    /// missing, for example because the system's package is too old.
    pub(crate) fn attempt(&self, workspace: &Workspace) -> anyhow::Result<Option<String>> {
        for words in &self.commands {
            let Some((program, arguments)) = words.split_first() else { continue };
            // Build tools in cargo's own temporary folder, not among the workspace's packages.
            shell::run(workspace.command(program).args(arguments).env_remove("CARGO_TARGET_DIR"))?;
        }
        let lacking = self.missing.iter().find(|need| !need.met(workspace));
        Ok(lacking
            .map(|need| format!("the installation succeeded, yet this machine still lacks {}", need.description())))
    }
}

/// Returns the needs that are not met, without duplicates.
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
