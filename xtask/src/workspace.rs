//! Where things are: the repository, what cargo builds, and the packages that become Lambda functions.

use std::env;
use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Context as _;

/// The repository that this command was built from, and its build directory.
pub(crate) struct Workspace {
    /// The folder of the workspace's `Cargo.toml`; every command runs in it.
    pub(crate) root: PathBuf,
    /// `CARGO_TARGET_DIR`, or `target` in the root; absolute.
    pub(crate) target: PathBuf,
}

impl Workspace {
    pub(crate) fn locate() -> anyhow::Result<Self> {
        // Cargo names the folder when it runs us; the one compiled in serves a binary that is started by hand.
        let package = env::var_os("CARGO_MANIFEST_DIR").unwrap_or_else(|| env!("CARGO_MANIFEST_DIR").into());
        let root = Path::new(&package).parent().context("xtask has no parent folder")?.to_owned();
        let target = match env::var_os("CARGO_TARGET_DIR") {
            Some(target) if !target.is_empty() => std::path::absolute(target)?,
            _ => root.join("target"),
        };
        Ok(Self { root, target })
    }

    /// The packages under `functions/`, in alphabetical order: one Lambda function each, named like its folder.
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

    /// Where binaries of the dev profile land.
    pub(crate) fn bin_dir(&self) -> PathBuf {
        self.target.join("debug")
    }

    /// Where developers' tools are installed, so that they touch nothing outside the build directory.
    pub(crate) fn tools(&self) -> PathBuf {
        self.target.join("tools")
    }

    /// A command that runs in the root, finds the tools, and sees the environment as it was before `cargo run`.
    ///
    /// `cargo run` sets `CARGO_MANIFEST_DIR`, `CARGO_PKG_*` and others for us. Some build scripts (ring's among them)
    /// watch these, and everything above them would be built again at each change between `cargo` and `cargo xtask`.
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

    /// [`Workspace::command`] for the cargo that runs us, with these arguments.
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
        // What the developer has installed comes first.
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
