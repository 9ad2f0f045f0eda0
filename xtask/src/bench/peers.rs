//! Installation of the other limiters: pinned under `bench/peers`, installed into `target/bench`.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use anyhow::Context as _;

use crate::shell;
use crate::workspace::Workspace;

/// Name of the copy of the pins, which is written once everything is installed.
const INSTALLED: &str = "installed";

/// Installs the limiters from npm unless they are installed, and returns the folder with their programs.
pub(super) fn node(workspace: &Workspace) -> anyhow::Result<PathBuf> {
    let pins = "package-lock.json";
    let folder = folder(workspace, "node")?;
    for file in ["package.json", pins, "worker.mjs", "express.mjs"] {
        copy(workspace, "node", file)?;
    }
    if !is_installed(workspace, "node", pins) {
        let install = ["ci", "--ignore-scripts", "--no-audit", "--no-fund", "--prefix"];
        shell::run(workspace.command("npm").args(install).arg(&folder))?;
        fs::copy(folder.join(pins), folder.join(INSTALLED))?;
    }
    Ok(folder)
}

/// Installs the limiter from PyPI into a virtual environment unless it is installed, and returns the command that
/// runs it.
pub(super) fn python(workspace: &Workspace) -> anyhow::Result<Command> {
    let pins = "requirements.txt";
    let folder = folder(workspace, "python")?;
    for file in [pins, "worker.py"] {
        copy(workspace, "python", file)?;
    }
    let python = folder.join("venv/bin/python");
    if !python.exists() || !is_installed(workspace, "python", pins) {
        shell::run(workspace.command("python3").args(["-m", "venv", "--clear"]).arg(folder.join("venv")))?;
        let install = ["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--requirement"];
        shell::run(workspace.command(&python).args(install).arg(folder.join(pins)))?;
        fs::copy(folder.join(pins), folder.join(INSTALLED))?;
    }
    let mut command = workspace.command(python);
    command.arg(folder.join("worker.py"));
    Ok(command)
}

fn folder(workspace: &Workspace, name: &str) -> anyhow::Result<PathBuf> {
    let folder = workspace.target.join("bench").join(name);
    fs::create_dir_all(&folder).with_context(|| format!("cannot make {}", folder.display()))?;
    Ok(folder)
}

fn copy(workspace: &Workspace, name: &str, file: &str) -> anyhow::Result<()> {
    let from = workspace.root.join("bench/peers").join(name).join(file);
    fs::copy(&from, folder(workspace, name)?.join(file)).with_context(|| format!("cannot copy {}", from.display()))?;
    Ok(())
}

fn is_installed(workspace: &Workspace, name: &str, pins: &str) -> bool {
    let pinned = fs::read(workspace.root.join("bench/peers").join(name).join(pins));
    let installed = fs::read(workspace.target.join("bench").join(name).join(INSTALLED));
    matches!((pinned, installed), (Ok(pinned), Ok(installed)) if pinned == installed)
}
