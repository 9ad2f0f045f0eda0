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
    /// `c++`: libFuzzer is compiled from C++.
    CxxCompiler,
    /// `cargo nextest`.
    Nextest,
    /// `cargo deny`.
    Deny,
    /// `cargo machete`.
    Machete,
    /// `cargo fuzz`.
    Fuzz,
    /// A `python3` that can make virtual environments.
    Python,
    /// The AWS SAM CLI, in a virtual environment of ours.
    Sam,
    /// cargo-lambda, in the same. Needs [`Need::Sam`] before it.
    CargoLambda,
    /// Docker's daemon and client, on Linux.
    Docker,
    /// `node` 20 or later, and `npm`.
    Node,
    /// Anthropic's official SDK for Python, as the tests pin it. Needs [`Need::Python`] before it.
    PythonSdk,
    /// Anthropic's official SDK for TypeScript, as the tests pin it. Needs [`Need::Node`] before it.
    TypeScriptSdk,
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
            Self::CxxCompiler => machine::on_path("c++"),
            Self::Nextest => tools::installed(workspace, &tools::NEXTEST),
            Self::Deny => tools::installed(workspace, &tools::DENY),
            Self::Machete => tools::installed(workspace, &tools::MACHETE),
            Self::Fuzz => tools::installed(workspace, &tools::FUZZ),
            Self::Python => {
                tools::sam_installed(workspace)
                    || shell::succeeds(workspace.command("python3").args(["-c", "import ensurepip, venv"]))
            }
            Self::Sam => tools::sam_installed(workspace),
            Self::CargoLambda => tools::cargo_lambda_installed(workspace),
            Self::Docker => ["dockerd", "docker", "ip"].into_iter().all(machine::on_path),
            Self::Node => {
                let is_recent = "process.exit(parseInt(process.versions.node) < 20 ? 1 : 0)";
                machine::on_path("npm") && shell::succeeds(workspace.command("node").args(["-e", is_recent]))
            }
            Self::PythonSdk => tools::sdk_installed(workspace, &tools::PYTHON_SDK),
            Self::TypeScriptSdk => tools::sdk_installed(workspace, &tools::TYPESCRIPT_SDK),
        }
    }

    /// What is missing and what it is for, in one line.
    fn description(self) -> &'static str {
        match self {
            Self::Redis => "redis-server or valkey-server, or REDIS_URL set to a running one: limits are counted in it",
            Self::CCompiler => "cc, a C compiler: the cryptography and the DynamoDB emulator are compiled from C",
            Self::CxxCompiler => "c++, a C++ compiler: libFuzzer is compiled from C++",
            Self::Nextest => "cargo-nextest, which runs the tests",
            Self::Deny => "cargo-deny, which checks licences, sources and advisories of dependencies",
            Self::Machete => "cargo-machete, which finds dependencies that nothing uses",
            Self::Fuzz => "cargo-fuzz, which builds and runs fuzz targets",
            Self::Python => "python3 with its venv module, which the AWS SAM CLI and one of Anthropic's SDKs run on",
            Self::Sam => "the AWS SAM CLI, which checks template.yaml, and builds and calls functions as AWS does",
            Self::CargoLambda => "cargo-lambda, which the AWS SAM CLI builds Rust with",
            Self::Docker => "Docker (dockerd, docker) and ip, which the AWS SAM CLI calls functions in",
            Self::Node => "Node.js 20 or later with npm, which one of Anthropic's SDKs runs on",
            Self::PythonSdk => "Anthropic's SDK for Python as tests/sdk/python pins it, which tests point at the stack",
            Self::TypeScriptSdk => {
                "Anthropic's SDK for TypeScript as tests/sdk/typescript pins it, which tests point at the stack"
            }
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

/// Why these needs are not met and cannot be met here, whatever anybody agrees to; `None` where they are or can be.
pub(crate) fn obstacle(workspace: &Workspace, needs: &[Need]) -> Option<String> {
    let missing = missing(workspace, needs);
    let advice = plan::commands(&missing, &Machine::detect(), &workspace.tools()).err()?;
    Some(format!("{}{}", lacking(&missing), advice.trim_end()))
}

/// What was agreed to, not yet done.
pub(crate) struct Agreed {
    missing: Vec<Need>,
    commands: Vec<Vec<String>>,
}

/// The first half of [`ensure`]: finds what is missing and asks, so that long work may come between it and installing.
pub(crate) fn agree(workspace: &Workspace, needs: &[Need], consent: &Consent) -> anyhow::Result<Agreed> {
    let missing = missing(workspace, needs);
    if missing.is_empty() {
        return Ok(Agreed { missing, commands: Vec::new() });
    }
    let lacking = lacking(&missing);
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
        self.attempt(workspace)?.map_or(Ok(()), |lacking| bail!(lacking))
    }

    /// The same for what a command can do without: the text names what the commands did not bring, as where the system's
    /// package is too old.
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

/// Each of these needs that is not met, once.
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
