//! What a command needs from this machine, checked before anything is built.
//!
//! A fresh Debian machine with Rust, a C compiler and root is enough, and so is any account where redis-server is there:
//! what is missing is named together with the commands that would install it, and installed after a yes. Start reading
//! at [`ensure`]; [`plan`] is pure and says which commands, [`machine`] looks at what they can rely on.

mod machine;
mod plan;

use std::env;
use std::fmt::Write as _;
use std::io::{IsTerminal as _, Write as _, stdin};

use anyhow::bail;

use crate::workspace::Workspace;
use crate::{shell, tools};
use machine::Machine;

/// One thing that a command of ours cannot do without.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Need {
    /// `redis-server` or `valkey-server`, or `REDIS_URL` naming a server that runs already.
    Redis,
    /// `cc`: ring and SQLite are compiled from C.
    CCompiler,
    /// `cargo nextest`.
    Nextest,
    /// `cargo deny`.
    Deny,
    /// `cargo machete`.
    Machete,
    /// A `python3` that can make virtual environments.
    Python,
    /// The AWS SAM CLI, in a virtual environment of ours.
    Sam,
}

impl Need {
    fn met(self, workspace: &Workspace) -> bool {
        match self {
            Self::Redis => {
                env::var_os("REDIS_URL").is_some_and(|url| !url.is_empty())
                    || machine::on_path("redis-server")
                    || machine::on_path("valkey-server")
            }
            Self::CCompiler => machine::on_path("cc"),
            Self::Nextest => tools::installed(workspace, &tools::NEXTEST),
            Self::Deny => tools::installed(workspace, &tools::DENY),
            Self::Machete => tools::installed(workspace, &tools::MACHETE),
            Self::Python => {
                tools::sam_installed(workspace)
                    || shell::succeeds(workspace.command("python3").args(["-c", "import ensurepip, venv"]))
            }
            Self::Sam => tools::sam_installed(workspace),
        }
    }

    /// What is missing and what it is for, in one line.
    fn description(self) -> &'static str {
        match self {
            Self::Redis => "redis-server or valkey-server, or REDIS_URL set to a running one: limits are counted in it",
            Self::CCompiler => "cc, a C compiler: the cryptography and the DynamoDB emulator are compiled from C",
            Self::Nextest => "cargo-nextest, which runs the tests",
            Self::Deny => "cargo-deny, which checks licences, sources and advisories of dependencies",
            Self::Machete => "cargo-machete, which finds dependencies that nothing uses",
            Self::Python => "python3 with its venv module, which the AWS SAM CLI runs on",
            Self::Sam => "the AWS SAM CLI, which checks template.yaml",
        }
    }
}

/// Whether what is missing may be installed.
#[derive(clap::Args)]
pub(crate) struct Consent {
    /// Install what is missing without asking, as CI=true does
    #[arg(long, conflicts_with = "no_install")]
    yes: bool,
    /// Install nothing: where something is missing, say what, and stop
    #[arg(long)]
    no_install: bool,
}

#[derive(Debug, PartialEq, Eq)]
enum Answer {
    Yes,
    Ask,
    /// Nobody may or can be asked; the text says what to do about it.
    No(&'static str),
}

impl Consent {
    fn answer(&self, ci: bool, terminal: bool) -> Answer {
        match self {
            Self { no_install: true, .. } => Answer::No("--no-install was given, so install it yourself:"),
            Self { yes: true, .. } => Answer::Yes,
            _ if ci => Answer::Yes,
            _ if terminal => Answer::Ask,
            _ => Answer::No(
                "there is no terminal to ask at. Add --yes to have these commands run, or run them yourself:",
            ),
        }
    }
}

/// Installs what is missing of these needs, after a yes.
///
/// # Errors
///
/// Something is missing and must not or cannot be installed, or its installation failed. The text names what, and the
/// commands that install it.
pub(crate) fn ensure(workspace: &Workspace, needs: &[Need], consent: &Consent) -> anyhow::Result<()> {
    agree(workspace, needs, consent)?.carry_out(workspace)
}

/// What was agreed to, not yet done.
pub(crate) struct Agreed {
    missing: Vec<Need>,
    commands: Vec<Vec<String>>,
}

/// The first half of [`ensure`]: finds what is missing and asks, so that long work may come between it and installing.
pub(crate) fn agree(workspace: &Workspace, needs: &[Need], consent: &Consent) -> anyhow::Result<Agreed> {
    let missing = needs.iter().copied().filter(|need| !need.met(workspace)).collect::<Vec<_>>();
    if missing.is_empty() {
        return Ok(Agreed { missing, commands: Vec::new() });
    }
    let mut lacking = String::from("this machine lacks:\n");
    for need in &missing {
        let _ = writeln!(lacking, "  - {}", need.description());
    }
    let commands = match plan::commands(&missing, &Machine::detect(), &workspace.tools()) {
        Ok(commands) => commands,
        Err(advice) => bail!("{lacking}{advice}"),
    };
    let listing = listing(&commands);
    let ci = env::var_os("CI").is_some_and(|ci| ci == "true" || ci == "1");
    match consent.answer(ci, stdin().is_terminal()) {
        Answer::Yes => eprintln!("{lacking}Installing it with:\n{listing}"),
        Answer::Ask => {
            eprint!("{lacking}These commands install it:\n{listing}Run them now? [y/N] ");
            std::io::stderr().flush()?;
            let mut reply = String::new();
            stdin().read_line(&mut reply)?;
            if !matches!(reply.trim(), "y" | "Y" | "yes" | "Yes") {
                bail!("nothing was installed, and without it this command cannot go on");
            }
        }
        Answer::No(why) => bail!("{lacking}{why}\n{listing}"),
    }
    Ok(Agreed { missing, commands })
}

impl Agreed {
    /// Runs the commands, and checks that they brought what was missing.
    pub(crate) fn carry_out(&self, workspace: &Workspace) -> anyhow::Result<()> {
        for words in &self.commands {
            let Some((program, arguments)) = words.split_first() else { continue };
            // Tools are built in cargo's own temporary folder, not among our packages.
            shell::run(workspace.command(program).args(arguments).env_remove("CARGO_TARGET_DIR"))?;
        }
        match self.missing.iter().find(|need| !need.met(workspace)) {
            Some(need) => bail!("the installation succeeded, yet this machine still lacks {}", need.description()),
            None => Ok(()),
        }
    }
}

fn listing(commands: &[Vec<String>]) -> String {
    let mut lines = String::new();
    for words in commands {
        let words = words.iter().map(|word| shell::quote(word)).collect::<Vec<_>>();
        let _ = writeln!(lines, "  {}", words.join(" "));
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    const NEITHER: Consent = Consent { yes: false, no_install: false };

    #[test]
    fn yes_and_ci_install_without_a_question() {
        assert_eq!(Consent { yes: true, ..NEITHER }.answer(false, false), Answer::Yes);
        assert_eq!(NEITHER.answer(true, false), Answer::Yes);
    }

    #[test]
    fn a_person_is_asked() {
        assert_eq!(NEITHER.answer(false, true), Answer::Ask);
    }

    #[test]
    fn no_install_wins_over_ci() {
        assert!(matches!(Consent { no_install: true, ..NEITHER }.answer(true, true), Answer::No(_)));
    }

    #[test]
    fn a_script_without_yes_is_told_about_it() {
        let Answer::No(why) = NEITHER.answer(false, false) else { panic!("must refuse") };
        assert!(why.contains("--yes"), "{why}");
    }

    #[test]
    fn the_listing_can_be_pasted() {
        let commands = [vec!["apt-get".to_owned(), "update".to_owned()], vec!["pip".to_owned(), "a>=1".to_owned()]];
        assert_eq!(listing(&commands), "  apt-get update\n  pip 'a>=1'\n");
    }
}
