//! Paths of the repository and of cargo's build directory, and the packages that become Lambda functions.

use std::env;
use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Context as _;

/// The repository that this command was built from, and its build directory.
pub(crate) struct Workspace {
    /// Folder of the workspace's `Cargo.toml`, in which every command runs.
    pub(crate) root: PathBuf,
    /// Absolute path of the build directory: `CARGO_TARGET_DIR`, or else `target` in the root.
    pub(crate) target: PathBuf,
}

impl Workspace {
    pub(crate) fn locate() -> anyhow::Result<Self> {
        // Cargo names the folder at run time; the compiled-in path is for a binary that is started by hand.
        let package = env::var_os("CARGO_MANIFEST_DIR").unwrap_or_else(|| env!("CARGO_MANIFEST_DIR").into());
        let root = Path::new(&package).parent().context("xtask has no parent folder")?.to_owned();
        let target = match env::var_os("CARGO_TARGET_DIR") {
            Some(target) if !target.is_empty() => std::path::absolute(target)?,
            _ => root.join("target"),
        };
        Ok(Self { root, target })
    }

    /// Returns the packages under `functions/`, in alphabetical order. Each is one Lambda function, named as its
    /// folder.
    pub(crate) fn functions(&self) -> anyhow::Result<Vec<String>> {
        let folder = self.root.join("functions");
        let entries = fs::read_dir(&folder).with_context(|| format!("cannot list {}", folder.display()))?;
        let mut names = Vec::new();
        for entry in entries {
            let entry = entry?;
            if entry.path().join("Cargo.toml").is_file() {
                names.push(entry.file_name().to_string_lossy().into_owned());
            }
        }
        names.sort();
        Ok(names)
    }

    /// Returns the folder of the dev profile's binaries.
    pub(crate) fn bin_dir(&self) -> PathBuf {
        self.target.join("debug")
    }

    /// Returns the folder of developers' tools, which is inside the build directory.
    pub(crate) fn tools(&self) -> PathBuf {
        self.target.join("tools")
    }

    /// Returns a command that runs in the root, finds the tools, and has the environment from before `cargo run`.
    ///
    /// `cargo run` sets `CARGO_MANIFEST_DIR`, `CARGO_PKG_*` and other variables. Some build scripts (ring's among
    /// them) watch these, so everything that depends on them would be rebuilt at each change between `cargo` and
    /// `cargo xtask`.
    pub(crate) fn command(&self, program: impl AsRef<std::ffi::OsStr>) -> Command {
        let mut command = Command::new(program);
        command.current_dir(&self.root);
        for (name, _) in env::vars_os() {
            if name.to_str().is_some_and(set_by_cargo_run) {
                command.env_remove(name);
            }
        }
        if let Some(path) = self.path_with_tools() {
            command.env("PATH", path);
        }
        command
    }

    /// Returns a [`Workspace::command`] that runs cargo with these arguments.
    pub(crate) fn cargo<I, S>(&self, args: I) -> Command
    where
        I: IntoIterator<Item = S>,
        S: AsRef<std::ffi::OsStr>,
    {
        let mut command = self.command("cargo");
        command.args(args);
        command
    }

    fn path_with_tools(&self) -> Option<OsString> {
        let path = env::var_os("PATH")?;
        // Tools that the developer has installed take precedence.
        env::join_paths(env::split_paths(&path).chain([self.tools().join("bin")])).ok()
    }
}

fn set_by_cargo_run(name: &str) -> bool {
    name.starts_with("CARGO_PKG_")
        || name.starts_with("CARGO_MANIFEST_")
        || matches!(name, "CARGO_BIN_NAME" | "CARGO_CRATE_NAME" | "CARGO_PRIMARY_PACKAGE" | "OUT_DIR")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn functions_are_the_packages_under_functions() {
        let workspace = Workspace::locate().unwrap();
        let functions = workspace.functions().unwrap();
        assert!(functions.contains(&"authorizer".to_owned()), "{functions:?}");
        assert!(functions.is_sorted());
    }

    #[test]
    fn only_what_cargo_run_sets_is_removed() {
        assert!(set_by_cargo_run("CARGO_PKG_NAME"));
        assert!(set_by_cargo_run("CARGO_MANIFEST_DIR"));
        assert!(!set_by_cargo_run("CARGO_TARGET_DIR"));
        assert!(!set_by_cargo_run("CARGO_HOME"));
    }
}
