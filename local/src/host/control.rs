//! The part of an environment that serves the control address: commands and the published status.

use std::{
    pin::pin,
    sync::{Arc, Mutex, PoisonError},
};

use tokio::{
    sync::mpsc,
    time::{Instant, sleep_until},
};

use super::{Command, Status, process::Process};

/// Command channel, status and hold flag of an environment.
pub(super) struct Control {
    pub(super) commands: mpsc::Receiver<Command>,
    pub(super) status: Arc<Mutex<Status>>,
    /// True while stopped by command: takes no calls.
    pub(super) held: bool,
    /// True if the process is stopped between calls.
    pub(super) freeze: bool,
}

/// Reason that a wait ended early.
pub(super) enum Interruption {
    Ended(String),
    TimedOut,
}

impl Control {
    /// Waits for `work`, the end of the process, or the deadline, at which it kills the process. Executes commands
    /// meanwhile.
    pub(super) async fn until<T>(
        &mut self,
        process: &mut Process,
        deadline: Instant,
        work: impl Future<Output = T>,
    ) -> Result<T, Interruption> {
        let mut work = pin!(work);
        loop {
            tokio::select! {
                biased;
                value = &mut work => return Ok(value),
                end = process.ended() => return Err(Interruption::Ended(end)),
                () = sleep_until(deadline) => break,
                Some(command) = self.commands.recv() => self.obey(command, process),
            }
        }
        process.kill().await;
        Err(Interruption::TimedOut)
    }

    pub(super) fn obey(&mut self, command: Command, process: &Process) {
        match command {
            Command::Kill => crate::process::signal(process.pid, rustix::process::Signal::KILL),
            Command::Freeze => {
                self.held = true;
                process.stop();
                self.set("held");
            }
            Command::Thaw => {
                self.held = false;
                process.resume();
                self.set("busy");
            }
            Command::Start => {}
        }
    }

    /// Puts the process into the state between calls: stopped, unless configured otherwise.
    pub(super) fn idle(&self, process: &Process) {
        if self.held || self.freeze {
            process.stop();
        } else {
            process.resume();
        }
        self.set(if self.held { "held" } else { "idle" });
    }

    pub(super) fn set(&self, state: &'static str) {
        self.update(|status| status.state = state);
    }

    pub(super) fn update(&self, change: impl FnOnce(&mut Status)) {
        change(&mut self.status.lock().unwrap_or_else(PoisonError::into_inner));
    }
}
