//! One execution environment: a process that is started, gets one call at a time, is stopped between calls, killed at
//! a deadline, and started again when it ends.

use std::{
    net::SocketAddr,
    ops::ControlFlow,
    pin::pin,
    sync::{Arc, Mutex},
    time::Duration,
};

use http::HeaderValue;
use http_body_util::Full;
use tokio::{
    sync::{mpsc, oneshot},
    time::{Instant, sleep, timeout},
};

use super::{
    Command, FunctionConfig, FunctionFailure, Handle, Job, Queue, Status,
    caller::Caller,
    control::{Control, Interruption},
    logs::{Logs, Output},
    process::Process,
    response,
    runtime_api::{self, Id, Request, Response},
};

/// Time in which a process has to ask for its first call: three times Lambda's limit
/// (lambda-runtime-environment.html, "Init phase … limited to 10 seconds"), since developers' machines are slow and
/// busy.
const INIT: Duration = Duration::from_secs(30);
/// Pause after the first failed start, doubled with each further one up to [`LONGEST_PAUSE`].
const PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(2);
/// From this number of failed starts on, waiting calls fail instead of staying in the queue.
const HOPELESS: u32 = 3;

/// Channel that reports the result of the first start.
pub(super) type Ready = oneshot::Sender<Result<(), String>>;

pub(super) struct Environment {
    /// Name in logs, as `authorizer/0`.
    name: String,
    config: Arc<FunctionConfig>,
    api: SocketAddr,
    jobs: Queue,
    /// A call that was taken from the queue but not given to a process yet.
    kept: Option<Job>,
    requests: mpsc::Receiver<Request>,
    output: Output,
    control: Control,
}

impl Environment {
    pub(super) async fn new(
        config: &Arc<FunctionConfig>,
        number: usize,
        jobs: Queue,
        logs: &Logs,
    ) -> std::io::Result<(Self, Handle)> {
        let (sender, requests) = mpsc::channel(16);
        let (commands, receiver) = mpsc::channel(16);
        let status = Status { pid: None, state: "starting", invocations: 0, starts: 0 };
        let status = Arc::new(Mutex::new(status));
        let name = format!("{}/{number}", config.name);
        let environment = Self {
            config: config.clone(),
            api: runtime_api::listen(sender).await?,
            jobs,
            kept: None,
            requests,
            output: logs.output(&config.name, name.clone())?,
            control: Control { commands: receiver, status: status.clone(), held: false, freeze: config.freeze },
            name,
        };
        Ok((environment, Handle { commands, status }))
    }

    /// Runs one process after another until the stack stops. Ends early if the first start fails.
    pub(super) async fn run(mut self, ready: Ready) {
        let mut ready = Some(ready);
        let mut failures = 0;
        loop {
            match self.boot().await {
                Ok((process, next)) => {
                    failures = 0;
                    // The first process is up: report it, then serve until the process ends.
                    if let Some(ready) = ready.take() {
                        let _stack_is_stopping = ready.send(Ok(()));
                    }
                    let end = self.serve(process, next).await;
                    self.output.line(&format!("{end}; a fresh environment starts"));
                }
                Err(failure) => match ready.take() {
                    // The first start failed: report it with the last lines of output, and give up.
                    Some(ready) => {
                        let lines = self.output.last_lines();
                        let _stack_is_stopping =
                            ready.send(Err(format!("{} did not start: {failure}{lines}", self.name)));
                        return;
                    }
                    // A later start failed: pause before the next one.
                    None => {
                        failures += 1;
                        self.output.line(&failure);
                        self.pause(failures, &failure).await;
                    }
                },
            }
        }
    }

    /// Starts a process and waits until it asks for a call.
    async fn boot(&mut self) -> Result<(Process, oneshot::Sender<Response>), String> {
        self.control.set("starting");
        let stream = format!("local/[$LATEST]{:032x}", rand::random::<u128>());
        // Discard requests of the previous process.
        while self.requests.try_recv().is_ok() {}
        let started = Process::start(&self.config, self.api, &stream, &self.output);
        let mut process = started.map_err(|error| format!("cannot run {}: {error}", self.config.program.display()))?;
        self.control.update(|status| {
            status.pid = Some(process.pid);
            status.starts += 1;
        });
        // Wait for the first request, which has to ask for a call or report an error.
        let first = timeout(INIT, async {
            tokio::select! {
                end = process.ended() => Err(format!("{end} before it asked for a call")),
                request = self.requests.recv() => match request {
                    Some(Request::Next { reply }) => Ok(reply),
                    Some(Request::InitError { body, reply }) => {
                        let failure = response::failure(body).await;
                        let _dead_process = reply.send(runtime_api::accepted());
                        Err(format!("it reported an initialization error: {failure}"))
                    }
                    _ => Err("it used the Runtime API in the wrong order".to_owned()),
                },
            }
        });
        // Kill a process that failed to initialize.
        match first.await {
            Ok(Ok(next)) => Ok((process, next)),
            Ok(Err(failure)) => {
                process.kill().await;
                self.control.update(|status| status.pid = None);
                Err(failure)
            }
            Err(_) => {
                process.kill().await;
                self.control.update(|status| status.pid = None);
                Err(format!("it asked for no call within {} s", INIT.as_secs()))
            }
        }
    }

    /// Gives calls to the process until it ends, and returns a description of its end.
    async fn serve(&mut self, mut process: Process, mut next: oneshot::Sender<Response>) -> String {
        let end = loop {
            // Wait for a call; handle the end of the process, commands and stray requests meanwhile.
            self.control.idle(&process);
            let job = tokio::select! {
                biased;
                end = process.ended() => break end,
                Some(command) = self.control.commands.recv() => {
                    self.control.obey(command, &process);
                    if command == Command::Kill {
                        // Wait for the end, so that no call reaches the dying process.
                        break process.ended().await;
                    }
                    continue;
                }
                Some(request) = self.requests.recv() => {
                    match request {
                        Request::Next { reply } => next = reply,
                        other => turn_away(other),
                    }
                    continue;
                }
                Some(job) = take(&mut self.kept, &self.jobs), if !self.control.held => job,
            };
            // Skip a call whose caller has gone.
            if job.answer.is_closed() {
                continue;
            }
            match self.call(&mut process, next, job).await {
                ControlFlow::Continue(again) => next = again,
                ControlFlow::Break(end) => break end,
            }
        };
        self.control.update(|status| status.pid = None);
        end
    }

    /// Handles one call, from sending the event until the process asks for the next call or ends.
    async fn call(
        &mut self,
        process: &mut Process,
        next: oneshot::Sender<Response>,
        job: Job,
    ) -> ControlFlow<String, oneshot::Sender<Response>> {
        let id = Id { request: uuid(), invocation: Some(uuid()) };
        let deadline = Instant::now() + self.config.timeout;
        self.control.set("busy");
        process.resume();
        if process.is_gone() || next.send(self.invocation(&id, &job)).is_err() {
            // The process or its connection is gone. Keep the call for the next process.
            self.kept = Some(job);
            return ControlFlow::Break(process.ended().await);
        }
        // Wait for the answer, and report an early end of the process to the caller.
        self.control.update(|status| status.invocations += 1);
        let mut caller = Caller::Waiting(job.answer);
        match self.converse(process, deadline, &id, &mut caller).await {
            Ok(next) => ControlFlow::Continue(next),
            Err(interruption) => {
                let (failure, end) = match interruption {
                    Interruption::Ended(end) => (FunctionFailure::Exited(end.clone()), end),
                    Interruption::TimedOut => {
                        let failure = FunctionFailure::TimedOut(self.config.timeout);
                        (failure.clone(), failure.to_string())
                    }
                };
                caller.fail(failure);
                ControlFlow::Break(end)
            }
        }
    }

    /// Receives the answer to a call and passes it to the caller, until the runtime asks for the next call and the
    /// environment is free.
    async fn converse(
        &mut self,
        process: &mut Process,
        deadline: Instant,
        id: &Id,
        caller: &mut Caller,
    ) -> Result<oneshot::Sender<Response>, Interruption> {
        loop {
            let request = self.control.until(process, deadline, self.requests.recv()).await?;
            let (reply, verdict) = match request {
                Some(Request::Next { reply }) => {
                    // A runtime that asks for the next call before it has answered has abandoned this one.
                    caller.fail(FunctionFailure::Exited(
                        "the runtime asked for the next call without an answer".to_owned(),
                    ));
                    return Ok(reply);
                }
                Some(Request::Response { id: of, headers, body, reply }) if caller.waits() && fits(&of, id) => {
                    if response::is_streamed(&headers) {
                        let pieces = caller.begin(&headers);
                        match self.control.until(process, deadline, response::pass_on(body, &pieces)).await? {
                            Ok(()) => caller.done(),
                            Err(failure) => caller.fail(failure),
                        }
                        (reply, runtime_api::accepted())
                    } else {
                        let whole = self.control.until(process, deadline, response::buffered(body)).await?;
                        let too_large = matches!(whole, Err(FunctionFailure::TooLarge));
                        caller.answer(whole);
                        (reply, if too_large { runtime_api::too_large() } else { runtime_api::accepted() })
                    }
                }
                Some(Request::Error { id: of, body, reply }) if caller.waits() && fits(&of, id) => {
                    let failure = self.control.until(process, deadline, response::failure(body)).await?;
                    caller.fail(failure);
                    (reply, runtime_api::accepted())
                }
                Some(other) => {
                    turn_away(other);
                    continue;
                }
                None => return Err(Interruption::Ended("the Runtime API is gone".to_owned())),
            };
            let _dead_process = reply.send(verdict);
        }
    }

    /// Builds the answer to `/next`: the event, and the headers for the runtime.
    fn invocation(&self, id: &Id, job: &Job) -> Response {
        let mut response = http::Response::new(Full::new(job.call.event.clone()));
        let deadline = time::OffsetDateTime::now_utc() + self.config.timeout;
        let deadline = (deadline.unix_timestamp_nanos() / 1_000_000).to_string();
        let headers = [
            ("content-type", "application/json"),
            ("lambda-runtime-aws-request-id", &id.request),
            ("lambda-runtime-deadline-ms", &deadline),
            ("lambda-runtime-invoked-function-arn", &self.config.arn),
            ("lambda-runtime-trace-id", &job.call.trace_id),
            (runtime_api::INVOCATION_ID, id.invocation.as_deref().unwrap_or_default()),
        ];
        for (name, value) in headers {
            if let Ok(value) = HeaderValue::from_str(value) {
                response.headers_mut().insert(http::HeaderName::from_static(name), value);
            }
        }
        response
    }

    /// Waits before the next start. Calls stay in the queue until [`HOPELESS`] starts have failed.
    async fn pause(&mut self, failures: u32, failure: &str) {
        self.control.set("down");
        let mut pause = pin!(sleep((PAUSE * 2_u32.saturating_pow(failures - 1)).min(LONGEST_PAUSE)));
        loop {
            tokio::select! {
                () = &mut pause => return,
                Some(command) = self.control.commands.recv() => match command {
                    Command::Start => return,
                    Command::Freeze => self.control.held = true,
                    Command::Thaw => self.control.held = false,
                    Command::Kill => {}
                },
                Some(job) = take(&mut self.kept, &self.jobs), if failures >= HOPELESS => {
                    let _gone_caller = job.answer.send(Err(FunctionFailure::Exited(failure.to_owned())));
                }
            }
        }
    }
}

/// Returns the next call: the kept one, or else the first of the queue.
async fn take(kept: &mut Option<Job>, jobs: &Queue) -> Option<Job> {
    match kept.take() {
        Some(job) => Some(job),
        None => jobs.lock().await.recv().await,
    }
}

/// Returns true if an answer belongs to this call. Runtimes that do not echo the invocation id are matched by request
/// id only.
fn fits(of: &Id, call: &Id) -> bool {
    of.request == call.request && (of.invocation.is_none() || of.invocation == call.invocation)
}

/// Rejects a request that the runtime may not send now, such as the answer to a call that has timed out.
fn turn_away(request: Request) {
    let (Request::Next { reply }
    | Request::Response { reply, .. }
    | Request::Error { reply, .. }
    | Request::InitError { reply, .. }) = request;
    let _dead_process = reply.send(runtime_api::stale());
}

/// Returns a random id in the format of AWS's request ids (UUID version 4).
pub(crate) fn uuid() -> String {
    let mut bits = rand::random::<u128>();
    bits = (bits & !(0xf << 76)) | (4 << 76);
    bits = (bits & !(0x3 << 62)) | (2 << 62);
    let hex = format!("{bits:032x}");
    [&hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..]].join("-")
}
