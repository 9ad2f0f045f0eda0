//! Runs the README's two commands exactly as written there, in a newcomer's situation: a clean clone, an ordinary
//! user without sudo and without a terminal, on a Debian machine with Rust and a C compiler but without Redis.
//!
//! The builds of dependencies and cargo's tools, which take minutes and are not part of the promise, are provided as
//! copy-on-write files. In CI the second command, `cargo xtask test`, has already run in full before this step. Here
//! it only has to work in a clone and install its needs, so all tests are built and the [`FEW_TESTS`] run.

use std::env;
use std::net::TcpListener;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context as _, bail, ensure};

use super::machine::{Boot, Machine, home_of};
use super::stack::{Stack, printed_curl};
use crate::report::Outcome;
use crate::shell;
use crate::workspace::Workspace;

/// User of the machine who owns the clone.
const USER: &str = "levee-newcomer";
/// Time-out of a command that builds the workspace's packages.
const READY_LIMIT: Duration = Duration::from_secs(15 * 60);
const TEST_LIMIT: Duration = Duration::from_secs(20 * 60);
/// Time-out of a refused command, which builds at most xtask before.
const REFUSAL_LIMIT: Duration = Duration::from_secs(120);
const STOP_LIMIT: Duration = Duration::from_secs(15);
/// Tests that the clone runs: xtask's own, and one file of the whole-stack tests.
const FEW_TESTS: &str = "-E 'package(xtask) | (package(tests) & test(/^call::/))'";

pub(super) fn run(workspace: &Workspace) -> anyhow::Result<Outcome> {
    // Read the commands from the README.
    let readme = std::fs::read_to_string(workspace.root.join("README.md")).context("cannot read README.md")?;
    let up = command_under(&readme, "Run it")?;
    let test = command_under(&readme, "Test it")?;
    if !shell::succeeds(workspace.command("dpkg-query").arg("--version")) {
        return Ok(Outcome::Skipped("this is not Debian".to_owned()));
    }
    // Boot a machine with the toolchain and the build directory.
    let homes = toolchain_homes()?;
    let machine = match Machine::boot(workspace, &shared_folders(workspace, &homes)?)? {
        Boot::Ready(machine) => machine,
        Boot::Impossible(why) => return Ok(Outcome::Skipped(why)),
    };
    // Run the commands; the system's packages must not change.
    let check = Check { workspace, machine, homes, clone: format!("{}/levee", home_of(USER)) };
    check.prepare()?;
    let packages = check.packages()?;
    check.nothing_is_fetched_where_that_is_forbidden(&up)?;
    check.up(&up)?;
    check.test(&test)?;
    ensure!(check.packages()? == packages, "the packages of the system have changed");
    Ok(Outcome::Ok)
}

/// Returns the existing folders of cargo and rustup, with the variables that name them.
fn toolchain_homes() -> anyhow::Result<Vec<(&'static str, PathBuf)>> {
    let home = env::var_os("HOME").map(PathBuf::from).context("HOME is not set")?;
    let mut homes = Vec::new();
    for (variable, default) in [("CARGO_HOME", ".cargo"), ("RUSTUP_HOME", ".rustup")] {
        let folder = env::var_os(variable).map_or_else(|| home.join(default), PathBuf::from);
        if folder.is_dir() {
            homes.push((variable, folder.canonicalize()?));
        }
    }
    Ok(homes)
}

/// Returns the folders of this machine that the new one needs.
fn shared_folders(workspace: &Workspace, homes: &[(&str, PathBuf)]) -> anyhow::Result<Vec<PathBuf>> {
    let mut folders = vec![workspace.root.canonicalize()?, workspace.target.canonicalize()?];
    folders.extend(homes.iter().map(|(_, folder)| folder.clone()));
    // Sort parents first: the layer of a folder also shows the folders inside it.
    folders.sort();
    Ok(folders)
}

struct Check<'a> {
    workspace: &'a Workspace,
    machine: Machine,
    homes: Vec<(&'static str, PathBuf)>,
    /// Folder of the clone in the machine.
    clone: String,
}

impl Check<'_> {
    fn prepare(&self) -> anyhow::Result<()> {
        eprintln!("- a machine without Redis, with a clone of HEAD in {}", self.clone);
        // Remove Redis and the installed tools.
        let tools = self.workspace.tools().display().to_string();
        self.machine.run(self.workspace, include_str!("purge.sh"), &[&tools])?;
        let gone = self.machine.run(self.workspace, "command -v redis-server valkey-server; echo done", &[])?;
        ensure!(gone.trim() == "done", "the machine still has {gone}");

        // Create the user, with write access to the shared folders.
        let writable = shared_folders(self.workspace, &self.homes)?;
        let writable = writable.iter().map(|folder| folder.display().to_string()).collect::<Vec<_>>();
        let arguments = std::iter::once(USER).chain(writable.iter().map(String::as_str)).collect::<Vec<_>>();
        self.machine.run(self.workspace, include_str!("user.sh"), &arguments).context("cannot make a user")?;

        // git distrusts the repository because it belongs to another user.
        let root = shell::quote(&self.workspace.root.display().to_string());
        let clone = shell::quote(&self.clone);
        let line = format!(
            "git config --global --add safe.directory '*' && git clone --quiet --no-hardlinks {root} {clone} && \
             git -C {clone} log -1 --format='%h %s'",
        );
        eprint!("  {}", shell::output(&mut self.command_in("/", &line)).context("cannot clone the repository")?);
        let mut status = self.workspace.command("git");
        if !shell::output(status.args(["status", "--porcelain"]))?.is_empty() {
            eprintln!("  (changes that are not committed are not in it)");
        }
        Ok(())
    }

    /// Returns a command line of the user in a folder.
    fn command_in(&self, folder: &str, line: &str) -> Command {
        let mut command = self.machine.user_command(self.workspace, USER, folder, line);
        command.envs(self.homes.iter().map(|(variable, folder)| (variable, folder)));
        command
    }

    /// Returns a command line of the user in the clone. It builds in the machine's copy of this workspace's build
    /// directory.
    fn command(&self, line: &str) -> Command {
        let mut command = self.command_in(&self.clone, &format!("exec {line}"));
        command.env("CARGO_TARGET_DIR", &self.workspace.target);
        command
    }

    /// Returns the list of packages installed in the system.
    fn packages(&self) -> anyhow::Result<String> {
        self.machine.run(self.workspace, "dpkg-query --show", &[])
    }

    /// Returns true if the Redis server has been fetched for the clone.
    fn has_fetched_redis(&self) -> bool {
        let program = self.workspace.tools().join("bin/redis-server").display().to_string();
        self.machine.run(self.workspace, "test -x \"$1\"", &[&program]).is_ok()
    }

    /// Runs a command line that has to fail, and returns its standard error.
    fn refused(&self, line: &str) -> anyhow::Result<String> {
        let output = self.command(&format!("timeout {} {line}", REFUSAL_LIMIT.as_secs())).output()?;
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        match output.status.code() {
            Some(0) => bail!("{line} should have failed; it said:\n{said}"),
            Some(124) => {
                bail!("{line} should have failed at once; within {} s it said:\n{said}", REFUSAL_LIMIT.as_secs())
            }
            _ => Ok(said),
        }
    }

    fn nothing_is_fetched_where_that_is_forbidden(&self, up: &str) -> anyhow::Result<()> {
        let line = format!("{up} --no-install");
        eprintln!("- {line}");
        let said = self.refused(&line)?;
        ensure!(said.contains("redis-server"), "{line} does not name redis-server:\n{said}");
        ensure!(!self.has_fetched_redis(), "{line} has fetched Redis");
        Ok(())
    }

    fn up(&self, up: &str) -> anyhow::Result<()> {
        // Use another port if a developer's own stack is running.
        let free = TcpListener::bind(("127.0.0.1", 8080)).is_ok();
        let up = if free { up.to_owned() } else { format!("{up} --port {}", free_port()?) };
        eprintln!("- {up}");
        let mut stack = Stack::start(self.command(&up), READY_LIMIT)?;
        ensure!(self.has_fetched_redis(), "it runs without the Redis that it should have fetched");

        eprintln!("- the curl that it printed");
        let curl = printed_curl(&stack.greeting).context("it printed no curl command")?;
        let paste = || {
            // Run curl exactly as printed; its configuration file makes it print the status.
            let config = "echo 'write-out = \"\\nstatus %{http_code}\"' >~/.curlrc";
            shell::output(&mut self.command_in(&self.clone, &format!("{config} && {curl}")))
        };
        let answer = paste()?;
        ensure!(answer.ends_with("status 200"), "{curl}\nanswered:\n{answer}");

        eprintln!("- the same again, while the port is taken");
        let port = stack.url.rsplit(':').next().unwrap_or_default().trim_end_matches('/').to_owned();
        let said = self.refused(&up)?;
        ensure!(said.contains(&port), "it does not say that port {port} is taken:\n{said}");
        let answer = paste()?;
        ensure!(answer.ends_with("status 200"), "after that, the first stack answered:\n{answer}");

        eprintln!("- Ctrl-C");
        let status = stack.interrupt(STOP_LIMIT)?;
        ensure!(status.success(), "it ended with {status}");
        self.machine.is_quiet()?;
        let file = self.workspace.target.join("levee/local.json").display().to_string();
        self.machine.run(self.workspace, "! test -e \"$1\"", &[&file]).context("local.json is left behind")?;
        Ok(())
    }

    fn test(&self, test: &str) -> anyhow::Result<()> {
        let line = format!("{test} -- {FEW_TESTS}");
        eprintln!("- {line}");
        let mut child = self.command(&line).stdout(Stdio::inherit()).spawn()?;
        match shell::wait(&mut child, TEST_LIMIT)? {
            Some(status) if status.success() => {}
            Some(status) => bail!("{line}: {status}"),
            None => bail!("{line} took longer than {} min", TEST_LIMIT.as_secs() / 60),
        }
        self.machine.is_quiet()
    }
}

fn free_port() -> anyhow::Result<u16> {
    Ok(TcpListener::bind(("127.0.0.1", 0))?.local_addr()?.port())
}

/// Returns the only command in the first fenced block under this heading.
fn command_under(readme: &str, heading: &str) -> anyhow::Result<String> {
    let is_heading = |line: &&str| line.starts_with('#') && line.trim_start_matches('#').trim() == heading;
    let mut lines = readme.lines();
    lines.find(is_heading).with_context(|| format!("README.md has no heading \"{heading}\""))?;
    let mut section = lines.take_while(|line| !line.starts_with('#'));
    section.find(|line| line.starts_with("```")).with_context(|| format!("\"{heading}\" has no fenced block"))?;
    let block = section.take_while(|line| !line.starts_with("```"));
    let commands = block.map(|line| line.trim().trim_start_matches("$ ")).filter(|line| !line.is_empty());
    match commands.collect::<Vec<_>>().as_slice() {
        [command] => Ok((*command).to_owned()),
        several => bail!("the block under \"{heading}\" has {} lines, where one command is expected", several.len()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const README: &str = "# Levee\n\n## Run it\n\nBuild and run:\n\n```sh\n$ cargo xtask up\n```\n\n## Test it\n\n```\ncargo xtask test\n\n```\n## Empty\n## Two\n```\na\nb\n```\n";

    #[test]
    fn the_commands_are_those_under_their_headings() {
        assert_eq!(command_under(README, "Run it").unwrap(), "cargo xtask up");
        assert_eq!(command_under(README, "Test it").unwrap(), "cargo xtask test");
    }

    #[test]
    fn what_is_not_one_command_is_an_error() {
        let message = |heading| command_under(README, heading).unwrap_err().to_string();
        assert_eq!(message("Deploy it"), "README.md has no heading \"Deploy it\"");
        assert_eq!(message("Empty"), "\"Empty\" has no fenced block");
        assert_eq!(message("Two"), "the block under \"Two\" has 2 lines, where one command is expected");
    }
}
