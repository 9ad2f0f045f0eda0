//! The Lambda service on one machine. It runs the built binaries and speaks the Runtime API to them, so that they run
//! here exactly as on AWS.
//!
//! A [`Function`] is a bounded queue of calls and a fixed number of environments. An environment is one process with
//! a Runtime API address of its own. It takes one call at a time, is stopped (SIGSTOP) between calls, is killed at
//! the deadline, and is started again whenever it ends. A call that an environment could not take stays in the queue.
//!
//! Start reading at `environment::Environment::run`. Follows "Lambda runtime API" (runtimes-api.html), "Building a
//! custom runtime" (runtimes-custom.html) and "Lambda execution environment" (lambda-runtime-environment.html) in the
//! AWS Lambda developer guide.

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

/// Configuration of a function.
#[derive(Clone, Debug)]
pub struct FunctionConfig {
    /// Name used in logs and at the control address.
    pub name: String,
    /// ARN of the function.
    pub arn: String,
    /// Path of the binary.
    pub program: PathBuf,
    /// Environment variables of the process, without the address of its Runtime API and its log stream.
    pub variables: Vec<(String, String)>,
    /// Time-out of one call.
    pub timeout: Duration,
    /// Number of environments.
    pub environments: usize,
    /// True if environments are stopped between calls.
    pub freeze: bool,
}

/// One invocation.
#[derive(Debug)]
pub struct Invocation {
    /// Event, as JSON.
    pub event: Bytes,
    /// Value of `X-Amzn-Trace-Id`.
    pub trace_id: String,
}

/// Answer of a function.
#[derive(Debug)]
pub enum FunctionAnswer {
    /// The whole payload.
    Buffered(Bytes),
    /// A payload that arrives in pieces.
    Streamed(Stream),
}

impl FunctionAnswer {
    /// Waits for the whole payload.
    ///
    /// # Errors
    /// The failure that ended a stream early.
    pub async fn whole(self) -> Result<Bytes, FunctionFailure> {
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
                None => return Err(FunctionFailure::Exited("the stream broke off".to_owned())),
            }
        }
    }
}

/// A streamed payload, including its prelude.
#[derive(Debug)]
pub struct Stream {
    /// Content type that the runtime sent.
    pub content_type: String,
    /// Pieces as they arrive. If the channel closes without [`Piece::End`], the function is gone.
    pub chunks: mpsc::Receiver<Piece>,
}

/// A piece of a stream.
#[derive(Debug)]
pub enum Piece {
    /// Data, as the function sent it.
    Data(Bytes),
    /// The function ended the stream early.
    Broken(FunctionFailure),
    /// The stream is complete.
    End,
}

/// Failure of a call or of a stream.
#[derive(Clone, Debug, thiserror::Error)]
pub enum FunctionFailure {
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
    /// The function exceeded its time-out.
    #[error("Task timed out after {:.2} seconds", .0.as_secs_f64())]
    TimedOut(Duration),
    /// The response is over 6 MiB.
    #[error("Function.ResponseSizeTooLarge: the response is over {} bytes", response::LARGEST)]
    TooLarge,
    /// The queue is full.
    #[error("Rate Exceeded")]
    Throttled,
}

/// Number of calls that may wait for an environment: Lambda's account concurrency, 1,000
/// (gettingstarted-limits.html).
const QUEUE: usize = 1000;

/// A call in the queue, and the channel for its answer.
struct Job {
    call: Invocation,
    answer: oneshot::Sender<Result<FunctionAnswer, FunctionFailure>>,
}

type Queue = Arc<Mutex<mpsc::Receiver<Job>>>;

/// Commands from the control address to an environment.
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

/// State of an environment.
#[derive(Clone, Debug, Serialize)]
pub struct Status {
    /// Id of the process, while one is running.
    pub pid: Option<u32>,
    /// `starting`, `idle`, `busy`, `held` or `down`.
    pub state: &'static str,
    /// Number of calls taken since the stack started.
    pub invocations: u64,
    /// Number of processes started since the stack started.
    pub starts: u64,
}

/// A function and its environments.
#[derive(Debug)]
pub struct Function {
    /// Configuration that it was started with.
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
    /// Starts all environments and waits until each has asked for its first call.
    ///
    /// # Errors
    /// Fails if an environment ends or reports an error before that. The error contains its last lines of output.
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

    /// Calls the function and waits for its answer, or for the start of a streamed one. This includes waiting for a
    /// free environment, so callers with a deadline have to set a time-out around it.
    ///
    /// # Errors
    /// See [`FunctionFailure`].
    pub async fn invoke(&self, call: Invocation) -> Result<FunctionAnswer, FunctionFailure> {
        let (answer, answered) = oneshot::channel();
        self.queue.try_send(Job { call, answer }).map_err(|_| FunctionFailure::Throttled)?;
        answered.await.unwrap_or_else(|_| Err(FunctionFailure::Exited("the local stack is stopping".to_owned())))
    }

    /// Sends a command to one environment. Returns false if there is none of that number.
    pub async fn command(&self, number: usize, command: Command) -> bool {
        match self.environments.get(number) {
            Some(environment) => environment.commands.send(command).await.is_ok(),
            None => false,
        }
    }

    /// Returns the state of each environment.
    #[must_use]
    pub fn status(&self) -> Vec<Status> {
        let read = |handle: &Handle| handle.status.lock().unwrap_or_else(std::sync::PoisonError::into_inner).clone();
        self.environments.iter().map(read).collect()
    }
}
