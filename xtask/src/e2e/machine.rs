//! A fresh machine to try things on: this one's files under a throw-away layer, in a mount namespace and a chroot.
//!
//! It shares this machine's network, users and process numbers. What runs in it is told apart by its mount namespace.

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

/// Time in which a process has to die after its parent.
const QUIET_AFTER: Duration = Duration::from_secs(2);

/// A machine that lives as long as this value.
pub(super) struct Machine {
    /// Keeps the namespace alive; its root is the machine's.
    holder: Child,
    /// The machine's namespace, as the kernel names it.
    namespace: PathBuf,
    /// Holds the layers. Dropped after the holder is gone.
    _scratch: tempfile::TempDir,
}

/// A new machine, or why there can be none here.
pub(super) enum Boot {
    Ready(Machine),
    Impossible(String),
}

impl Machine {
    /// Boots a machine in which these folders are there as well.
    pub(super) fn boot(workspace: &Workspace, folders: &[PathBuf]) -> anyhow::Result<Boot> {
        if !rustix::process::geteuid().is_root() {
            return Ok(Boot::Impossible("making another machine takes root".to_owned()));
        }
        // By convention on a real disk, where /tmp may be memory: gigabytes are built here.
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

    /// Runs a script with arguments inside the machine, as root, to its end.
    pub(super) fn run(&self, workspace: &Workspace, script: &str, arguments: &[&str]) -> anyhow::Result<String> {
        let shell = ["bash", "-c", script, "bash"];
        shell::output(&mut self.enter(workspace, &[&shell, arguments].concat()))
    }

    /// A command line of an ordinary user of the machine.
    ///
    /// The files that the machine shows of this one keep their owners, mostly root. Two capabilities let the user write
    /// to them, so that gigabytes need no new owner; the system's own files are protected by `user.sh`.
    pub(super) fn user_command(&self, workspace: &Workspace, user: &str, folder: &str, line: &str) -> Command {
        let capabilities = "+dac_override,+fowner";
        let line = format!("cd {} && {line}", shell::quote(folder));
        let become_user = ["setpriv", "--reuid", user, "--regid", user, "--init-groups"];
        // Without the securebit, access(2) ignores capabilities of users other than root.
        let securebits = ["--securebits", "+no_setuid_fixup"];
        let keep = ["--inh-caps", capabilities, "--ambient-caps", capabilities];
        let shell = ["bash", "-c", line.as_str()];
        let mut command = self.enter(workspace, &[&become_user[..], &securebits, &keep, &shell].concat());
        command.env("HOME", home_of(user)).env("USER", user).env("LOGNAME", user);
        command
    }

    /// A command inside the machine, in a process group of its own as a terminal would start it. No Redis of the real
    /// machine is named to it, and CI is not set.
    fn enter(&self, workspace: &Workspace, words: &[&str]) -> Command {
        let mut command = workspace.command("nsenter");
        let process = self.holder.id().to_string();
        command.args(["--target", &process, "--mount", "--root", "--wd"]).args(words);
        command.env_remove("REDIS_URL").env_remove("CI").stdin(Stdio::null()).process_group(0);
        command
    }

    /// Fails where something in the machine still runs a moment from now.
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

    /// Returns the command lines of all processes in the machine.
    fn processes(&self) -> anyhow::Result<Vec<String>> {
        let mut lines = Vec::new();
        for entry in fs::read_dir("/proc")? {
            let Some(process) = entry?.file_name().to_str().and_then(|name| name.parse::<u32>().ok()) else { continue };
            // A process may end at any moment.
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
        // A step that failed half-way leaves processes; with them gone, the layers are unmounted.
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

/// The home folder of a user of the machine.
pub(super) fn home_of(user: &str) -> String {
    format!("/home/{user}")
}

fn namespace_of(process: u32) -> anyhow::Result<PathBuf> {
    let link = format!("/proc/{process}/ns/mnt");
    fs::read_link(&link).with_context(|| format!("cannot read {link}"))
}
