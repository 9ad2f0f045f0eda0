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

/// The builder of Rust functions for `sam build`. It brings the Zig that it links with.
const CARGO_LAMBDA: &str = "cargo-lambda>=1.9,<2";

/// A package that whole-stack tests use: pinned under `tests/sdk/<name>` and installed into the tools' `sdk-<name>`,
/// where the tests look for it.
pub(crate) struct TestPackage {
    name: &'static str,
    /// The file that pins the package and its dependencies. Its copy, called [`INSTALLED`], is written last.
    pins: &'static str,
    /// A file or folder of the package's own.
    part: &'static str,
}

/// `anthropic` from PyPI, in a virtual environment.
pub(crate) const PYTHON_SDK: TestPackage = TestPackage { name: "python", pins: "requirements.txt", part: "bin/python" };

/// `@anthropic-ai/sdk` from npm.
pub(crate) const TYPESCRIPT_SDK: TestPackage =
    TestPackage { name: "typescript", pins: "package-lock.json", part: "node_modules/@anthropic-ai/sdk" };

/// `axe-core` from npm, which judges whether a page is accessible.
pub(crate) const AXE: TestPackage =
    TestPackage { name: "axe", pins: "package-lock.json", part: "node_modules/axe-core/axe.min.js" };

/// The script that unpacks the distribution's Redis; from the workspace's root.
const REDIS_SCRIPT: &str = "xtask/src/preflight/redis.sh";

const INSTALLED: &str = "installed";

/// Returns true where the developer has this tool, or we installed it.
pub(crate) fn installed(workspace: &Workspace, tool: &CargoTool) -> bool {
    // Asked through cargo, because a tool that finds cargo's variables set takes itself for a subcommand.
    let subcommand = tool.name.trim_start_matches("cargo-");
    shell::succeeds(&mut workspace.cargo([subcommand, "--version"]))
}

/// Returns true where the virtual environment is complete and still works.
pub(crate) fn sam_installed(workspace: &Workspace) -> bool {
    shell::succeeds(workspace.command(sam(workspace)).arg("--version"))
}

/// The `sam` command of our virtual environment.
pub(crate) fn sam(workspace: &Workspace) -> PathBuf {
    venv(&workspace.tools()).join("bin/sam")
}

/// Returns true where `sam build` finds its cargo-lambda.
pub(crate) fn cargo_lambda_installed(workspace: &Workspace) -> bool {
    let program = venv(&workspace.tools()).join("bin/cargo-lambda");
    shell::succeeds(workspace.command(program).args(["lambda", "--version"]))
}

/// The folder of the programs of our virtual environment.
pub(crate) fn sam_programs(workspace: &Workspace) -> PathBuf {
    venv(&workspace.tools()).join("bin")
}

/// Returns the command that builds a tool into this folder. Tools run for seconds: building them fast matters more than their
/// speed.
pub(crate) fn cargo_install(tools: &Path, tool: &CargoTool) -> Vec<String> {
    let profile =
        ["LTO=off", "OPT_LEVEL=0", "CODEGEN_UNITS=16"].map(|setting| format!("CARGO_PROFILE_RELEASE_{setting}"));
    let root = tools.display().to_string();
    let install = ["cargo", "install", "--locked", "--root", &root, tool.name, "--version", tool.version];
    let words = install.iter().chain(tool.features).map(|word| (*word).to_owned());
    std::iter::once("env".to_owned()).chain(profile).chain(words).collect()
}

/// Returns the commands that make the SAM CLI's virtual environment in this folder.
pub(crate) fn sam_install(tools: &Path) -> Vec<Vec<String>> {
    let venv = venv(tools);
    let create = ["python3", "-m", "venv", &venv.display().to_string()].map(str::to_owned).to_vec();
    vec![create, pip_install(tools, SAM)]
}

/// Returns the command that adds cargo-lambda to the SAM CLI's virtual environment.
pub(crate) fn cargo_lambda_install(tools: &Path) -> Vec<String> {
    pip_install(tools, CARGO_LAMBDA)
}

fn pip_install(tools: &Path, package: &str) -> Vec<String> {
    let pip = venv(tools).join("bin/pip").display().to_string();
    [pip.as_str(), "install", "--quiet", "--disable-pip-version-check", package].map(str::to_owned).to_vec()
}

/// Returns true where the server that [`redis_fetch`] unpacked is there and runs.
pub(crate) fn redis_fetched(workspace: &Workspace) -> bool {
    let program = workspace.tools().join("bin/redis-server");
    shell::succeeds(workspace.command(program).arg("--version"))
}

/// Returns the command that unpacks the distribution's Redis into this folder; it runs in the workspace's root.
pub(crate) fn redis_fetch(tools: &Path, manager: &str) -> Vec<String> {
    words(&["sh", REDIS_SCRIPT, manager, &tools.display().to_string()])
}

/// Returns true where the package is there in its pinned version.
pub(crate) fn package_installed(workspace: &Workspace, package: &TestPackage) -> bool {
    let folder = package.folder(&workspace.tools());
    let installed = fs::read(folder.join(INSTALLED));
    let pinned = fs::read(workspace.root.join(package.source(package.pins)));
    // The interpreter is a link, which an update of the system's Python breaks.
    folder.join(package.part).exists()
        && matches!((installed, pinned), (Ok(installed), Ok(pinned)) if installed == pinned)
}

/// Returns the commands that install the SDK for Python; they run in the workspace's root.
pub(crate) fn python_sdk_install(tools: &Path) -> Vec<Vec<String>> {
    let folder = PYTHON_SDK.folder(tools).display().to_string();
    let pip = format!("{folder}/bin/pip");
    let pins = PYTHON_SDK.source(PYTHON_SDK.pins);
    vec![
        words(&["python3", "-m", "venv", "--clear", &folder]),
        words(&[&pip, "install", "--quiet", "--disable-pip-version-check", "--requirement", &pins]),
        words(&["cp", &pins, &format!("{folder}/{INSTALLED}")]),
    ]
}

/// Returns the commands that install a package from npm; they run in the workspace's root.
pub(crate) fn npm_install(tools: &Path, package: &TestPackage) -> Vec<Vec<String>> {
    let folder = package.folder(tools).display().to_string();
    let pins = package.source(package.pins);
    vec![
        words(&["mkdir", "-p", &folder]),
        words(&["cp", &package.source("package.json"), &pins, &folder]),
        words(&["npm", "ci", "--prefix", &folder, "--ignore-scripts", "--no-audit", "--no-fund"]),
        words(&["cp", &pins, &format!("{folder}/{INSTALLED}")]),
    ]
}

impl TestPackage {
    /// The folder that it is installed into.
    fn folder(&self, tools: &Path) -> PathBuf {
        tools.join(format!("sdk-{}", self.name))
    }

    /// A file that pins it, from the workspace's root.
    fn source(&self, file: &str) -> String {
        format!("tests/sdk/{}/{file}", self.name)
    }
}

fn words(words: &[&str]) -> Vec<String> {
    words.iter().map(|word| (*word).to_owned()).collect()
}

fn venv(tools: &Path) -> PathBuf {
    tools.join("sam-venv")
}
