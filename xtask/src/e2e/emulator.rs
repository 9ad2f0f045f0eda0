//! Runs the functions under AWS's runtime interface emulator, which is also part of Lambda's base images. It comes
//! with the SAM CLI and does not need Docker.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail, ensure};
use events::Sample;

use super::stack::Stack;
use crate::report::Outcome;
use crate::workspace::Workspace;
use crate::{shell, tools, up};

const READY_LIMIT: Duration = Duration::from_secs(60);
const START_LIMIT: Duration = Duration::from_secs(10);
const ANSWER_LIMIT: Duration = Duration::from_secs(30);
const STOP_LIMIT: Duration = Duration::from_secs(15);

pub(super) fn run(workspace: &Workspace) -> anyhow::Result<Outcome> {
    if cfg!(not(target_os = "linux")) {
        return Ok(Outcome::Skipped("the emulator is a program for Linux".to_owned()));
    }
    up::build(workspace)?;
    let scratch = tempfile::tempdir()?;
    // Start the stack, whose stores the functions use.
    eprintln!("- the stack, for its stores");
    let mut stack = workspace.command(workspace.bin_dir().join("levee-local"));
    stack
        .args(["--port", "0", "--no-demo", "--state-dir"])
        .arg(scratch.path())
        .arg("--bin-dir")
        .arg(workspace.bin_dir());
    stack.process_group(0).stdin(Stdio::null()).env_remove("REDIS_URL");
    let mut stack = Stack::start(stack, READY_LIMIT)?;
    // Run the samples, then stop the stack in any case.
    let variables = variables(&scratch.path().join("sam-env.json"));
    let checked = variables.and_then(|variables| check(workspace, scratch.path(), &variables));
    // Report a bad end of the stack only if everything before it succeeded.
    let status = stack.interrupt(STOP_LIMIT);
    checked?;
    ensure!(status?.success(), "the stack did not end well");
    Ok(Outcome::Ok)
}

/// Returns the path of the emulator for this machine, which the SAM CLI contains.
pub(super) fn program(workspace: &Workspace) -> anyhow::Result<PathBuf> {
    let find = "import pathlib, samcli.local; print(pathlib.Path(samcli.local.__file__).parent / 'rapid')";
    let mut python = workspace.command(tools::sam_programs(workspace).join("python"));
    let folder = shell::output(python.args(["-c", find]))?;
    Ok(Path::new(folder.trim()).join(format!("aws-lambda-rie-{}", architecture())))
}

/// Returns Lambda's name for this machine's processor architecture.
pub(super) fn architecture() -> &'static str {
    if cfg!(target_arch = "aarch64") { "arm64" } else { "x86_64" }
}

/// Returns the logical id of a function in the template, given its package: `AiProxy` for `ai-proxy`.
pub(super) fn logical_id(function: &str) -> String {
    let word = |word: &str| word[..1].to_uppercase() + &word[1..];
    function.split('-').filter(|part| !part.is_empty()).map(word).collect()
}

/// Returns true if a function's log contains a line of level ERROR.
pub(super) fn logs_an_error(log: &str) -> bool {
    log.contains(r#""level":"ERROR""#)
}

/// Names and values of variables, by function.
type Variables = BTreeMap<String, BTreeMap<String, String>>;

fn variables(file: &Path) -> anyhow::Result<Variables> {
    let text = fs::read(file).with_context(|| format!("cannot read {}", file.display()))?;
    serde_json::from_slice(&text).with_context(|| format!("{} is not as expected", file.display()))
}

fn check(workspace: &Workspace, scratch: &Path, variables: &Variables) -> anyhow::Result<()> {
    // The emulator has to be executable.
    let emulator = scratch.join("aws-lambda-rie");
    fs::copy(program(workspace)?, &emulator)?;
    fs::set_permissions(&emulator, fs::Permissions::from_mode(0o755))?;
    let samples = events::samples(&workspace.root.join("events"))?;
    for function in workspace.functions()? {
        // Start the function in the emulator, with the variables for its stores.
        let id = logical_id(&function);
        let variables = variables.get(&id).with_context(|| format!("sam-env.json has no {id}"))?;
        let mut command = workspace.command(&emulator);
        command.env_clear().envs(variables);
        let log = scratch.join(format!("{function}.log"));
        command.stdout(File::create(&log)?).stderr(File::options().append(true).open(&log)?);
        let emulator = Emulator::start(command, &function, &workspace.bin_dir().join(&function))?;
        // Send all events of the function.
        for sample in samples.iter().filter(|sample| sample.function == function) {
            let start = Instant::now();
            let answer = emulator.answer(sample).and_then(|answer| sample.check(&answer));
            answer.with_context(|| format!("its log:\n{}", fs::read_to_string(&log).unwrap_or_default()))?;
            eprintln!("  {function}/{}: as expected, in {} ms", sample.name, start.elapsed().as_millis());
        }
        // If a store cannot be reached, some calls still succeed and only log an error.
        let log = fs::read_to_string(&log)?;
        ensure!(!logs_an_error(&log), "{function} logged an error:\n{log}");
    }
    Ok(())
}

/// The emulator with one function.
struct Emulator {
    process: Child,
    address: SocketAddr,
}

impl Emulator {
    fn start(mut command: Command, function: &str, program: &Path) -> anyhow::Result<Self> {
        eprintln!("- {function}");
        // Both ports are released here and bound again by the emulator at once.
        let [front, back] = [free_address()?, free_address()?];
        command
            .args(["--log-level", "error"])
            .args(["--runtime-interface-emulator-address", &front.to_string()])
            .args(["--runtime-api-address", &back.to_string()])
            .arg(program)
            .env("AWS_LAMBDA_FUNCTION_NAME", function)
            .env("AWS_LAMBDA_FUNCTION_TIMEOUT", ANSWER_LIMIT.as_secs().to_string())
            .env("AWS_REGION", "us-east-1")
            .envs([("AWS_ACCESS_KEY_ID", "local"), ("AWS_SECRET_ACCESS_KEY", "local"), ("AWS_SESSION_TOKEN", "local")])
            .stdin(Stdio::null())
            .process_group(0);
        let process = command.spawn().context("the emulator does not start")?;
        let mut emulator = Self { process, address: front };
        // Wait until it listens.
        let deadline = Instant::now() + START_LIMIT;
        while TcpStream::connect(front).is_err() {
            if let Some(status) = emulator.process.try_wait()? {
                bail!("the emulator ended: {status}");
            }
            ensure!(Instant::now() < deadline, "the emulator does not listen after {} s", START_LIMIT.as_secs());
            thread::sleep(Duration::from_millis(20));
        }
        Ok(emulator)
    }

    /// Calls the function. With HTTP/1.0 the answer simply ends with the connection.
    fn answer(&self, sample: &Sample) -> anyhow::Result<Vec<u8>> {
        let mut socket = TcpStream::connect(self.address)?;
        socket.set_read_timeout(Some(ANSWER_LIMIT))?;
        let (length, path) = (sample.event.len(), "/2015-03-31/functions/function/invocations");
        write!(socket, "POST {path} HTTP/1.0\r\nContent-Length: {length}\r\n\r\n")?;
        socket.write_all(&sample.event)?;
        let mut answer = Vec::new();
        socket.read_to_end(&mut answer).with_context(|| format!("{} is not answered", sample.name))?;
        const END: &[u8] = b"\r\n\r\n";
        let head = answer.windows(END.len()).position(|window| window == END).context("no HTTP answer")?;
        Ok(answer.split_off(head + END.len()))
    }
}

impl Drop for Emulator {
    fn drop(&mut self) {
        // The function is a child in the same process group.
        let group = rustix::process::Pid::from_child(&self.process);
        let _gone_already = rustix::process::kill_process_group(group, rustix::process::Signal::KILL);
        let _ = self.process.wait();
    }
}

fn free_address() -> anyhow::Result<SocketAddr> {
    Ok(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn logical_ids_are_the_packages_names_in_camel_case() {
        assert_eq!(logical_id("authorizer"), "Authorizer");
        assert_eq!(logical_id("ai-proxy"), "AiProxy");
    }
}
