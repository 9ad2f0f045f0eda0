//! `cargo xtask test`: runs all tests that are possible on one machine.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Context as _;

use crate::preflight::{self, Agreed, Consent, Need, is_ci};
use crate::report::{Outcome, Report};
use crate::shell;
use crate::workspace::Workspace;

/// Needs of some whole-stack tests only. If they are not met, these tests are skipped and all others run.
struct Part {
    name: &'static str,
    needs: &'static [Need],
    /// Modules of the whole-stack tests with these needs.
    suites: &'static [&'static str],
}

const PARTS: [Part; 2] = [
    Part {
        name: "Anthropic's official SDKs",
        needs: &[Need::Python, Need::PythonSdk, Need::Node, Need::TypeScriptSdk],
        suites: &["sdk", "scenes"],
    },
    Part {
        name: "a browser, and axe-core to check its pages with",
        needs: &[Need::Chromium, Need::Node, Need::Axe],
        suites: &["browser"],
    },
];

/// Run all tests: unit tests, whole-stack tests and documentation tests
///
/// The whole-stack tests run the same binaries as "cargo xtask up", each test a stack of its own on free ports. Those
/// that point Anthropic's official SDKs at it, and those that open its pages in Chromium, are reported as SKIPPED
/// where Python, Node.js or Chromium is missing and may not be installed.
#[derive(clap::Args)]
pub(crate) struct Test {
    #[command(flatten)]
    consent: Consent,
    /// Try eight times as many cases in each property test
    #[arg(long)]
    thorough: bool,
    /// Arguments for cargo nextest, for example a part of a test's name
    #[arg(last = true, value_name = "NEXTEST ARGUMENTS")]
    nextest: Vec<String>,
}

impl Test {
    pub(crate) fn run(self, workspace: &Workspace) -> anyhow::Result<()> {
        preflight::ensure(workspace, &[Need::Redis, Need::CCompiler, Need::Nextest], &self.consent)?;
        // Ask for consent now, install after the build.
        let parts = agree(workspace, &self.consent);
        // Build the binaries, which whole-stack tests start from the build directory without cargo's knowledge. Build
        // all targets, so that dependencies have the same features as in the steps below and nothing is built twice.
        shell::run(&mut workspace.cargo(["build", "--workspace", "--all-targets"]))?;

        // Install the optional parts; the tests of a part that fails are skipped.
        let mut report = Report::default();
        let mut skipped = Vec::new();
        for (part, agreed) in parts {
            let mut provided = false;
            report.step(part.name, || {
                let lacking = provide(workspace, agreed, is_ci())?;
                provided = lacking.is_none();
                Ok(lacking.map_or(Outcome::Ok, |lacking| {
                    Outcome::Skipped(format!("the tests in {} do not run, as {lacking}", part.suites.join(" and ")))
                }))
            });
            if !provided {
                skipped.extend(part.suites);
            }
        }
        // Run the tests with a filter for the skipped suites.
        let profile = profile(&self.nextest, is_ci(), &skipped);
        let filter = filter_file(workspace, profile, &skipped)?;
        let mut step = |name: &str, arguments: &[String]| {
            let mut cargo = workspace.cargo(arguments);
            if self.thorough {
                cargo.env("LEVEE_THOROUGH", "1");
            }
            report.step(name, || shell::run(&mut cargo).map(|()| Outcome::Ok));
        };
        step("unit tests and whole-stack tests", &nextest(filter.as_deref(), profile, &self.nextest));
        step("documentation tests", &["test", "--workspace", "--doc"].map(str::to_owned));
        report.finish()
    }
}

/// Asks for consent to each part, without the needs that an earlier part installs.
fn agree(workspace: &Workspace, consent: &Consent) -> Vec<(&'static Part, anyhow::Result<Agreed>)> {
    let mut promised = Vec::new();
    let parts = PARTS.iter().map(|part| {
        let needs = part.needs.iter().copied().filter(|need| !promised.contains(need)).collect::<Vec<_>>();
        let agreed = preflight::agree(workspace, &needs, consent);
        if agreed.is_ok() {
            promised.extend(needs);
        }
        (part, agreed)
    });
    parts.collect()
}

/// Installs a part, and returns the reason if it is missing in the end. A failed installation is an error in CI only,
/// since a developer may be offline.
fn provide(workspace: &Workspace, agreed: anyhow::Result<Agreed>, ci: bool) -> anyhow::Result<Option<String>> {
    let lacking = match agreed.map(|agreed| agreed.attempt(workspace)) {
        Ok(Ok(lacking)) => lacking,
        Ok(Err(error)) if ci => return Err(error),
        Ok(Err(error)) | Err(error) => Some(format!("{error:#}")),
    };
    Ok(lacking.map(|lacking| lacking.trim_end().to_owned()))
}

/// Returns the nextest profile to run: the one that the developer names, CI's, or, if suites are left out, `partial`.
/// `None` is nextest's default.
fn profile<'a>(given: &'a [String], ci: bool, skipped: &[&str]) -> Option<&'a str> {
    let mut words = given.iter();
    while let Some(word) = words.next() {
        if word == "-P" || word == "--profile" {
            return words.next().map(String::as_str);
        }
        if let Some(name) = word.strip_prefix("--profile=").or_else(|| word.strip_prefix("-P")) {
            return Some(name.trim_start_matches('='));
        }
    }
    if ci { Some("ci") } else { (!skipped.is_empty()).then_some("partial") }
}

/// Writes the nextest configuration that excludes these suites from a profile, and returns its path; `None` if all
/// suites run.
///
/// A profile's default filter is intersected with the union of the filters on the command line. The file is a tool
/// configuration, which nextest merges with the repository's, so that any profile can have the filter. The exception
/// is the profile `default`, for which nextest reads only the repository's configuration.
fn filter_file(workspace: &Workspace, profile: Option<&str>, skipped: &[&str]) -> anyhow::Result<Option<PathBuf>> {
    let Some(profile) = profile.filter(|_| !skipped.is_empty()) else { return Ok(None) };
    let file = workspace.target.join("tests-without.toml");
    let text = format!("[profile.{profile}]\ndefault-filter = '{}'\n", default_filter(skipped));
    fs::write(&file, text).with_context(|| format!("cannot write {}", file.display()))?;
    Ok(Some(file))
}

fn default_filter(skipped: &[&str]) -> String {
    let suites = skipped.iter().map(|suite| format!("test(/^{suite}::/)")).collect::<Vec<_>>();
    format!("not (package(tests) & ({}))", suites.join(" | "))
}

/// Returns the arguments with which cargo runs the tests.
fn nextest(filter: Option<&Path>, profile: Option<&str>, given: &[String]) -> Vec<String> {
    let mut arguments = ["nextest", "run", "--workspace", "--no-fail-fast"].map(str::to_owned).to_vec();
    arguments.extend(filter.map(|file| format!("--tool-config-file=levee:{}", file.display())));
    let is_given = self::profile(given, false, &[]).is_some();
    arguments.extend(profile.filter(|_| !is_given).map(|profile| format!("--profile={profile}")));
    arguments.extend_from_slice(given);
    arguments
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn suites_are_left_out_of_the_whole_stack_tests_alone() {
        assert_eq!(default_filter(&["browser"]), "not (package(tests) & (test(/^browser::/)))");
        let both = "not (package(tests) & (test(/^sdk::/) | test(/^scenes::/)))";
        assert_eq!(default_filter(&["sdk", "scenes"]), both);
    }

    #[test]
    fn suites_that_may_be_left_out_are_modules_of_the_whole_stack_tests() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/tests/stack");
        for suite in PARTS.iter().flat_map(|part| part.suites) {
            let is_there = folder.join(format!("{suite}.rs")).is_file() || folder.join(suite).is_dir();
            assert!(is_there, "{suite}");
        }
    }

    #[test]
    fn the_repositorys_profiles_leave_the_default_filter_to_this_command() {
        let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../.config/nextest.toml");
        assert!(!fs::read_to_string(file).unwrap().contains("default-filter"));
    }

    #[test]
    fn what_the_developer_gives_comes_last() {
        let given = words(&["-E", "test(call)"]);
        let arguments = nextest(Some(Path::new("/target/tests-without.toml")), Some("partial"), &given);
        let rest = &arguments[4..];
        let tool = "--tool-config-file=levee:/target/tests-without.toml";
        assert_eq!(rest, [tool, "--profile=partial", "-E", "test(call)"]);
    }

    #[test]
    fn a_profile_is_chosen_where_something_is_left_out_and_in_ci() {
        assert_eq!(profile(&[], false, &[]), None);
        assert_eq!(profile(&[], false, &["browser"]), Some("partial"));
        assert_eq!(profile(&[], true, &["browser"]), Some("ci"));
        assert_eq!(nextest(None, Some("ci"), &[])[4..], ["--profile=ci"]);
    }

    #[test]
    fn a_profile_that_the_developer_names_wins_over_ours() {
        for given in [&["-P", "slow"][..], &["-Pslow"], &["--profile", "slow"], &["--profile=slow"]] {
            let given = words(given);
            assert_eq!(profile(&given, true, &["browser"]), Some("slow"));
            assert_eq!(nextest(None, Some("slow"), &given)[4..], given);
        }
    }

    fn words(words: &[&str]) -> Vec<String> {
        words.iter().map(|word| (*word).to_owned()).collect()
    }
}
