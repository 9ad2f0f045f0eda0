//! A Docker daemon for one step: started by the step, invisible to other programs, and removed with its containers,
//! network and files at the end.

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use crate::shell;
use crate::workspace::Workspace;

const STOP_LIMIT: Duration = Duration::from_secs(10);

/// A daemon that lives as long as this value.
pub(super) struct Docker {
    holder: Child,
    /// Id of the first process of the daemon's namespaces, in this machine's numbering.
    process: String,
    scratch: tempfile::TempDir,
}

/// Result of the start: a daemon, or the reason that none can run here.
pub(super) enum Start {
    Ready(Docker),
    Impossible(String),
}

/// Returns the reason that no daemon can run on this machine, checked before anything is installed for it.
pub(super) fn obstacle() -> Option<String> {
    if cfg!(not(target_os = "linux")) {
        return Some("a Docker daemon of its own runs on Linux only".to_owned());
    }
    let is_root = rustix::process::geteuid().is_root();
    (!is_root).then(|| "starting a Docker daemon of its own takes root".to_owned())
}

impl Docker {
    pub(super) fn start(workspace: &Workspace) -> anyhow::Result<Start> {
        // Use /var/tmp, which is on disk by convention; /tmp may be memory.
        let scratch = tempfile::Builder::new().prefix("levee-e2e-").tempdir_in("/var/tmp")?;
        let script = scratch.path().join("docker.sh");
        fs::write(&script, include_str!("docker.sh"))?;
        let mut unshare = workspace.command("unshare");
        unshare
            .args(["--mount", "--net", "--pid", "--fork", "--kill-child", "--propagation=private", "sh"])
            .args([&script, scratch.path()]);
        at_default_address(&mut unshare);
        unshare.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).process_group(0);
        let Ok(mut holder) = unshare.spawn() else {
            return Ok(Start::Impossible("there is no unshare command here".to_owned()));
        };
        // Wait for the line with the process id, or for the reason that the start failed.
        let mut ready = String::new();
        if let Some(stdout) = holder.stdout.take() {
            BufReader::new(stdout).read_line(&mut ready)?;
        }
        let Some(process) = ready.trim().strip_prefix("ready ").map(str::to_owned) else {
            let output = holder.wait_with_output()?;
            let why = String::from_utf8_lossy(&output.stderr).trim().replace('\n', "; ");
            return Ok(Start::Impossible(format!("Docker's daemon does not start here: {why}")));
        };
        Ok(Start::Ready(Self { holder, process, scratch }))
    }

    /// Returns a command with access to the daemon, its network and this machine's files, in a process group of its
    /// own.
    pub(super) fn command(&self, workspace: &Workspace, line: &str) -> Command {
        let mut command = workspace.command("nsenter");
        let line = format!("cd {} && {line}", shell::quote(&workspace.root.display().to_string()));
        command.args(["--target", &self.process, "--mount", "--net", "--pid", "sh", "-c", &line]);
        at_default_address(&mut command);
        command.env_remove("REDIS_URL").stdin(Stdio::null()).process_group(0);
        command
    }

    /// Hides a folder of this machine behind an empty one, for the commands of this daemon.
    pub(super) fn hide(&self, workspace: &Workspace, folder: &Path) -> anyhow::Result<()> {
        fs::create_dir_all(folder)?;
        let folder = shell::quote(&folder.display().to_string());
        shell::output(&mut self.command(workspace, &format!("mount -t tmpfs tmpfs {folder}"))).map(drop)
    }

    /// Returns a folder for temporary files of the step.
    pub(super) fn scratch(&self) -> &Path {
        self.scratch.path()
    }
}

impl Drop for Docker {
    fn drop(&mut self) {
        // The first process ends with its standard input, and the kernel kills the rest of its namespace.
        drop(self.holder.stdin.take());
        let _ = shell::wait(&mut self.holder, STOP_LIMIT);
    }
}

/// Removes variables with which a developer may have configured another Docker daemon.
fn at_default_address(command: &mut Command) {
    for variable in ["DOCKER_HOST", "DOCKER_CONTEXT", "DOCKER_CONFIG", "DOCKER_TLS_VERIFY"] {
        command.env_remove(variable);
    }
}
