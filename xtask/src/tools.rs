//! Developers' tools that are not part of the system: their versions and locations.

use std::fs;
use std::path::{Path, PathBuf};

use crate::shell;
use crate::workspace::Workspace;

/// A tool that cargo builds from its published source.
pub(crate) struct CargoTool {
    name: &'static str,
    /// Version requirement, as in a Cargo.toml.
    version: &'static str,
    features: &'static [&'static str],
}

/// Runs each test in a process of its own. Built without the self-update.
pub(crate) const NEXTEST: CargoTool = CargoTool {
    name: "cargo-nextest",
    version: "^0.9.100",
    features: &["--no-default-features", "--features", "default-no-update"],
};

/// Checks dependencies against deny.toml.
pub(crate) const DENY: CargoTool = CargoTool { name: "cargo-deny", version: "^0.20", features: &[] };

/// Finds unused dependencies.
pub(crate) const MACHETE: CargoTool = CargoTool { name: "cargo-machete", version: "^0.9", features: &[] };

/// Builds and runs the targets under fuzz/.
pub(crate) const FUZZ: CargoTool = CargoTool { name: "cargo-fuzz", version: "^0.13", features: &[] };

/// The SAM CLI. From 1.170 on, its `sam validate` knows streamed responses on routes of a REST API, and its
/// `sam build` knows the packages of a workspace.
const SAM: &str = "aws-sam-cli>=1.170,<2";

/// Builder of Rust functions for `sam build`. It includes the Zig that it links with.
const CARGO_LAMBDA: &str = "cargo-lambda>=1.9,<2";

/// A package that whole-stack tests use. It is pinned under `tests/sdk/<name>` and installed into the tools'
/// `sdk-<name>`, which is the tests' search path.
pub(crate) struct TestPackage {
    name: &'static str,
    /// File that pins the package and its dependencies. Its copy, named [`INSTALLED`], is written last.
    pins: &'static str,
    /// A file or folder of the installed package.
    part: &'static str,
}

/// `anthropic` from PyPI, in a virtual environment.
pub(crate) const PYTHON_SDK: TestPackage = TestPackage { name: "python", pins: "requirements.txt", part: "bin/python" };

/// `@anthropic-ai/sdk` from npm.
pub(crate) const TYPESCRIPT_SDK: TestPackage =
    TestPackage { name: "typescript", pins: "package-lock.json", part: "node_modules/@anthropic-ai/sdk" };

/// `axe-core` from npm, which checks the accessibility of a page.
pub(crate) const AXE: TestPackage =
    TestPackage { name: "axe", pins: "package-lock.json", part: "node_modules/axe-core/axe.min.js" };

/// Script that unpacks the distribution's Redis, relative to the workspace's root.
const REDIS_SCRIPT: &str = "xtask/src/preflight/redis.sh";

const INSTALLED: &str = "installed";

/// Returns true if this tool is installed, by the developer or by this command.
pub(crate) fn installed(workspace: &Workspace, tool: &CargoTool) -> bool {
    // Run it through cargo: a tool that finds cargo's variables set behaves as a subcommand.
    let subcommand = tool.name.trim_start_matches("cargo-");
    shell::succeeds(&mut workspace.cargo([subcommand, "--version"]))
}

/// Returns true if the SAM CLI's virtual environment is complete and works.
pub(crate) fn sam_installed(workspace: &Workspace) -> bool {
    shell::succeeds(workspace.command(sam(workspace)).arg("--version"))
}

/// Returns the path of `sam` in its virtual environment.
pub(crate) fn sam(workspace: &Workspace) -> PathBuf {
    venv(&workspace.tools()).join("bin/sam")
}

/// Returns true if `sam build` finds cargo-lambda.
pub(crate) fn cargo_lambda_installed(workspace: &Workspace) -> bool {
    let program = venv(&workspace.tools()).join("bin/cargo-lambda");
    shell::succeeds(workspace.command(program).args(["lambda", "--version"]))
}

/// Returns the folder of the programs of the SAM CLI's virtual environment.
pub(crate) fn sam_programs(workspace: &Workspace) -> PathBuf {
    venv(&workspace.tools()).join("bin")
}

/// Returns the command that builds a tool into this folder. Tools run for seconds, so a fast build matters more than
/// a fast tool.
pub(crate) fn cargo_install(tools: &Path, tool: &CargoTool) -> Vec<String> {
    let profile =
        ["LTO=off", "OPT_LEVEL=0", "CODEGEN_UNITS=16"].map(|setting| format!("CARGO_PROFILE_RELEASE_{setting}"));
    let root = tools.display().to_string();
    let install = ["cargo", "install", "--locked", "--root", &root, tool.name, "--version", tool.version];
    let words = install.iter().chain(tool.features).map(|word| (*word).to_owned());
    std::iter::once("env".to_owned()).chain(profile).chain(words).collect()
}

/// Returns the commands that create the SAM CLI's virtual environment in this folder.
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

/// Returns true if the server that [`redis_fetch`] unpacked is present and runs.
pub(crate) fn redis_fetched(workspace: &Workspace) -> bool {
    let program = workspace.tools().join("bin/redis-server");
    shell::succeeds(workspace.command(program).arg("--version"))
}

/// Returns the command that unpacks the distribution's Redis into this folder, to be run in the workspace's root.
pub(crate) fn redis_fetch(tools: &Path, manager: &str) -> Vec<String> {
    words(&["sh", REDIS_SCRIPT, manager, &tools.display().to_string()])
}

/// Returns true if the package is installed in its pinned version.
pub(crate) fn package_installed(workspace: &Workspace, package: &TestPackage) -> bool {
    let folder = package.folder(&workspace.tools());
    let installed = fs::read(folder.join(INSTALLED));
    let pinned = fs::read(workspace.root.join(package.source(package.pins)));
    // Check that the interpreter exists: it is a link, which an update of the system's Python breaks.
    folder.join(package.part).exists()
        && matches!((installed, pinned), (Ok(installed), Ok(pinned)) if installed == pinned)
}

/// Returns the commands that install the SDK for Python, to be run in the workspace's root.
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

/// Returns the commands that install a package from npm, to be run in the workspace's root.
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
    /// Returns the folder that the package is installed into.
    fn folder(&self, tools: &Path) -> PathBuf {
        tools.join(format!("sdk-{}", self.name))
    }

    /// Returns the path of a file that pins the package, relative to the workspace's root.
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
