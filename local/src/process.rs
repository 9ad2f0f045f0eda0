//! Child processes that cannot outlive levee-local.
//!
//! Every child is started through levee-local itself: the copy asks the kernel to kill it when its parent dies, and
//! then becomes the real program by `exec`. So even SIGKILL on levee-local leaves no function behind. This is so on
//! Linux; on other systems the children are killed on every orderly end. Each child leads its own process group, so
//! Ctrl-C in a terminal reaches only levee-local, which then stops the children in order.

use std::{
    ffi::OsString,
    io,
    path::Path,
    time::{Duration, Instant},
};

use rustix::process::{Pid, Signal, WaitOptions};
use tokio::process::Command;

const GUARD: &str = "__guarded-child";

/// Returns a command that runs `program` under the guard, with an empty environment. The process is killed when its
/// handle is dropped.
///
/// # Errors
/// Fails if the path of the running executable cannot be found.
pub fn guarded(program: &Path) -> io::Result<Command> {
    let mut command = Command::new(std::env::current_exe()?);
    command.arg(GUARD).arg(std::process::id().to_string()).arg(program);
    command.env_clear().process_group(0).kill_on_drop(true);
    Ok(command)
}

/// Replaces this process by the guarded program if it was started for that. Returns `None` if it was not, or else the
/// reason that the program could not be started.
pub fn exec_if_guard(mut arguments: impl Iterator<Item = OsString>) -> Option<String> {
    if arguments.nth(1)? != GUARD {
        return None;
    }
    let (parent, program) = (arguments.next()?, arguments.next()?);
    die_with_parent(parent.to_str()?.parse().ok()?);
    let failure = std::os::unix::process::CommandExt::exec(std::process::Command::new(&program).args(arguments));
    Some(format!("cannot run {}: {failure}", program.display()))
}

#[cfg(target_os = "linux")]
fn die_with_parent(parent: i32) {
    let asked = rustix::process::set_parent_process_death_signal(Some(Signal::KILL));
    let orphaned = rustix::process::getppid().is_none_or(|pid| pid.as_raw_nonzero().get() != parent);
    if asked.is_err() || orphaned {
        std::process::exit(1);
    }
}

#[cfg(not(target_os = "linux"))]
fn die_with_parent(_parent: i32) {}

/// Waits for the children that were killed at the end, so that none remains as a zombie on systems on which no
/// process adopts orphans (containers without an init).
pub(crate) fn reap() {
    const PATIENCE: Duration = Duration::from_secs(2);
    let began = Instant::now();
    while let Ok(child) = rustix::process::wait(WaitOptions::NOHANG) {
        if child.is_none() {
            if began.elapsed() > PATIENCE {
                return;
            }
            std::thread::sleep(Duration::from_millis(2));
        }
    }
}

/// Sends `signal` to the process `pid`. A process that is already gone is not an error.
pub fn signal(pid: u32, signal: Signal) {
    if let Some(pid) = i32::try_from(pid).ok().and_then(Pid::from_raw)
        && let Err(failure) = rustix::process::kill_process(pid, signal)
    {
        tracing::debug!("process {pid:?} took no {signal:?}: {failure}");
    }
}
