//! The process of one environment.

use std::{net::SocketAddr, process::ExitStatus, process::Stdio, time::Duration};

use rustix::process::Signal;
use tokio::process::Child;

use super::{FunctionConfig, logs::Output};

/// A running function.
pub(super) struct Process {
    child: Child,
    pub(super) pid: u32,
    readers: Vec<tokio::task::JoinHandle<()>>,
}

impl Process {
    /// Starts the function's binary with its Runtime API at `api`.
    pub(super) fn start(
        config: &FunctionConfig,
        api: SocketAddr,
        stream: &str,
        output: &Output,
    ) -> std::io::Result<Self> {
        output.forget();
        let mut command = crate::process::guarded(&config.program)?;
        command
            .envs(config.variables.iter().map(|(name, value)| (name, value)))
            .env("AWS_LAMBDA_RUNTIME_API", api.to_string())
            .env("AWS_LAMBDA_LOG_STREAM_NAME", stream)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let mut child = command.spawn()?;
        let pid = child.id().ok_or_else(|| std::io::Error::other("the process was gone at once"))?;
        let mut readers = Vec::new();
        readers.extend(child.stdout.take().map(|pipe| output.follow(pipe)));
        readers.extend(child.stderr.take().map(|pipe| output.follow(pipe)));
        Ok(Self { child, pid, readers })
    }

    /// Waits for the end of the process and describes it. May be called again.
    pub(super) async fn ended(&mut self) -> String {
        let status = self.child.wait().await;
        // Read the last output before reporting the end. A grandchild may keep the pipe open.
        for reader in self.readers.drain(..) {
            let _grandchild = tokio::time::timeout(Duration::from_millis(200), reader).await;
        }
        status.map_or_else(|error| error.to_string(), describe)
    }

    /// Returns true if the process has ended.
    pub(super) fn is_gone(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(Some(_)))
    }

    /// Kills the process with SIGKILL and waits for its end.
    pub(super) async fn kill(&mut self) {
        crate::process::signal(self.pid, Signal::KILL);
        self.ended().await;
    }

    pub(super) fn stop(&self) {
        crate::process::signal(self.pid, Signal::STOP);
    }

    pub(super) fn resume(&self) {
        crate::process::signal(self.pid, Signal::CONT);
    }
}

fn describe(status: ExitStatus) -> String {
    format!("the process ended with {status}")
}
