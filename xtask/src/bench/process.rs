//! Processes of a benchmark: a Redis server of its own, and workers that answer each line of input with one line.

use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use serde_json::Value;
use tempfile::TempDir;

use crate::shell;
use crate::workspace::Workspace;

/// Time-out of the server's start.
const START: Duration = Duration::from_secs(10);

/// A child process that is killed when this handle is dropped.
struct Running(Child);

impl Running {
    /// Returns the processor time that it has used, in the unit of [`Machine`]; `None` if unknown.
    fn used(&self) -> Option<u64> {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.0.id())).ok()?;
        // Skip the name, which may contain spaces. utime and stime are the 14th and 15th of all fields.
        let fields = stat.rsplit_once(')')?.1.split_whitespace().skip(11).take(2);
        fields.map(|field| field.parse::<u64>().ok()).sum()
    }
}

/// Processor time of the whole machine since its start, usually in hundredths of a second.
#[derive(Clone, Copy)]
pub(super) struct Machine {
    busy: u64,
    all: u64,
    ours: u64,
}

impl Machine {
    /// Reads the current values, with the time used by these processes; `None` if unknown, as on systems other than
    /// Linux.
    pub(super) fn read(server: &Server, workers: &[&Worker]) -> Option<Self> {
        let stat = fs::read_to_string("/proc/stat").ok()?;
        let fields: Vec<u64> = stat.lines().next()?.split_whitespace().skip(1).take(8).flat_map(str::parse).collect();
        // The fourth and fifth fields are idle time.
        let (all, idle) = (fields.iter().sum::<u64>(), fields.get(3)? + fields.get(4)?);
        let ours: Option<u64> = workers.iter().map(|worker| worker.running.used()).sum();
        Some(Self { busy: all - idle, all, ours: ours? + server.running.used()? })
    }

    /// Returns the share of the machine that other processes have used since `before`, in percent.
    pub(super) fn others_since(self, before: Self) -> f64 {
        let others = (self.busy - before.busy).saturating_sub(self.ours - before.ours);
        100.0 * others as f64 / (self.all - before.all).max(1) as f64
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // The child may have ended already.
        let _gone = self.0.kill();
        let _gone = self.0.wait();
    }
}

/// A Redis server without persistence.
pub(super) struct Server {
    pub(super) url: String,
    /// Name and version, as reported by the server.
    pub(super) version: String,
    running: Running,
    _folder: TempDir,
}

impl Server {
    /// Starts redis-server or valkey-server on a free port.
    pub(super) fn start(workspace: &Workspace) -> anyhow::Result<Self> {
        let tells = |program: &&str| shell::succeeds(workspace.command(program).arg("--version"));
        let program = ["redis-server", "valkey-server"].into_iter().find(tells);
        let program =
            program.context("neither redis-server nor valkey-server is on PATH, and REDIS_URL is not used here")?;
        let version = shell::output(workspace.command(program).arg("--version"))?;
        // Start it without persistence in an empty folder.
        let version = version.split_whitespace().find_map(|word| word.strip_prefix("v=")).unwrap_or("?");

        let port = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?.port();
        let folder = tempfile::tempdir()?;
        let mut command = workspace.command(program);
        command.args(["--port", &port.to_string(), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no", "--dir"]);
        let child = command.arg(folder.path()).stdin(Stdio::null()).stdout(Stdio::null()).spawn()?;
        let server = Self {
            url: format!("redis://127.0.0.1:{port}"),
            version: format!("{program} {version}"),
            running: Running(child),
            _folder: folder,
        };
        // Wait until it accepts connections.
        let deadline = Instant::now() + START;
        while TcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_err() {
            if Instant::now() > deadline {
                bail!("{program} does not listen on port {port}");
            }
            thread::sleep(Duration::from_millis(20));
        }
        Ok(server)
    }
}

/// A process that answers each line of JSON with one line of JSON.
pub(super) struct Worker {
    name: String,
    /// First line, written when the worker is ready.
    pub(super) greeting: Value,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
    running: Running,
}

impl Worker {
    /// Starts the worker and waits until it is ready.
    pub(super) fn start(command: &mut Command) -> anyhow::Result<Self> {
        let name = shell::line(command);
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .with_context(|| format!("cannot run {name}"))?;
        let (input, output) = (child.stdin.take(), child.stdout.take());
        let running = Running(child);
        let (input, output) = input.zip(output).context("a child without pipes")?;
        let output = BufReader::new(output);
        let mut worker = Self { name, greeting: Value::Null, input, output, running };
        worker.greeting = worker.line()?;
        Ok(worker)
    }

    /// Sends a request and waits for the answer.
    pub(super) fn ask(&mut self, asked: &Value) -> anyhow::Result<Value> {
        writeln!(self.input, "{asked}").with_context(|| format!("{} has ended", self.name))?;
        let answer = self.line()?;
        if let Some(error) = answer["error"].as_str() {
            bail!("{asked}: {error}");
        }
        Ok(answer)
    }

    fn line(&mut self) -> anyhow::Result<Value> {
        let mut line = String::new();
        if self.output.read_line(&mut line)? == 0 {
            bail!("{} has ended; what it wrote above says why", self.name);
        }
        serde_json::from_str(&line).with_context(|| format!("{} wrote {line}", self.name))
    }
}
