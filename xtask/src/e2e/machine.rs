//! A fresh machine for tests: this machine's files under a temporary layer, in a mount namespace and a chroot.
//!
//! It shares this machine's network, users and process ids. Its processes are identified by their mount namespace.

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::os::unix::process::CommandExt as _;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};

use crate::shell;
use crate::workspace::Workspace;

/// Time in which processes have to end after their parent.
const QUIET_AFTER: Duration = Duration::from_secs(2);

/// A machine that lives as long as this value.
pub(super) struct Machine {
    /// Process that keeps the namespace alive; its root is the machine's.
    holder: Child,
    /// The machine's mount namespace, as named by the kernel.
    namespace: PathBuf,
    /// Folder of the layers, which is dropped after the holder is gone.
    _scratch: tempfile::TempDir,
}

/// Result of a boot: a machine, or the reason that none can be made here.
pub(super) enum Boot {
    Ready(Machine),
    Impossible(String),
}

impl Machine {
    /// Boots a machine that contains these folders as well.
    pub(super) fn boot(workspace: &Workspace, folders: &[PathBuf]) -> anyhow::Result<Boot> {
        if !rustix::process::geteuid().is_root() {
            return Ok(Boot::Impossible("making another machine takes root".to_owned()));
        }
        // Use /var/tmp, which is on disk by convention: gigabytes are built here, and /tmp may be memory.
        let scratch = tempfile::Builder::new().prefix("levee-e2e-").tempdir_in("/var/tmp")?;
        let script = scratch.path().join("boot.sh");
        fs::write(&script, include_str!("boot.sh"))?;
        let mut unshare = workspace.command("unshare");
        unshare.args(["--mount", "--propagation=private", "sh"]).arg(&script).arg(scratch.path()).args(folders);
        let spawned =
            unshare.current_dir("/").stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn();
        let Ok(mut holder) = spawned else {
            return Ok(Boot::Impossible("there is no unshare command here".to_owned()));
        };
        // Wait until the script has set up the layers.
        let mut ready = String::new();
        if let Some(stdout) = holder.stdout.take() {
            BufReader::new(stdout).read_line(&mut ready)?;
        }
        if ready.trim() != "ready" {
            let output = holder.wait_with_output()?;
            let why = String::from_utf8_lossy(&output.stderr).trim().replace('\n', "; ");
            return Ok(Boot::Impossible(format!("this machine cannot make another one: {why}")));
        }
        let namespace = namespace_of(holder.id())?;
        Ok(Boot::Ready(Self { holder, namespace, _scratch: scratch }))
    }

    /// Runs a script with arguments in the machine, as root, and returns its output.
    pub(super) fn run(&self, workspace: &Workspace, script: &str, arguments: &[&str]) -> anyhow::Result<String> {
        let shell = ["bash", "-c", script, "bash"];
        shell::output(&mut self.enter(workspace, &[&shell, arguments].concat()))
    }

    /// Returns a command that runs a shell line as an ordinary user of the machine.
    ///
    /// The files shown from this machine keep their owners, mostly root. Two capabilities let the user write to them,
    /// so that gigabytes of files need no new owner. The system's own files are protected by `user.sh`.
    pub(super) fn user_command(&self, workspace: &Workspace, user: &str, folder: &str, line: &str) -> Command {
        let capabilities = "+dac_override,+fowner";
        let line = format!("cd {} && {line}", shell::quote(folder));
        let become_user = ["setpriv", "--reuid", user, "--regid", user, "--init-groups"];
        // Without this securebit, access(2) ignores capabilities of users other than root.
        let securebits = ["--securebits", "+no_setuid_fixup"];
        let keep = ["--inh-caps", capabilities, "--ambient-caps", capabilities];
        let shell = ["bash", "-c", line.as_str()];
        let mut command = self.enter(workspace, &[&become_user[..], &securebits, &keep, &shell].concat());
        command.env("HOME", home_of(user)).env("USER", user).env("LOGNAME", user);
        command
    }

    /// Returns a command in the machine, in a process group of its own as a terminal would start it. `REDIS_URL` and
    /// `CI` are not passed on.
    fn enter(&self, workspace: &Workspace, words: &[&str]) -> Command {
        let mut command = workspace.command("nsenter");
        let process = self.holder.id().to_string();
        command.args(["--target", &process, "--mount", "--root", "--wd"]).args(words);
        command.env_remove("REDIS_URL").env_remove("CI").stdin(Stdio::null()).process_group(0);
        command
    }

    /// Fails if a process in the machine is still running after [`QUIET_AFTER`].
    pub(super) fn is_quiet(&self) -> anyhow::Result<()> {
        let deadline = Instant::now() + QUIET_AFTER;
        loop {
            let left = self.processes()?;
            if left.is_empty() {
                return Ok(());
            }
            if Instant::now() > deadline {
                bail!("these are left running:\n{}", left.join("\n"));
            }
            thread::sleep(Duration::from_millis(100));
        }
    }

    /// Returns the command lines of all processes in the machine, without the holder.
    fn processes(&self) -> anyhow::Result<Vec<String>> {
        let mut lines = Vec::new();
        for entry in fs::read_dir("/proc")? {
            let Some(process) = entry?.file_name().to_str().and_then(|name| name.parse::<u32>().ok()) else { continue };
            // Ignore processes that end meanwhile.
            if process != self.holder.id() && namespace_of(process).is_ok_and(|other| other == self.namespace) {
                let line = fs::read(format!("/proc/{process}/cmdline")).unwrap_or_default();
                lines.push(format!("{process} {}", String::from_utf8_lossy(&line).replace('\0', " ").trim()));
            }
        }
        Ok(lines)
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        // Kill the processes that a failed step left behind, so that the layers can be unmounted.
        for line in self.processes().unwrap_or_default() {
            let process = line.split(' ').next().and_then(|process| process.parse().ok());
            if let Some(process) = process.and_then(rustix::process::Pid::from_raw) {
                let _ = rustix::process::kill_process(process, rustix::process::Signal::KILL);
            }
        }
        let _ = self.holder.kill();
        let _ = self.holder.wait();
    }
}

/// Returns the home folder of a user of the machine.
pub(super) fn home_of(user: &str) -> String {
    format!("/home/{user}")
}

fn namespace_of(process: u32) -> anyhow::Result<PathBuf> {
    let link = format!("/proc/{process}/ns/mnt");
    fs::read_link(&link).with_context(|| format!("cannot read {link}"))
}
