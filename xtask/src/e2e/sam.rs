//! The SAM CLI as used by developers: `sam build` in the workspace, and `sam local invoke` of the result.
//!
//! The results are kept apart from a developer's own, so that an unoptimised build is not deployed by accident. AWS's
//! own image cannot be downloaded everywhere; instead, functions are checked to need no newer C library than
//! [`GLIBC`].

use std::fs;
use std::os::unix::process::CommandExt as _;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail, ensure};
use events::Sample;

use super::docker::{Docker, Start};
use super::emulator::{self, architecture, logical_id, logs_an_error};
use super::stack::Stack;
use crate::report::Outcome;
use crate::workspace::Workspace;
use crate::{shell, tools, up};

/// Version of glibc in Amazon Linux 2023.
const GLIBC: (u32, u32) = (2, 34);
const BUILD_LIMIT: Duration = Duration::from_secs(15 * 60);
const READY_LIMIT: Duration = Duration::from_secs(120);
const ANSWER_LIMIT: Duration = Duration::from_secs(60);
const STOP_LIMIT: Duration = Duration::from_secs(15);

pub(super) fn build(workspace: &Workspace) -> anyhow::Result<Outcome> {
    let folder = workspace.target.join("e2e");
    // Build without optimisation, into folders of this step.
    let mut sam = sam(workspace);
    sam.args(["build", "--parameter-overrides", &format!("Architecture={}", architecture())])
        .args(["--build-dir".as_ref(), built(workspace).as_os_str()])
        .args(["--cache-dir".as_ref(), folder.join("cache").as_os_str()])
        .env("CARGO_TARGET_DIR", folder.join("target"))
        .envs([("CARGO_PROFILE_RELEASE_LTO", "off"), ("CARGO_PROFILE_RELEASE_CODEGEN_UNITS", "16")])
        .env("CARGO_PROFILE_RELEASE_OPT_LEVEL", "0")
        .process_group(0);
    eprintln!("- sam build, which says nothing while it compiles: two to four minutes when nothing is built yet");
    eprintln!("$ {}", shell::line(&sam));
    match shell::wait(&mut sam.spawn()?, BUILD_LIMIT)? {
        Some(status) if status.success() => {}
        Some(status) => bail!("sam build: {status}"),
        None => bail!("sam build took longer than {} min", BUILD_LIMIT.as_secs() / 60),
    }
    // Check the size and the C library of each function.
    for function in workspace.functions()? {
        let program = program(workspace, &function);
        let bytes = fs::read(&program).with_context(|| format!("sam build left no {}", program.display()))?;
        let newest = newest_glibc(&bytes);
        ensure!(
            newest <= GLIBC,
            "{function} needs glibc {}.{}, and Lambda has {}.{}",
            newest.0,
            newest.1,
            GLIBC.0,
            GLIBC.1
        );
        eprintln!("  {function}: {} MB, needs glibc {}.{}", bytes.len() / 1_000_000, newest.0, newest.1);
    }
    Ok(Outcome::Ok)
}

pub(super) fn local(workspace: &Workspace) -> anyhow::Result<Outcome> {
    // Does nothing if the step before has just built everything.
    build(workspace)?;
    up::build(workspace)?;
    let docker = match Docker::start(workspace)? {
        Start::Ready(docker) => docker,
        Start::Impossible(why) => return Ok(Outcome::Skipped(why)),
    };
    eprintln!("- an image in the place of AWS's");
    import(workspace, &docker)?;

    // Hide the state files of a stack that the developer may be running.
    docker.hide(workspace, &workspace.target.join("levee"))?;
    eprintln!("- cargo xtask up --docker");
    let mut up = docker.command(workspace, "exec cargo xtask up --docker --no-demo --no-install");
    up.env("CARGO_TARGET_DIR", &workspace.target);
    let mut stack = Stack::start(up, READY_LIMIT)?;
    let checked = check(workspace, &docker);
    // nsenter runs between this process and the stack, so its exit status is not checked.
    let ended = stack.interrupt(STOP_LIMIT);
    checked.and(ended)?;
    Ok(Outcome::Ok)
}

/// Builds the image that `sam local` looks for first.
fn import(workspace: &Workspace, docker: &Docker) -> anyhow::Result<()> {
    let script = docker.scratch().join("image.sh");
    fs::write(&script, include_str!("image.sh"))?;
    let tag = format!("public.ecr.aws/lambda/provided:al2023-rapid-{}", architecture());
    let mut words = vec![script, docker.scratch().join("image"), tag.into(), emulator::program(workspace)?];
    words.extend(workspace.functions()?.iter().map(|function| program(workspace, function)));
    let words = words.iter().map(|word| shell::quote(&word.display().to_string())).collect::<Vec<_>>();
    shell::output(&mut docker.command(workspace, &format!("sh {}", words.join(" ")))).map(drop)
}

fn check(workspace: &Workspace, docker: &Docker) -> anyhow::Result<()> {
    let samples = events::samples(&workspace.root.join("events"))?;
    eprintln!("- {} events, each in a container of its own", samples.len());
    for sample in &samples {
        let start = Instant::now();
        let answer = invoke(workspace, docker, sample)?;
        sample.check(&answer)?;
        eprintln!("  {}/{}: as expected, in {:.1} s", sample.function, sample.name, start.elapsed().as_secs_f64());
    }
    Ok(())
}

/// Runs the command of docs/TOUR.md, with changes for the build folder, the architecture, and without a download.
fn invoke(workspace: &Workspace, docker: &Docker, sample: &Sample) -> anyhow::Result<Vec<u8>> {
    let (id, event) = (logical_id(&sample.function), format!("events/{}/{}.json", sample.function, sample.name));
    let variables = workspace.target.join("levee/sam-env.json");
    let template = built(workspace).join("template.yaml");
    let [variables, template] = [variables, template].map(|path| shell::quote(&path.display().to_string()));
    let line = format!(
        "exec timeout {} {} local invoke {id} --event {event} --env-vars {variables} --template {template} \
         --parameter-overrides Architecture={} --skip-pull-image",
        ANSWER_LIMIT.as_secs(),
        shell::quote(&tools::sam(workspace).display().to_string()),
        architecture(),
    );
    let mut command = docker.command(workspace, &line);
    let output = quiet(&mut command).output()?;
    let log = String::from_utf8_lossy(&output.stderr).into_owned();
    ensure!(output.status.success(), "sam local invoke {id} of {event}: {}\n{log}", output.status);
    // If a store cannot be reached, some calls still succeed and only log an error.
    ensure!(!logs_an_error(&log), "sam local invoke {id} of {event} logged an error:\n{log}");
    Ok(output.stdout)
}

/// Returns the SAM CLI with the programs of its virtual environment on PATH, among them cargo-lambda and Zig.
fn sam(workspace: &Workspace) -> Command {
    let mut sam = workspace.command(tools::sam(workspace));
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folders = std::iter::once(tools::sam_programs(workspace)).chain(std::env::split_paths(&path));
    if let Ok(path) = std::env::join_paths(folders) {
        sam.env("PATH", path);
    }
    quiet(&mut sam);
    sam.stdin(Stdio::null());
    sam
}

/// Turns off telemetry and the look-up of credentials from the instance metadata.
fn quiet(command: &mut Command) -> &mut Command {
    command.envs([("SAM_CLI_TELEMETRY", "0"), ("AWS_EC2_METADATA_DISABLED", "true")])
}

fn built(workspace: &Workspace) -> PathBuf {
    workspace.target.join("e2e/build")
}

fn program(workspace: &Workspace, function: &str) -> PathBuf {
    built(workspace).join(logical_id(function)).join("bootstrap")
}

/// Returns the newest version of the C library among a program's dynamic symbols.
fn newest_glibc(program: &[u8]) -> (u32, u32) {
    const NAME: &[u8] = b"GLIBC_";
    let at = (0..program.len().saturating_sub(NAME.len())).filter(|at| program[*at..].starts_with(NAME));
    let versions = at.filter_map(|at| {
        let rest = &program[at + NAME.len()..];
        let end = rest.iter().position(|byte| !(byte.is_ascii_digit() || *byte == b'.'))?;
        let mut numbers = std::str::from_utf8(&rest[..end]).ok()?.split('.').map(str::parse);
        Some((numbers.next()?.ok()?, numbers.next()?.ok()?))
    });
    versions.max().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_version_is_found_among_other_bytes() {
        assert_eq!(newest_glibc(b"\0GLIBC_2.9\0GLIBC_PRIVATE\0xGLIBC_2.34\0GLIBC_2.3.4\0"), (2, 34));
        assert_eq!(newest_glibc(b"GLIBC_"), (0, 0));
    }
}
