//! Developers' tools that are not part of the system: their versions, and where they live.

use std::path::{Path, PathBuf};

use crate::shell;
use crate::workspace::Workspace;

/// A tool that cargo builds from its published source.
pub(crate) struct CargoTool {
    name: &'static str,
    /// As in a Cargo.toml.
    version: &'static str,
    features: &'static [&'static str],
}

/// Runs the tests, each in a process of its own. It need not update itself.
pub(crate) const NEXTEST: CargoTool = CargoTool {
    name: "cargo-nextest",
    version: "^0.9.100",
    features: &["--no-default-features", "--features", "default-no-update"],
};

/// Judges dependencies by deny.toml.
pub(crate) const DENY: CargoTool = CargoTool { name: "cargo-deny", version: "^0.20", features: &[] };

/// Finds dependencies that nothing uses.
pub(crate) const MACHETE: CargoTool = CargoTool { name: "cargo-machete", version: "^0.9", features: &[] };

/// The SAM CLI, and the translator that `sam validate` judges with: from 1.109 on it knows streamed responses on a REST
/// API's routes.
const SAM: [&str; 2] = ["aws-sam-cli>=1.150,<2", "aws-sam-translator>=1.109,<2"];

/// True where the developer has this tool, or we installed it.
pub(crate) fn installed(workspace: &Workspace, tool: &CargoTool) -> bool {
    // Asked through cargo, because a tool that finds cargo's variables set takes itself for a subcommand.
    let subcommand = tool.name.trim_start_matches("cargo-");
    shell::succeeds(&mut workspace.cargo([subcommand, "--version"]))
}

/// True where the virtual environment is there, complete and still working.
pub(crate) fn sam_installed(workspace: &Workspace) -> bool {
    shell::succeeds(workspace.command(sam(workspace)).arg("--version"))
}

/// The `sam` command of our virtual environment.
pub(crate) fn sam(workspace: &Workspace) -> PathBuf {
    venv(&workspace.tools()).join("bin/sam")
}

/// The command that builds a tool into this folder. Tools run for seconds: building them fast matters more than their
/// speed.
pub(crate) fn cargo_install(tools: &Path, tool: &CargoTool) -> Vec<String> {
    let profile =
        ["LTO=off", "OPT_LEVEL=1", "CODEGEN_UNITS=16"].map(|setting| format!("CARGO_PROFILE_RELEASE_{setting}"));
    let root = tools.display().to_string();
    let install = ["cargo", "install", "--locked", "--root", &root, tool.name, "--version", tool.version];
    let words = install.iter().chain(tool.features).map(|word| (*word).to_owned());
    std::iter::once("env".to_owned()).chain(profile).chain(words).collect()
}

/// The commands that make the SAM CLI's virtual environment in this folder.
pub(crate) fn sam_install(tools: &Path) -> Vec<Vec<String>> {
    let venv = venv(tools);
    let create = ["python3", "-m", "venv", &venv.display().to_string()].map(str::to_owned).to_vec();
    let pip = venv.join("bin/pip").display().to_string();
    let install = [pip.as_str(), "install", "--quiet", "--disable-pip-version-check"];
    vec![create, install.iter().chain(&SAM).map(|word| (*word).to_owned()).collect()]
}

fn venv(tools: &Path) -> PathBuf {
    tools.join("sam-venv")
}
