//! The Lambda service on one machine: it runs the built binaries and speaks the Runtime API to them, so that what runs
//! here is what runs on AWS.
//!
//! A [`Function`] is a bounded queue of calls and a fixed number of environments. An environment is one process with a
//! Runtime API address of its own; it takes one call at a time, is stopped (SIGSTOP) between calls, is killed at the
//! deadline, and is started again whenever it ends. A call that an environment could not take stays in the queue.
//!
//! Start reading at `environment::Environment::run`. Follows "Lambda runtime API" (runtimes-api.html), "Building a custom
//! runtime" (runtimes-custom.html) and "Lambda execution environment" (lambda-runtime-environment.html) in the AWS
//! Lambda developer guide.

mod caller;
mod control;
mod environment;
mod logs;
mod process;
mod quick_ack;
mod response;
mod runtime_api;

use std::{path::PathBuf, sync::Arc, time::Duration};

use bytes::{Bytes, BytesMut};
use serde::Serialize;
use tokio::sync::{Mutex, mpsc, oneshot};

use self::environment::Environment;
pub use self::logs::Logs;
pub(crate) use self::{environment::uuid, logs::Output};

/// What the host needs to know of a function.
#[derive(Clone, Debug)]
pub struct FunctionConfig {
    /// The name that logs and the control address use.
    pub name: String,
    /// The function's ARN.
    pub arn: String,
    /// The binary to run.
    pub program: PathBuf,
    /// Every variable of the process but the address of its Runtime API and its log stream.
    pub variables: Vec<(String, String)>,
    /// How long one call may take.
    pub timeout: Duration,
    /// How many environments there are.
    pub environments: usize,
    /// Whether environments are stopped between their calls.
    pub freeze: bool,
}

/// One invocation.
#[derive(Debug)]
pub struct Call {
    /// The JSON event.
    pub event: Bytes,
    /// The value of `X-Amzn-Trace-Id`.
    pub trace_id: String,
}

/// What a function answered.
#[derive(Debug)]
pub enum Answer {
    /// The whole payload.
    Buffered(Bytes),
    /// A payload that comes in pieces.
    Streamed(Stream),
}

impl Answer {
    /// The whole payload, once the function is done.
    ///
    /// # Errors
    /// Why a stream broke off.
    pub async fn whole(self) -> Result<Bytes, Failure> {
        let mut stream = match self {
            Self::Buffered(payload) => return Ok(payload),
            Self::Streamed(stream) => stream,
        };
        let mut payload = BytesMut::new();
        loop {
            match stream.chunks.recv().await {
                Some(Piece::Data(data)) => payload.extend_from_slice(&data),
                Some(Piece::End) => return Ok(payload.freeze()),
                Some(Piece::Broken(failure)) => return Err(failure),
                None => return Err(Failure::Exited("the stream broke off".to_owned())),
            }
        }
    }
}

/// A streamed payload, prelude and all.
#[derive(Debug)]
pub struct Stream {
    /// The content type that the runtime named.
    pub content_type: String,
    /// The pieces as they come. A channel that closes without [`Piece::End`] has lost its function.
    pub chunks: mpsc::Receiver<Piece>,
}

/// A piece of a stream.
#[derive(Debug)]
pub enum Piece {
    /// As the function sent it.
    Data(Bytes),
    /// The function broke off.
    Broken(Failure),
    /// The function is done.
    End,
}

/// Why a call has no answer, or a stream no end.
#[derive(Clone, Debug, thiserror::Error)]
pub enum Failure {
    /// The function reported an error.
    #[error("{error_type}: {message}")]
    Function {
        /// `errorType` of the report.
        error_type: String,
        /// `errorMessage` of the report.
        message: String,
    },
    /// The process ended during the call.
    #[error("Runtime.ExitError: {0}")]
    Exited(String),
    /// The function's time was up.
    #[error("Task timed out after {:.2} seconds", .0.as_secs_f64())]
    TimedOut(Duration),
    /// The response is over 6 MiB.
    #[error("Function.ResponseSizeTooLarge: the response is over {} bytes", response::LARGEST)]
    TooLarge,
    /// Too many calls wait.
    #[error("Rate Exceeded")]
    Throttled,
}

/// Calls that may wait for an environment: Lambda's account concurrency, 1,000 (gettingstarted-limits.html).
const QUEUE: usize = 1000;

/// A call in the queue, with the way back to its caller.
struct Job {
    call: Call,
    answer: oneshot::Sender<Result<Answer, Failure>>,
}

type Queue = Arc<Mutex<mpsc::Receiver<Job>>>;

/// What may be done to an environment from outside.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Command {
    /// Kill the process; a fresh one is started.
    Kill,
    /// Stop the process and give it no calls until [`Command::Thaw`].
    Freeze,
    /// Undo [`Command::Freeze`].
    Thaw,
    /// Start the process now if it waits after a crash.
    Start,
}

/// What an environment is doing.
#[derive(Clone, Debug, Serialize)]
pub struct Status {
    /// The process, while there is one.
    pub pid: Option<u32>,
    /// `starting`, `idle`, `busy`, `held` or `down`.
    pub state: &'static str,
    /// Calls taken since the stack started.
    pub invocations: u64,
    /// Processes started since the stack started.
    pub starts: u64,
}

/// A function and its environments.
#[derive(Debug)]
pub struct Function {
    /// What it was started with.
    pub config: Arc<FunctionConfig>,
    queue: mpsc::Sender<Job>,
    environments: Vec<Handle>,
}

#[derive(Debug)]
struct Handle {
    commands: mpsc::Sender<Command>,
    status: Arc<std::sync::Mutex<Status>>,
}

impl Function {
    /// Starts every environment and waits until each has asked for its first call.
    ///
    /// # Errors
    /// When an environment ends, or reports an error, before that; with its last lines of output.
    pub async fn start(config: FunctionConfig, logs: &Logs) -> anyhow::Result<Self> {
        let config = Arc::new(config);
        let (queue, jobs) = mpsc::channel(QUEUE);
        let jobs = Arc::new(Mutex::new(jobs));
        let mut environments = Vec::new();
        let mut started = Vec::new();
        for number in 0..config.environments {
            let (environment, handle) = Environment::new(&config, number, jobs.clone(), logs).await?;
            let (ready, is_ready) = oneshot::channel();
            tokio::spawn(environment.run(ready));
            environments.push(handle);
            started.push(is_ready);
        }
        for is_ready in started {
            is_ready.await?.map_err(anyhow::Error::msg)?;
        }
        Ok(Self { config, queue, environments })
    }

    /// Calls the function and waits for its answer; of a stream, for its start. Waiting for a free environment is part
    /// of it, so a caller that has a limit sets it around this.
    ///
    /// # Errors
    /// See [`Failure`].
    pub async fn invoke(&self, call: Call) -> Result<Answer, Failure> {
        let (answer, answered) = oneshot::channel();
        self.queue.try_send(Job { call, answer }).map_err(|_| Failure::Throttled)?;
        answered.await.unwrap_or_else(|_| Err(Failure::Exited("the local stack is stopping".to_owned())))
    }

    /// Sends a command to one environment; false when there is none of that number.
    pub async fn command(&self, number: usize, command: Command) -> bool {
        match self.environments.get(number) {
            Some(environment) => environment.commands.send(command).await.is_ok(),
            None => false,
        }
    }

    /// What each environment is doing.
    #[must_use]
    pub fn status(&self) -> Vec<Status> {
        let read = |handle: &Handle| handle.status.lock().unwrap_or_else(std::sync::PoisonError::into_inner).clone();
        self.environments.iter().map(read).collect()
    }
}
