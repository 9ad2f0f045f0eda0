//! `cargo xtask up`: builds everything and replaces itself by the local stack.

use std::os::unix::process::CommandExt as _;

use anyhow::Context as _;

use crate::docker;
use crate::preflight::{self, Consent, Need};
use crate::shell;
use crate::workspace::Workspace;

/// Build the stack and run it on this machine until Ctrl-C
///
/// It is ready when it prints "Levee is up at http://127.0.0.1:8080"; a file named target/levee/local.json then holds
/// the API keys and the other addresses. With REDIS_URL set, that server is used; AI_PROVIDERS
/// set replaces the stand-in AI providers with real ones.
#[derive(clap::Args)]
pub(crate) struct Up {
    /// The port to listen on
    #[arg(long, default_value_t = 8080)]
    port: u16,
    /// Seed only the fixed keys and their account: no demo accounts, no usage, no catalogs
    #[arg(long)]
    no_demo: bool,
    /// The value of one of the template's parameters, in place of its default; may be given more than once
    #[arg(long = "parameter", value_name = "NAME=VALUE")]
    parameters: Vec<String>,
    /// Serve every route under /NAME, as an API Gateway stage does
    #[arg(long, value_name = "NAME")]
    stage: Option<String>,
    /// Serve HTTPS, with a certificate made for the occasion
    #[arg(long)]
    tls: bool,
    /// Leave function environments running between their calls, where Lambda would freeze them
    #[arg(long)]
    no_freeze: bool,
    /// Let Docker's containers reach the stores, for "sam local invoke"; ADDRESS is how they reach this machine, found
    /// out unless it is given
    #[arg(long, value_name = "ADDRESS", num_args = 0..=1, require_equals = true)]
    docker: Option<Option<String>>,
    /// Numbers of environments to start by function, for example authorizer=2,ai-proxy=3
    #[arg(long, value_name = "FUNCTION=COUNT,…")]
    environments: Option<String>,
    /// The stand-in AI providers to call, in order of preference: primary,backup unless given
    #[arg(long, value_name = "NAME,…")]
    providers: Option<String>,
    #[command(flatten)]
    consent: Consent,
}

impl Up {
    pub(crate) fn run(self, workspace: &Workspace) -> anyhow::Result<()> {
        preflight::ensure(workspace, &[Need::Redis, Need::CCompiler], &self.consent)?;
        let docker_host = match &self.docker {
            None => None,
            Some(Some(address)) => Some(address.clone()),
            Some(None) => Some(docker::host(workspace)?),
        };
        build(workspace)?;
        // Replace this process by the stack, so that signals reach it directly.
        let stack = workspace.bin_dir().join("levee-local");
        let mut command = workspace.command(&stack);
        command.args(self.flags(workspace));
        command.args(docker_host.iter().map(|address| format!("--docker-host={address}")));
        let error = command.exec();
        Err(error).with_context(|| format!("cannot start {}", stack.display()))
    }

    fn flags(&self, workspace: &Workspace) -> Vec<String> {
        let mut flags = vec![
            format!("--port={}", self.port),
            "--template=template.yaml".to_owned(),
            format!("--bin-dir={}", workspace.bin_dir().display()),
            format!("--state-dir={}", workspace.target.join("levee").display()),
        ];
        flags.extend(self.parameters.iter().map(|parameter| format!("--parameter={parameter}")));
        flags.extend(self.stage.iter().map(|stage| format!("--stage={stage}")));
        flags.extend(self.environments.iter().map(|environments| format!("--environments={environments}")));
        flags.extend(self.providers.iter().map(|providers| format!("--providers={providers}")));
        let switches = [("--no-demo", self.no_demo), ("--tls", self.tls), ("--no-freeze", self.no_freeze)];
        flags.extend(switches.iter().filter(|(_, on)| *on).map(|(name, _)| (*name).to_owned()));
        flags
    }
}

/// Builds the parts of the stack: the function binaries and the host that runs them.
pub(crate) fn build(workspace: &Workspace) -> anyhow::Result<()> {
    let mut arguments = vec!["build".to_owned(), "--package=local".to_owned()];
    arguments.extend(workspace.functions()?.iter().map(|function| format!("--package={function}")));
    shell::run(&mut workspace.cargo(arguments))
}

#[cfg(test)]
mod tests {
    use clap::{Args as _, FromArgMatches as _};

    use super::*;

    fn flags(arguments: &[&str]) -> Vec<String> {
        let command = Up::augment_args(clap::Command::new("up"));
        let matches = command.get_matches_from([&["up"], arguments].concat());
        let workspace = Workspace { root: "/repo".into(), target: "/repo/target".into() };
        Up::from_arg_matches(&matches).unwrap().flags(&workspace)
    }

    #[test]
    fn the_stack_is_told_where_everything_is() {
        let expected = [
            "--port=8080",
            "--template=template.yaml",
            "--bin-dir=/repo/target/debug",
            "--state-dir=/repo/target/levee",
        ];
        assert_eq!(flags(&[]), expected);
    }

    #[test]
    fn flags_are_handed_on() {
        let given = [
            "--port=9000",
            "--parameter=AllowedOrigin=https://app.example.com",
            "--parameter=AddressProxyHops=1",
            "--stage=prod",
            "--environments=authorizer=2,ai-proxy=3",
            "--providers=primary",
            "--no-demo",
            "--tls",
        ];
        let flags = flags(&given);
        for expected in given {
            assert!(flags.contains(&expected.to_owned()), "{expected} in {flags:?}");
        }
        assert!(!flags.contains(&"--no-freeze".to_owned()));
    }

    #[test]
    fn the_address_of_docker_may_be_left_out() {
        let docker = |arguments: &[&str]| {
            let command = Up::augment_args(clap::Command::new("up"));
            let matches = command.get_matches_from([&["up"], arguments].concat());
            Up::from_arg_matches(&matches).unwrap().docker
        };
        assert_eq!(docker(&[]), None);
        assert_eq!(docker(&["--docker", "--no-demo"]), Some(None));
        assert_eq!(docker(&["--docker=172.17.0.1"]), Some(Some("172.17.0.1".to_owned())));
    }
}
