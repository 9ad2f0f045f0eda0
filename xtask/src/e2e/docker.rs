//! A Docker daemon for one step: started by us, seen by nobody else, and gone with its containers, its network and its
//! files when the step is over.

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use crate::shell;
use crate::workspace::Workspace;

const STOP_LIMIT: Duration = Duration::from_secs(10);

/// The daemon, which lives as long as this value.
pub(super) struct Docker {
    holder: Child,
    /// The first process of the daemon's namespaces, as this machine numbers it.
    process: String,
    scratch: tempfile::TempDir,
}

/// A daemon, or why there can be none here.
pub(super) enum Start {
    Ready(Docker),
    Impossible(String),
}

/// Why no daemon can be started on this machine, before anything is installed for one.
pub(super) fn obstacle() -> Option<String> {
    if cfg!(not(target_os = "linux")) {
        return Some("a Docker daemon of its own runs on Linux only".to_owned());
    }
    let is_root = rustix::process::geteuid().is_root();
    (!is_root).then(|| "starting a Docker daemon of its own takes root".to_owned())
}

impl Docker {
    pub(super) fn start(workspace: &Workspace) -> anyhow::Result<Start> {
        // By convention on a real disk, where /tmp may be memory.
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

    /// A command that sees the daemon and its network, and the files of this machine; in a process group of its own.
    pub(super) fn command(&self, workspace: &Workspace, line: &str) -> Command {
        let mut command = workspace.command("nsenter");
        let line = format!("cd {} && {line}", shell::quote(&workspace.root.display().to_string()));
        command.args(["--target", &self.process, "--mount", "--net", "--pid", "sh", "-c", &line]);
        at_default_address(&mut command);
        command.env_remove("REDIS_URL").stdin(Stdio::null()).process_group(0);
        command
    }

    /// Hides a folder of this machine behind an empty one, for the commands in here.
    pub(super) fn hide(&self, workspace: &Workspace, folder: &Path) -> anyhow::Result<()> {
        fs::create_dir_all(folder)?;
        let folder = shell::quote(&folder.display().to_string());
        shell::output(&mut self.command(workspace, &format!("mount -t tmpfs tmpfs {folder}"))).map(drop)
    }

    /// A folder for what the step makes.
    pub(super) fn scratch(&self) -> &Path {
        self.scratch.path()
    }
}

impl Drop for Docker {
    fn drop(&mut self) {
        // Its first process ends with its standard input, and the kernel ends all others with that.
        drop(self.holder.stdin.take());
        let _ = shell::wait(&mut self.holder, STOP_LIMIT);
    }
}

/// A developer's own Docker may be somewhere else.
fn at_default_address(command: &mut Command) {
    for variable in ["DOCKER_HOST", "DOCKER_CONTEXT", "DOCKER_CONFIG", "DOCKER_TLS_VERIFY"] {
        command.env_remove(variable);
    }
}
