//! The operators' command against a running stack.

#![expect(clippy::expect_used, clippy::panic, clippy::unwrap_used, reason = "helpers of tests are tests")]

mod accounts;
mod admins;
mod aws;
mod blocks;
mod breakers;
mod caps;
mod catalogs;
mod limits;
mod output;
mod requests;
mod usage;

use std::collections::BTreeMap;
use std::process::Stdio;
use std::time::Duration;

use levee::admins::{AdminsTable, AuditEntry, Role, SignInError};
use levee::clock::Timestamp;
use serde_json::{Value, json};
use tests::{Scripted, Stack, binaries, messages, wait_for};
use tokio::io::AsyncWriteExt;
use tokio::process::Command;

/// Exit code and output of a command.
#[derive(Debug)]
pub(crate) struct Run {
    code: i32,
    stdout: String,
    stderr: String,
}

impl Run {
    pub(crate) fn ok(self) -> Self {
        assert_eq!(self.code, 0, "{self:?}");
        self
    }

    /// Asserts that it failed with this exit code and with `text` in its error output.
    fn fails(self, code: i32, text: &str) {
        assert_eq!(self.code, code, "{self:?}");
        assert!(self.stderr.contains(text), "'{text}' is not in {self:?}");
        assert_eq!(self.stdout, "", "{self:?}");
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.stdout).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    /// Returns the only line that it printed.
    pub(crate) fn line(&self) -> &str {
        let line = self.stdout.strip_suffix('\n').unwrap();
        assert!(!line.is_empty() && !line.contains('\n'), "{self:?}");
        line
    }
}

/// Runs `levee` in an environment with only `variables` and a few fixed ones.
async fn run(arguments: &[&str], variables: &[(&str, &str)], input: &str) -> Run {
    let empty = tempfile::tempdir().unwrap();
    let mut child = Command::new(binaries().join("levee"))
        .args(arguments)
        .env_clear()
        .env("USER", "tester")
        .env("HOME", empty.path())
        .env("AWS_EC2_METADATA_DISABLED", "true")
        .envs(variables.iter().copied())
        .current_dir(empty.path())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("levee runs: build it first, with `cargo build --workspace --bins`");
    // A command that reads no input may end before the input is written.
    let _unread = child.stdin.take().unwrap().write_all(input.as_bytes()).await;
    let output = child.wait_with_output().await.unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    Run { code: output.status.code().unwrap(), stdout: text(output.stdout), stderr: text(output.stderr) }
}

/// Runs `levee` against the stack; `command` is split at blanks.
pub(crate) async fn levee(stack: &Stack, command: &str) -> Run {
    levee_with(stack, command, &[]).await
}

/// Works as [`levee`], with additional arguments that may contain blanks.
pub(crate) async fn levee_with(stack: &Stack, command: &str, more: &[&str]) -> Run {
    levee_reading(stack, command, more, "").await
}

async fn levee_reading(stack: &Stack, command: &str, more: &[&str], input: &str) -> Run {
    let local = format!("--local={}", stack.state().display());
    let arguments: Vec<&str> = command.split(' ').chain(more.iter().copied()).chain([local.as_str()]).collect();
    run(&arguments, &[], input).await
}

/// Returns the public id in a key.
fn id_of(key: &str) -> &str {
    key.split('_').nth(2).unwrap()
}

async fn status(stack: &Stack, key: &str) -> u16 {
    stack.call_with_key(key, "/v1/messages", &messages("Hello")).await.status
}

fn admins(stack: &Stack) -> AdminsTable {
    AdminsTable::new(stack.dynamodb(), "Admins")
}

async fn audit(stack: &Stack) -> Vec<AuditEntry> {
    admins(stack).audit_log(100, stack.now()).await.unwrap()
}

/// Returns the content of all tables and logs of the stack.
async fn everything(stack: &Stack) -> String {
    let local = std::fs::read(stack.state().join("local.json")).unwrap();
    let local: Value = serde_json::from_slice(&local).unwrap();
    let tables: BTreeMap<String, String> = serde_json::from_value(local["tables"].clone()).unwrap();
    let mut all = stack.output();
    for table in tables.values() {
        let mut items = stack.dynamodb().scan().table_name(table).into_paginator().items().send();
        while let Some(item) = items.next().await {
            all += &format!("{:?}\n", item.unwrap());
        }
    }
    for log in std::fs::read_dir(stack.state().join("logs")).unwrap() {
        all += &String::from_utf8_lossy(&std::fs::read(log.unwrap().path()).unwrap());
    }
    all
}

/// Creates an account with one integration and a key.
async fn newco(stack: &Stack) -> String {
    levee_with(stack, "account create newco --name", &["New Co"]).await.ok();
    levee(stack, "integration create newco/crm --name CRM").await.ok();
    levee(stack, "key create newco/crm --name test").await.ok().line().to_owned()
}
