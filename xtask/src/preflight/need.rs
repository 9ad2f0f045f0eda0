//! Needs of commands, and how to detect them on this machine.

use std::env;

use super::machine;
use crate::workspace::Workspace;
use crate::{shell, tools};

/// One need of a command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Need {
    /// `redis-server` or `valkey-server`, or a `REDIS_URL` that names a running server.
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
    /// A `python3` that can create virtual environments.
    Python,
    /// The AWS SAM CLI, in a virtual environment under the build directory.
    Sam,
    /// cargo-lambda, in the same environment. Requires [`Need::Sam`].
    CargoLambda,
    /// Docker's daemon and client, on Linux.
    Docker,
    /// `node` 20 or later, and `npm`.
    Node,
    /// Anthropic's official SDK for Python, as pinned by the tests. Requires [`Need::Python`].
    PythonSdk,
    /// Anthropic's official SDK for TypeScript, as pinned by the tests. Requires [`Need::Node`].
    TypeScriptSdk,
    /// `chromium` and `chromedriver`.
    Chromium,
    /// axe-core, as pinned by the tests. Requires [`Need::Node`].
    Axe,
}

impl Need {
    /// Returns true if this machine meets the need.
    pub(super) fn met(self, workspace: &Workspace) -> bool {
        // Look for programs on PATH; run those whose version or completeness matters.
        match self {
            Self::Redis => {
                env::var_os("REDIS_URL").is_some_and(|url| !url.is_empty())
                    || machine::on_path("redis-server")
                    || machine::on_path("valkey-server")
                    || tools::redis_fetched(workspace)
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
            Self::PythonSdk => tools::package_installed(workspace, &tools::PYTHON_SDK),
            Self::TypeScriptSdk => tools::package_installed(workspace, &tools::TYPESCRIPT_SDK),
            Self::Chromium => ["chromium", "chromedriver"].into_iter().all(machine::on_path),
            Self::Axe => tools::package_installed(workspace, &tools::AXE),
        }
    }

    /// Returns its name and purpose, in one line.
    pub(super) fn description(self) -> &'static str {
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
            Self::Node => "Node.js 20 or later with npm, which one of Anthropic's SDKs runs on and axe-core comes by",
            Self::PythonSdk => "Anthropic's SDK for Python as tests/sdk/python pins it, which tests point at the stack",
            Self::TypeScriptSdk => {
                "Anthropic's SDK for TypeScript as tests/sdk/typescript pins it, which tests point at the stack"
            }
            Self::Chromium => "chromium and chromedriver, in which tests open the stack's pages",
            Self::Axe => "axe-core as tests/sdk/axe pins it, with which tests check that pages are accessible",
        }
    }
}
