//! Developers' tools that are not part of the system: their versions, and where they live.

use std::fs;
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

/// Builds and runs the targets under fuzz/.
pub(crate) const FUZZ: CargoTool = CargoTool { name: "cargo-fuzz", version: "^0.13", features: &[] };

/// The SAM CLI: from 1.170 on its `sam validate` knows streamed responses on a REST API's routes, and its `sam build` the
/// packages of a workspace.
const SAM: &str = "aws-sam-cli>=1.170,<2";

/// What `sam build` builds Rust with. It brings the Zig that it links with.
const CARGO_LAMBDA: &str = "cargo-lambda>=1.9,<2";

/// An official SDK of Anthropic's: pinned under `tests/sdk/<name>`, installed into the tools' `sdk-<name>`, and pointed
/// at the stack by `tests/tests/sdk`, which looks there.
pub(crate) struct Sdk {
    name: &'static str,
    /// The file that pins the SDK and what it brings along. Its copy, called [`INSTALLED`], is there once all of that is.
    pins: &'static str,
    /// Something of the SDK's own.
    part: &'static str,
}

/// `anthropic` from PyPI, in a virtual environment.
pub(crate) const PYTHON_SDK: Sdk = Sdk { name: "python", pins: "requirements.txt", part: "bin/python" };

/// `@anthropic-ai/sdk` from npm.
pub(crate) const TYPESCRIPT_SDK: Sdk =
    Sdk { name: "typescript", pins: "package-lock.json", part: "node_modules/@anthropic-ai/sdk" };

const INSTALLED: &str = "installed";

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

/// True where `sam build` finds its cargo-lambda.
pub(crate) fn cargo_lambda_installed(workspace: &Workspace) -> bool {
    let program = venv(&workspace.tools()).join("bin/cargo-lambda");
    shell::succeeds(workspace.command(program).args(["lambda", "--version"]))
}

/// The folder of the programs of our virtual environment.
pub(crate) fn sam_programs(workspace: &Workspace) -> PathBuf {
    venv(&workspace.tools()).join("bin")
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
    vec![create, pip_install(tools, SAM)]
}

/// The command that adds cargo-lambda to the SAM CLI's virtual environment.
pub(crate) fn cargo_lambda_install(tools: &Path) -> Vec<String> {
    pip_install(tools, CARGO_LAMBDA)
}

fn pip_install(tools: &Path, package: &str) -> Vec<String> {
    let pip = venv(tools).join("bin/pip").display().to_string();
    [pip.as_str(), "install", "--quiet", "--disable-pip-version-check", package].map(str::to_owned).to_vec()
}

/// True where the SDK is there in its pinned version.
pub(crate) fn sdk_installed(workspace: &Workspace, sdk: &Sdk) -> bool {
    let folder = sdk.folder(&workspace.tools());
    let installed = fs::read(folder.join(INSTALLED));
    let pinned = fs::read(workspace.root.join("tests/sdk").join(sdk.name).join(sdk.pins));
    // The interpreter is a link, which an update of the system's Python breaks.
    folder.join(sdk.part).exists() && matches!((installed, pinned), (Ok(installed), Ok(pinned)) if installed == pinned)
}

/// The commands that install the SDK for Python; they run in the workspace's root.
pub(crate) fn python_sdk_install(tools: &Path) -> Vec<Vec<String>> {
    let folder = PYTHON_SDK.folder(tools).display().to_string();
    let pip = format!("{folder}/bin/pip");
    let pins = "tests/sdk/python/requirements.txt";
    vec![
        words(&["python3", "-m", "venv", "--clear", &folder]),
        words(&[&pip, "install", "--quiet", "--disable-pip-version-check", "--requirement", pins]),
        words(&["cp", pins, &format!("{folder}/{INSTALLED}")]),
    ]
}

/// The commands that install the SDK for TypeScript; they run in the workspace's root.
pub(crate) fn typescript_sdk_install(tools: &Path) -> Vec<Vec<String>> {
    let folder = TYPESCRIPT_SDK.folder(tools).display().to_string();
    let pins = "tests/sdk/typescript/package-lock.json";
    vec![
        words(&["mkdir", "-p", &folder]),
        words(&["cp", "tests/sdk/typescript/package.json", pins, &folder]),
        words(&["npm", "ci", "--prefix", &folder, "--ignore-scripts", "--no-audit", "--no-fund"]),
        words(&["cp", pins, &format!("{folder}/{INSTALLED}")]),
    ]
}

impl Sdk {
    fn folder(&self, tools: &Path) -> PathBuf {
        tools.join(format!("sdk-{}", self.name))
    }
}

fn words(words: &[&str]) -> Vec<String> {
    words.iter().map(|word| (*word).to_owned()).collect()
}

fn venv(tools: &Path) -> PathBuf {
    tools.join("sam-venv")
}
