//! Redis or Valkey: a child process on a free port, or the server that `REDIS_URL` names.

use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
    process::Stdio,
    time::{Duration, Instant},
};

use anyhow::{Context, bail};
use rustix::process::Signal;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpSocket, TcpStream},
    process::Child,
    sync::{mpsc, oneshot},
};

use crate::host::{Logs, Output};

/// Time in which the server has to answer its first PING.
const START: Duration = Duration::from_secs(10);
/// Number of ports that are tried.
const ATTEMPTS: u32 = 5;
/// Time after which a server that `REDIS_URL` names is reported as silent.
const GIVEN: Duration = Duration::from_secs(2);

/// Commands to the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Command {
    /// Kills it: connections are refused.
    Stop,
    /// Starts it again, empty, on the same port.
    Start,
    /// Stops it (SIGSTOP): connections hang.
    Pause,
    /// Continues it after [`Command::Pause`].
    Resume,
}

/// The server that the stack uses.
#[derive(Debug)]
pub struct Redis {
    /// URL, as `redis://127.0.0.1:6379`.
    pub url: String,
    /// Channel to the task that owns the child; `None` for a server of `REDIS_URL`.
    commands: Option<mpsc::Sender<(Command, oneshot::Sender<anyhow::Result<()>>)>>,
}

impl Redis {
    /// Returns the URL without user name and password.
    pub(crate) fn shown(&self) -> String {
        let Ok(mut url) = url::Url::parse(&self.url) else { return "REDIS_URL".to_owned() };
        let _has_none = (url.set_username(""), url.set_password(None));
        url.to_string()
    }

    /// Uses the server at `url`. If it does not answer, this is reported once on standard error and the server is
    /// used all the same: the functions work without Redis, and it may be started later.
    #[must_use]
    pub fn given(url: String) -> Self {
        tokio::spawn(look_at(url.clone()));
        Self { url, commands: None }
    }

    /// Starts a server on a free port. `deaths` is notified if it ends without a command.
    ///
    /// # Errors
    /// Fails if no server program is found, or if it does not answer.
    pub async fn start(program: Option<&Path>, logs: &Logs, deaths: mpsc::Sender<String>) -> anyhow::Result<Self> {
        let program = find(program)?;
        let output = logs.output("redis", "redis".to_owned())?;
        let mut server = Server { program, address: free_port().await?, output, child: None, reserved: None };
        // Another process may take the port before the server does.
        let mut attempts = 1;
        while let Err(error) = server.start().await {
            if attempts == ATTEMPTS || !server.output.last_lines().contains("in use") {
                return Err(error);
            }
            attempts += 1;
            server.address = free_port().await?;
        }
        let address = server.address;
        let (commands, receiver) = mpsc::channel(1);
        tokio::spawn(server.run(receiver, deaths));
        Ok(Self { url: format!("redis://{address}"), commands: Some(commands) })
    }

    /// Executes a command and waits until it is done.
    ///
    /// # Errors
    /// Fails if the server is not this stack's, or does not start.
    pub async fn command(&self, command: Command) -> anyhow::Result<()> {
        let Some(commands) = &self.commands else { bail!("REDIS_URL names a server that is not this stack's") };
        let (done, is_done) = oneshot::channel();
        commands.send((command, done)).await.context("the stack is stopping")?;
        is_done.await.context("the stack is stopping")?
    }
}

/// The child process.
struct Server {
    program: PathBuf,
    address: SocketAddr,
    output: Output,
    child: Option<Child>,
    /// Socket that reserves the port while there is no child: bound but not listening, so that connections are
    /// refused.
    reserved: Option<TcpSocket>,
}

impl Server {
    async fn run(
        mut self,
        mut commands: mpsc::Receiver<(Command, oneshot::Sender<anyhow::Result<()>>)>,
        deaths: mpsc::Sender<String>,
    ) {
        loop {
            tokio::select! {
                end = ended(self.child.as_mut()) => {
                    let message = format!("{} {end}{}", self.program.display(), self.output.last_lines());
                    let _stack_is_stopping = deaths.send(message).await;
                    return;
                }
                command = commands.recv() => {
                    let Some((command, done)) = command else { return };
                    let _impatient = done.send(self.obey(command).await);
                }
            }
        }
    }

    async fn obey(&mut self, command: Command) -> anyhow::Result<()> {
        match command {
            Command::Start if self.child.is_none() => return self.start().await,
            Command::Start | Command::Resume => self.signal(Signal::CONT),
            Command::Pause => self.signal(Signal::STOP),
            Command::Stop => {
                if let Some(mut child) = self.child.take() {
                    child.kill().await?;
                }
                let socket = TcpSocket::new_v4()?;
                socket.set_reuseaddr(true)?;
                socket.bind(self.address)?;
                self.reserved = Some(socket);
            }
        }
        Ok(())
    }

    fn signal(&self, signal: Signal) {
        if let Some(pid) = self.child.as_ref().and_then(Child::id) {
            crate::process::signal(pid, signal);
        }
    }

    async fn start(&mut self) -> anyhow::Result<()> {
        self.reserved = None;
        self.output.forget();
        let port = self.address.port().to_string();
        // Start the server without persistence and follow its output.
        let mut command = crate::process::guarded(&self.program)?;
        command
            .args(["--bind", "127.0.0.1", "--port", &port, "--save", "", "--appendonly", "no", "--loglevel", "warning"])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let mut child = command.spawn()?;
        for pipe in [child.stdout.take().map(Pipe::Out), child.stderr.take().map(Pipe::Err)].into_iter().flatten() {
            match pipe {
                Pipe::Out(pipe) => drop(self.output.follow(pipe)),
                Pipe::Err(pipe) => drop(self.output.follow(pipe)),
            }
        }
        // Wait until it answers.
        let began = Instant::now();
        while !answers(self.address, child.id()).await {
            if let Some(status) = child.try_wait()? {
                tokio::time::sleep(Duration::from_millis(50)).await;
                bail!("{} ended with {status}{}", self.program.display(), self.output.last_lines());
            }
            if began.elapsed() > START {
                bail!("{} did not answer within {} s", self.program.display(), START.as_secs());
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        self.child = Some(child);
        Ok(())
    }
}

enum Pipe {
    Out(tokio::process::ChildStdout),
    Err(tokio::process::ChildStderr),
}

async fn ended(child: Option<&mut Child>) -> String {
    match child {
        Some(child) => {
            child.wait().await.map_or_else(|error| error.to_string(), |status| format!("ended with {status}"))
        }
        None => std::future::pending().await,
    }
}

/// Reports on standard error, without secrets, if no server answers at `url`.
async fn look_at(url: String) {
    let Some((host, port)) = place(&url) else { return };
    // Any answer counts: a server may require a password or TLS first.
    let ping = async {
        let mut socket = TcpStream::connect((host.as_str(), port)).await?;
        socket.write_all(b"PING\r\n").await?;
        socket.read_u8().await
    };
    let why = match tokio::time::timeout(GIVEN, ping).await {
        Ok(Ok(_)) => return,
        Ok(Err(error)) => error.to_string(),
        Err(_) => format!("silent for {} s", GIVEN.as_secs()),
    };
    eprintln!(
        "REDIS_URL: no Redis answers at {host}:{port} ({why}); the functions serve without it. Unset REDIS_URL for one of \
         the stack's own"
    );
}

/// Returns the host and port of a URL, or `None` for a URL without them, such as that of a socket file.
fn place(url: &str) -> Option<(String, u16)> {
    let url =
        url::Url::parse(url).ok().filter(|url| matches!(url.scheme(), "redis" | "rediss" | "valkey" | "valkeys"))?;
    let host = url.host_str()?.trim_matches(['[', ']']).to_owned();
    Some((host, url.port().unwrap_or(6379)))
}

/// Returns a port that is free at this moment.
async fn free_port() -> anyhow::Result<SocketAddr> {
    Ok(TcpListener::bind(("127.0.0.1", 0)).await?.local_addr()?)
}

/// Returns true if the server of the process `pid` answers at `address`. Another one may have taken the port.
async fn answers(address: SocketAddr, pid: Option<u32>) -> bool {
    let info = async {
        let mut socket = TcpStream::connect(address).await?;
        socket.write_all(b"INFO server\r\n").await?;
        let mut reply = vec![0; 4096];
        let mut length = 0;
        // The reply has a length of its own; the process id is in its first few hundred bytes.
        while !contains(&reply[..length], b"tcp_port:") && length < reply.len() {
            match socket.read(&mut reply[length..]).await? {
                0 => break,
                read => length += read,
            }
        }
        Ok::<_, std::io::Error>(String::from_utf8_lossy(&reply[..length]).into_owned())
    };
    let (Some(pid), Ok(info)) = (pid, info.await) else { return false };
    info.lines().any(|line| line.trim() == format!("process_id:{pid}"))
}

fn contains(bytes: &[u8], part: &[u8]) -> bool {
    bytes.windows(part.len()).any(|window| window == part)
}

/// Returns the program to run: the named one, or else valkey-server or redis-server from PATH.
fn find(named: Option<&Path>) -> anyhow::Result<PathBuf> {
    let is_program = |path: &PathBuf| path.is_file();
    if let Some(named) = named {
        return Some(named.to_owned()).filter(is_program).with_context(|| format!("there is no {}", named.display()));
    }
    let path = crate::variables::own("PATH").unwrap_or_default();
    let folders: Vec<_> = std::env::split_paths(&path).chain(["/usr/sbin".into(), "/usr/local/bin".into()]).collect();
    let candidates =
        ["valkey-server", "redis-server"].into_iter().flat_map(|name| folders.iter().map(move |it| it.join(name)));
    candidates.into_iter().find(is_program).context(
        "neither valkey-server nor redis-server is on PATH: install one (apt-get install redis-server, brew install valkey), \
         name one with --redis-server, or set REDIS_URL to a running one",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_says_where_its_server_is() {
        let at = |host: &str, port| Some((host.to_owned(), port));
        assert_eq!(place("redis://127.0.0.1:7000/2"), at("127.0.0.1", 7000));
        assert_eq!(place("rediss://user:secret@cache.example"), at("cache.example", 6379));
        assert_eq!(place("redis://[::1]"), at("::1", 6379));
        assert_eq!(place("redis+unix:///run/redis.sock"), None);
    }
}
