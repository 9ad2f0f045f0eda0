//! The command-line options.

use std::{collections::BTreeMap, path::PathBuf, str::FromStr};

use clap::Parser;

use crate::{providers::STAND_INS, relay::DockerHost};

/// Run the whole Levee stack on this machine.
///
/// The gateway reads routes, authorizers and answers from the template and behaves as API Gateway REST; the functions
/// are the built binaries, run as Lambda runs them. Prints "Levee is up at …" when it is ready. Ctrl-C stops
/// everything.
#[derive(Clone, Debug, Parser)]
#[command(name = "levee-local", version, max_term_width = 100)]
pub struct Options {
    /// The AWS stack to run.
    #[arg(long, value_name = "FILE", default_value = "template.yaml")]
    pub template: PathBuf,

    /// The value of one of the template's parameters, in place of its default; may be given more than once.
    #[arg(long = "parameter", value_name = "NAME=VALUE", value_parser = parameter)]
    pub parameters: Vec<(String, String)>,

    /// Where the functions' binaries are.
    #[arg(long, value_name = "FOLDER", default_value = "target/debug")]
    pub bin_dir: PathBuf,

    /// Where local.json, sam-env.json and the logs go.
    #[arg(long, value_name = "FOLDER", default_value = "target/levee")]
    pub state_dir: PathBuf,

    /// The gateway's port; 0 takes a free one.
    #[arg(long, default_value_t = 8080)]
    pub port: u16,

    /// Serve under /NAME, as on the API's own domain, instead of at the root, as on a custom domain.
    #[arg(long, value_name = "NAME", value_parser = stage)]
    pub stage: Option<String>,

    /// Serve HTTPS with a certificate made for this run (tls-cert.pem in the state folder).
    #[arg(long)]
    pub tls: bool,

    /// Seed only the fixed keys and their account: no demo accounts, no usage, no catalogs.
    #[arg(long)]
    pub no_demo: bool,

    /// Leave environments running between calls instead of stopping them as Lambda does.
    #[arg(long)]
    pub no_freeze: bool,

    /// How many environments functions have; one each unless named here.
    #[arg(long, value_name = "FUNCTION=N,…", default_value_t, hide_default_value = true)]
    pub environments: Environments,

    /// The stand-in AI providers that the functions call, in order of preference; both run and take scripts all the
    /// same.
    #[arg(long, value_name = "NAME,…", default_value_t)]
    pub providers: Providers,

    /// How containers reach this machine, for sam-env.json: an IP address of it, on which the stores then listen too
    /// (Docker's bridge, 172.17.0.1), or a name that stands for its loopback (Docker Desktop's host.docker.internal).
    #[arg(long, value_name = "ADDRESS")]
    pub docker_host: Option<DockerHost>,

    /// The redis-server or valkey-server to run; searched on PATH by default. REDIS_URL names a running one instead.
    #[arg(long, value_name = "PATH")]
    pub redis_server: Option<PathBuf>,
}

fn parameter(text: &str) -> Result<(String, String), String> {
    let (name, value) = text.split_once('=').ok_or_else(|| format!("{text:?} is not NAME=VALUE"))?;
    Ok((name.to_owned(), value.to_owned()))
}

/// Parses a stage name. "Stage names can only contain alphanumeric characters, hyphens, and underscores. Maximum
/// length is 128 characters": api-gateway-known-issues.html.
fn stage(name: &str) -> Result<String, String> {
    let fits = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
    if name.is_empty() || name.len() > 128 || !name.chars().all(fits) {
        return Err("a stage is letters, digits, hyphens and underscores, at most 128".to_owned());
    }
    Ok(name.to_owned())
}

/// Numbers of environments by function, as `authorizer=2,ai-proxy=3`; 1 to 64 each, default 1.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Environments(pub BTreeMap<String, usize>);

impl Environments {
    /// Returns the number of environments of a function.
    #[must_use]
    pub fn count(&self, function: &str) -> usize {
        self.0.get(function).copied().unwrap_or(1)
    }
}

impl FromStr for Environments {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let pair = |pair: &str| {
            let (name, number) = pair.split_once('=').ok_or(format!("{pair:?} is not FUNCTION=N"))?;
            match number.trim().parse() {
                Ok(number @ 1..=64) => Ok((name.trim().to_owned(), number)),
                _ => Err(format!("{name} must have from 1 to 64 environments, not {number}")),
            }
        };
        text.split(',').filter(|part| !part.trim().is_empty()).map(pair).collect::<Result<_, _>>().map(Self)
    }
}

impl std::fmt::Display for Environments {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let pairs: Vec<_> = self.0.iter().map(|(name, number)| format!("{name}={number}")).collect();
        formatter.write_str(&pairs.join(","))
    }
}

/// Names of stand-in providers in order of preference, as `primary,backup`: at least one, and no duplicates.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Providers(Vec<&'static str>);

impl Providers {
    /// Returns the names in order of preference.
    #[must_use]
    pub fn names(&self) -> &[&'static str] {
        &self.0
    }
}

impl Default for Providers {
    fn default() -> Self {
        Self(STAND_INS.to_vec())
    }
}

impl FromStr for Providers {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let mut names = Vec::new();
        for given in text.split(',').map(str::trim) {
            let known = STAND_INS.into_iter().find(|name| *name == given);
            let name = known.ok_or_else(|| format!("{given:?} is none of {}", STAND_INS.join(", ")))?;
            if names.contains(&name) {
                return Err(format!("{name} is named twice"));
            }
            names.push(name);
        }
        Ok(Self(names))
    }
}

impl std::fmt::Display for Providers {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(&self.0.join(","))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn providers_are_named_in_order_of_preference_and_only_once() {
        let options = |given: &[&str]| Options::try_parse_from([&["levee-local"], given].concat());
        let names = |given: &[&str]| options(given).unwrap().providers.names().to_vec();
        assert_eq!(names(&[]), ["primary", "backup"]);
        assert_eq!(names(&["--providers", "primary"]), ["primary"]);
        assert_eq!(names(&["--providers", "backup, primary"]), ["backup", "primary"]);
        let refusal = |given: &str| options(&["--providers", given]).unwrap_err().to_string();
        let unknown = refusal("primary,third");
        assert!(unknown.contains("\"third\" is none of primary, backup"), "{unknown}");
        assert!(refusal("").contains("is none of primary, backup"));
        assert!(refusal("backup,backup").contains("backup is named twice"));
    }

    #[test]
    fn numbers_of_environments_are_read_by_function() {
        let environments: Environments = "authorizer=2, ai-proxy=3".parse().unwrap();
        assert_eq!(
            (environments.count("authorizer"), environments.count("ai-proxy"), environments.count("other")),
            (2, 3, 1)
        );
        assert!("authorizer".parse::<Environments>().is_err());
        assert!("authorizer=0".parse::<Environments>().is_err());
    }
}
