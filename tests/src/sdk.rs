//! Anthropic's official SDKs, each operated by a program in its language under `tests/sdk`.

use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};
use tokio::time::timeout;

use crate::{Stack, binaries, workspace};

/// Time-out of one scenario, including the pauses it asks for.
const ANSWER: Duration = Duration::from_secs(60);

/// Language of an official SDK.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Language {
    /// `anthropic` on PyPI.
    Python,
    /// `@anthropic-ai/sdk` on npm, run by Node.js.
    TypeScript,
}

impl Language {
    /// Returns the folder of the program under `tests/sdk`.
    fn name(self) -> &'static str {
        match self {
            Self::Python => "python",
            Self::TypeScript => "typescript",
        }
    }

    /// Returns the file in that folder that pins the versions.
    fn pins(self) -> &'static str {
        match self {
            Self::Python => "requirements.txt",
            Self::TypeScript => "package-lock.json",
        }
    }

    /// Returns the folder into which `cargo xtask test` has installed the SDK in its pinned version.
    fn installed(self) -> PathBuf {
        let pins = workspace().join("tests/sdk").join(self.name()).join(self.pins());
        let target = binaries().parent().expect("a build directory").to_owned();
        let folder = target.join("tools").join(format!("sdk-{}", self.name()));
        let installed = std::fs::read(folder.join("installed")).ok();
        assert!(
            installed.is_some_and(|installed| std::fs::read(&pins).is_ok_and(|pinned| pinned == installed)),
            "Anthropic's official SDK for {self:?} is not in {} as {} pins it; `cargo xtask test` installs it, or leaves \
             these tests out",
            folder.display(),
            pins.display(),
        );
        folder
    }

    /// Returns the command of the program, with an empty environment: no key, no proxy, and no address but the given
    /// one.
    fn command(self) -> Command {
        let folder = self.installed();
        let program = workspace().join("tests/sdk").join(self.name());
        let path = std::env::var_os("PATH").unwrap_or_default();
        let mut command = match self {
            Self::Python => {
                let mut python = Command::new(folder.join("bin/python"));
                // -B: no compiled files beside the sources.
                python.arg("-B").arg(program.join("main.py"));
                python
            }
            Self::TypeScript => {
                let mut node = Command::new("node");
                node.arg(program.join("main.mjs"));
                node
            }
        };
        command.env_clear().env("PATH", path).env("SDK_FOLDER", folder);
        command
    }
}

/// API that an SDK calls.
#[derive(Debug, Clone)]
pub struct Target {
    /// Address of the API.
    pub base_url: String,
    /// API key.
    pub api_key: String,
    /// Maximum number of retries; `None` is the SDK's default.
    pub max_retries: Option<u32>,
}

impl Target {
    /// Replaces the key.
    pub fn with_key(self, api_key: &str) -> Self {
        Self { api_key: api_key.to_owned(), ..self }
    }

    /// Sets the number of retries.
    pub fn retrying(self, times: u32) -> Self {
        Self { max_retries: Some(times), ..self }
    }
}

impl Stack {
    /// Returns the stack as a target, with the fixed key.
    pub fn target(&self) -> Target {
        Target { base_url: self.url(""), api_key: self.api_key().to_owned(), max_retries: None }
    }

    /// Returns the primary stand-in as a target, with its own key, to compare an SDK's behaviour without Levee.
    pub async fn provider_target(&self) -> Target {
        let provider = self.provider("primary").await;
        let base_url = provider["base_url"].as_str().expect("an address").to_owned();
        Target { base_url, api_key: Self::provider_key("primary"), max_retries: None }
    }
}

/// A running program that has loaded an SDK. Dropping it ends the program.
#[derive(Debug)]
pub struct Sdk {
    input: ChildStdin,
    output: Lines<BufReader<ChildStdout>>,
    _process: Child,
}

impl Sdk {
    /// Starts the program and waits until the SDK is loaded.
    pub async fn start(language: Language) -> Self {
        let mut command = language.command();
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).kill_on_drop(true);
        let mut process =
            command.spawn().unwrap_or_else(|error| panic!("{command:?} does not start ({error}); is it on PATH?"));
        let input = process.stdin.take().expect("its input");
        let output = BufReader::new(process.stdout.take().expect("its output")).lines();
        let mut sdk = Self { input, output, _process: process };
        sdk.line("ready").await;
        sdk
    }

    /// Runs a scenario of `tests/sdk` and returns its outcome.
    pub async fn run(&mut self, scenario: &str, target: &Target) -> Value {
        self.run_with(scenario, target, json!({})).await
    }

    /// Works as [`Sdk::run`], with additional parameters `more` of the scenario.
    pub async fn run_with(&mut self, scenario: &str, target: &Target, more: Value) -> Value {
        let Target { base_url, api_key, max_retries } = target;
        let mut call = more;
        call["scenario"] = json!(scenario);
        call["base_url"] = json!(base_url);
        call["api_key"] = json!(api_key);
        if let Some(times) = max_retries {
            call["max_retries"] = json!(times);
        }
        self.input.write_all(format!("{call}\n").as_bytes()).await.expect("the program reads");
        self.line(scenario).await
    }

    async fn line(&mut self, scenario: &str) -> Value {
        let line = timeout(ANSWER, self.output.next_line()).await;
        let line = line.unwrap_or_else(|_| panic!("{scenario} did not end within {ANSWER:?}"));
        let line = line.expect("text").unwrap_or_else(|| panic!("the program ended at {scenario}"));
        let outcome: Value = serde_json::from_str(&line).unwrap_or_else(|error| panic!("{error}: {line}"));
        assert_eq!(outcome["scenario"], scenario);
        outcome
    }
}
