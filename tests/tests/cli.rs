//! The operators' command, as operators run it, against a running stack.

#![expect(clippy::expect_used, clippy::panic, clippy::unwrap_used, reason = "helpers of tests are tests")]

use std::collections::BTreeMap;
use std::process::Stdio;
use std::time::Duration;

use levee::admins::{AdminsTable, AuditEntry, Role, SignInError};
use levee::clock::{Clock, Timestamp};
use serde_json::{Value, json};
use tests::{Scripted, Stack, binaries, messages};
use tokio::io::AsyncWriteExt;
use tokio::process::Command;

/// How a command ended and what it said.
#[derive(Debug)]
struct Run {
    code: i32,
    stdout: String,
    stderr: String,
}

impl Run {
    fn ok(self) -> Self {
        assert_eq!(self.code, 0, "{self:?}");
        self
    }

    /// Asserts that it failed, saying `text`.
    fn fails(self, code: i32, text: &str) {
        assert_eq!(self.code, code, "{self:?}");
        assert!(self.stderr.contains(text), "'{text}' is not in {self:?}");
        assert_eq!(self.stdout, "", "{self:?}");
    }

    fn json(&self) -> Value {
        serde_json::from_str(&self.stdout).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    /// The one line that it printed.
    fn line(&self) -> &str {
        let line = self.stdout.strip_suffix('\n').unwrap();
        assert!(!line.is_empty() && !line.contains('\n'), "{self:?}");
        line
    }
}

/// Runs `levee` with nothing in its environment but `variables`.
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
    // A command that reads no input may be gone before it is written.
    let _unread = child.stdin.take().unwrap().write_all(input.as_bytes()).await;
    let output = child.wait_with_output().await.unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    Run { code: output.status.code().unwrap(), stdout: text(output.stdout), stderr: text(output.stderr) }
}

/// Runs `levee` against the stack; the words of `command` are separated by blanks.
async fn levee(stack: &Stack, command: &str) -> Run {
    levee_with(stack, command, &[]).await
}

/// As [`levee`], with further arguments that may hold blanks.
async fn levee_with(stack: &Stack, command: &str, more: &[&str]) -> Run {
    levee_reading(stack, command, more, "").await
}

async fn levee_reading(stack: &Stack, command: &str, more: &[&str], input: &str) -> Run {
    let local = format!("--local={}", stack.state().display());
    let arguments: Vec<&str> = command.split(' ').chain(more.iter().copied()).chain([local.as_str()]).collect();
    run(&arguments, &[], input).await
}

/// The public id within a key.
fn id_of(key: &str) -> &str {
    key.split('_').nth(2).unwrap()
}

async fn status(stack: &Stack, key: &str) -> u16 {
    stack.call_with_key(key, "/v1/messages", &messages("Hello")).await.status
}

fn now(stack: &Stack) -> Timestamp {
    Clock::system().now().plus(stack.clock_offset())
}

fn admins(stack: &Stack) -> AdminsTable {
    AdminsTable::new(stack.dynamodb(), "Admins")
}

async fn audit(stack: &Stack) -> Vec<AuditEntry> {
    admins(stack).audit_log(100, now(stack)).await.unwrap()
}

/// Everything that the stack's tables hold, and everything that it has logged.
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

/// An account with one integration and a key.
async fn newco(stack: &Stack) -> String {
    levee_with(stack, "account create newco --name", &["New Co"]).await.ok();
    levee(stack, "integration create newco/crm --name CRM").await.ok();
    levee(stack, "key create newco/crm --name test").await.ok().line().to_owned()
}

#[tokio::test]
async fn a_new_accounts_key_works_at_once_and_is_shown_once() {
    let stack = Stack::builder().env("RUST_LOG", "trace").start().await;
    let made = levee_with(&stack, "account create newco --name", &["New Co"]).await.ok();
    assert_eq!(made.line(), "account newco is created");
    let made = levee(&stack, "integration create newco/operator --name Op --kind ai-operator --json").await.ok().json();
    assert_eq!(
        (&made["account"], &made["id"], &made["kind"]),
        (&json!("newco"), &json!("operator"), &json!("ai-operator"))
    );

    let made = levee(&stack, "key create newco/operator --name production").await.ok();
    let key = made.line();
    assert!(made.stderr.contains("It is not shown again") && !made.stderr.contains(key), "{made:?}");
    assert_eq!(status(&stack, key).await, 200);
    assert_eq!(stack.wait_for_month("newco", 1).await.calls, 1);

    let id = id_of(key);
    let shown = levee(&stack, &format!("key show {id} --json")).await.ok();
    let view = shown.json();
    assert_eq!((&view["status"], &view["scopes"]), (&json!("active"), &json!(["ai", "catalogs", "read"])));
    // A whole key is no name for it where nothing but its id is needed.
    let refused = levee(&stack, &format!("key show {key}")).await;
    assert!(!refused.stderr.contains(key), "{refused:?}");
    refused.fails(2, "a key's id has 12 letters and digits");
    let listed = levee(&stack, "key list newco").await.ok();
    let account = levee(&stack, "account show newco --json").await.ok();
    let again = levee(&stack, &format!("key set {id} --name live")).await.ok();
    let secret = key.rsplit('_').next().unwrap();
    let shown_later = format!("{shown:?}{listed:?}{account:?}{again:?}");
    for text in [&shown_later, &everything(&stack).await] {
        assert!(text.contains(id), "there is nothing to look through:\n{text}");
        assert!(!text.contains(secret), "the key is in:\n{text}");
    }
    assert!(!shown_later.contains("hash"), "{shown_later}");
}

#[tokio::test]
async fn a_keys_scopes_and_end_are_what_was_asked_for() {
    let stack = Stack::builder().start().await;
    newco(&stack).await;
    let make = async |more: &str| {
        let made = levee(&stack, &format!("key create newco/crm --name x --json {more}")).await.ok().json();
        (made["key"].as_str().unwrap().to_owned(), made["id"].as_str().unwrap().to_owned())
    };
    let (reader, id) = make("--scopes read").await;
    assert_eq!(status(&stack, &reader).await, 403);
    let set = levee(&stack, &format!("key set {id} --scopes ai,read --address-exempt")).await.ok();
    let expected = format!("key {id}: scopes 'read' -> 'ai,read', address_exempt 'false' -> 'true'");
    assert_eq!(set.line(), expected);
    stack.advance(61).await;
    assert_eq!(status(&stack, &reader).await, 200);

    let (short, id) = make("--expires 1h").await;
    assert_eq!(status(&stack, &short).await, 200);
    stack.advance(3601).await;
    assert_eq!(status(&stack, &short).await, 401);
    assert_eq!(levee(&stack, &format!("key show {id} --json")).await.ok().json()["status"], "expired");
    levee(&stack, &format!("key rotate {id}")).await.fails(1, "does not work any more");
    let end = now(&stack).plus(Duration::from_secs(48 * 3600)).to_rfc3339();
    let set = levee(&stack, &format!("key set {id} --expires {end} --json")).await.ok().json();
    assert_eq!(set["changed"]["expires"]["to"], json!(end));
    stack.advance(61).await;
    assert_eq!(status(&stack, &short).await, 200);
    levee(&stack, &format!("key set {id} --expires 2020-01-01")).await.fails(2, "in the past");
}

#[tokio::test]
async fn suspending_an_account_or_an_integration_stops_its_calls_until_it_is_resumed() {
    let stack = Stack::builder().start().await;
    let key = newco(&stack).await;
    for (what, id) in [("account", "newco"), ("integration", "newco/crm")] {
        assert_eq!(status(&stack, &key).await, 200);
        let suspended = levee(&stack, &format!("{what} suspend {id}")).await.ok();
        assert_eq!(suspended.line(), format!("{what} {id}: status 'active' -> 'suspended'"));
        stack.advance(61).await;
        assert_eq!(status(&stack, &key).await, 403, "{what}");
        let again = levee(&stack, &format!("{what} suspend {id} --json")).await.ok().json();
        assert_eq!(again, json!({ "id": id, "changed": {} }));
        assert_eq!(levee(&stack, &format!("{what} show {id} --json")).await.ok().json()["status"], "suspended");
        levee(&stack, &format!("{what} resume {id}")).await.ok();
        stack.advance(61).await;
    }
    assert_eq!(status(&stack, &key).await, 200);
}

#[tokio::test]
async fn after_a_rotation_both_keys_work_for_a_day_and_then_the_new_one_alone() {
    let stack = Stack::builder().start().await;
    let old = newco(&stack).await;
    let rotated = levee(&stack, &format!("key rotate {} --json", id_of(&old))).await.ok().json();
    let new = rotated["key"].as_str().unwrap();
    assert_eq!((&rotated["name"], &rotated["expires_at"]), (&json!("test"), &Value::Null));
    assert_eq!(rotated["replaces"]["id"], id_of(&old));
    assert_eq!((status(&stack, &old).await, status(&stack, new).await), (200, 200));
    stack.advance(23 * 3600).await;
    assert_eq!((status(&stack, &old).await, status(&stack, new).await), (200, 200));
    stack.advance(3600 + 60).await;
    assert_eq!((status(&stack, &old).await, status(&stack, new).await), (401, 200));
}

#[tokio::test]
async fn a_rotation_never_prolongs_the_old_key_and_hands_its_end_on() {
    let stack = Stack::builder().start().await;
    newco(&stack).await;
    let made = levee(&stack, "key create newco/crm --name short --expires 2h --scopes read --json").await.ok().json();
    let id = made["id"].as_str().unwrap();
    let rotated = levee(&stack, &format!("key rotate {id} --overlap 7d --json")).await.ok().json();
    assert_eq!(rotated["replaces"]["expires_at"], made["expires_at"]);
    assert_eq!((&rotated["expires_at"], &rotated["scopes"]), (&made["expires_at"], &json!(["read"])));
    let again = levee(&stack, &format!("key rotate {id} --overlap 30m --expires never")).await.ok();
    assert!(again.stderr.contains(&format!("{id} works until ")), "{again:?}");
    let new = levee(&stack, &format!("key show {} --json", id_of(again.line()))).await.ok().json();
    assert_eq!(new["expires_at"], Value::Null);
}

#[tokio::test]
async fn a_revoked_key_is_refused_within_a_minute_and_for_good() {
    let stack = Stack::builder().start().await;
    let key = newco(&stack).await;
    let id = id_of(&key);
    assert_eq!(status(&stack, &key).await, 200);
    levee(&stack, &format!("key delete {id} --yes")).await.fails(1, "revoke it first");
    levee(&stack, &format!("key revoke {id}")).await.fails(2, "--yes");
    // Whoever finds a key somewhere need not know which part of it is its id.
    let revoked = levee(&stack, &format!("key revoke {key} --yes")).await.ok();
    assert!(!format!("{}{}", revoked.stdout, revoked.stderr).contains(&key), "{revoked:?}");
    stack.advance(61).await;
    assert_eq!(status(&stack, &key).await, 401);
    levee(&stack, &format!("key set {id} --expires never")).await.fails(1, "for good");
    levee(&stack, &format!("key rotate {id}")).await.fails(1, "does not work any more");
    assert_eq!(levee(&stack, &format!("key revoke {id} --json")).await.ok().json()["changed"], json!({}));
    levee(&stack, &format!("key delete {id} --yes")).await.ok();
    levee(&stack, &format!("key show {id}")).await.fails(1, "there is no key");
}

#[tokio::test]
async fn what_is_in_use_cannot_be_deleted() {
    let stack = Stack::builder().start().await;
    let key = newco(&stack).await;
    let dead = levee(&stack, "key create newco/crm --name dead").await.ok();
    levee(&stack, &format!("key revoke {} --yes", id_of(dead.line()))).await.ok();
    levee(&stack, "account delete newco").await.fails(2, "--yes");
    levee(&stack, "account delete newco --yes").await.fails(1, "has integrations");
    levee(&stack, "integration delete newco/crm --yes").await.fails(1, "has live keys");
    assert_eq!(levee(&stack, "key list newco --json").await.ok().json().as_array().unwrap().len(), 2);
    levee(&stack, &format!("key revoke {} --yes", id_of(&key))).await.ok();
    levee(&stack, "integration delete newco/crm --yes").await.ok();
    assert_eq!(levee(&stack, "account show newco --json").await.ok().json()["keys"], json!([]));
    levee(&stack, &format!("key show {}", id_of(&key))).await.fails(1, "there is no key");
    levee(&stack, "account delete newco --yes").await.ok();
    levee(&stack, "account show newco").await.fails(1, "there is no account newco");

    let log = audit(&stack).await;
    let failed = log.iter().find(|entry| entry.action == "account.delete" && entry.detail.starts_with("not done"));
    assert!(failed.unwrap().detail.contains("has integrations"), "{log:?}");
}

#[tokio::test]
async fn every_change_is_recorded_with_who_made_it_and_what_it_was_before() {
    let stack = Stack::builder().start().await;
    let key = newco(&stack).await;
    levee_with(&stack, "account set newco --name", &["Newer Co"]).await.ok();
    levee(&stack, "account suspend newco").await.ok();
    levee(&stack, "account suspend newco").await.ok();
    levee_with(&stack, "integration set newco/crm --name", &["Desk"]).await.ok();
    levee(&stack, &format!("key set {} --scopes read", id_of(&key))).await.ok();
    levee(&stack, &format!("key revoke {} --yes", id_of(&key))).await.ok();
    levee(&stack, "admin create ada@example.com --role viewer --generate-password").await.ok();
    levee(&stack, "account list").await.ok();

    let mut log = audit(&stack).await;
    log.reverse();
    assert!(log.iter().all(|entry| entry.actor == "cli:tester"), "{log:?}");
    let id = format!("newco/crm/{}", id_of(&key));
    let told: Vec<_> = log.iter().map(|it| (it.action.as_str(), it.target.as_str(), it.detail.as_str())).collect();
    assert_eq!(
        told,
        [
            ("account.create", "newco", "name 'New Co'"),
            ("integration.create", "newco/crm", "name 'CRM', kind 'customer'"),
            ("key.create", id.as_str(), "name 'test', scopes ai,catalogs,read, expires never"),
            ("account.set", "newco", "name 'New Co' -> 'Newer Co'"),
            ("account.suspend", "newco", "status 'active' -> 'suspended'"),
            ("integration.set", "newco/crm", "name 'CRM' -> 'Desk'"),
            ("key.set", id.as_str(), "scopes 'ai,catalogs,read' -> 'read'"),
            ("key.revoke", id.as_str(), "name 'test'"),
            ("admin.create", "ada@example.com", "role 'viewer'"),
        ]
    );
}

#[tokio::test]
async fn an_admin_signs_in_with_the_password_that_the_command_set() {
    let stack = Stack::builder().start().await;
    let admins = admins(&stack);
    let sign_in = async |password: &str| admins.sign_in("ada@example.com", password, now(&stack)).await;

    let create = "admin create Ada@Example.com --role viewer --password-stdin";
    levee_reading(&stack, create, &[], "too short\n").await.fails(2, "12 characters");
    levee_reading(&stack, create, &[], "correct horse battery\n").await.ok();
    levee_reading(&stack, create, &[], "another horse battery\n")
        .await
        .fails(1, "there is an admin ada@example.com already");
    let (token, session) = sign_in("correct horse battery").await.unwrap();
    assert_eq!(session.role, Role::Viewer);

    let set = levee(&stack, "admin set ada@example.com --role operator").await.ok();
    assert_eq!(set.line(), "admin ada@example.com: role 'viewer' -> 'operator'");
    assert_eq!(admins.session(&token, now(&stack)).await.unwrap().unwrap().role, Role::Operator);
    levee(&stack, "admin sign-out ada@example.com").await.ok();
    assert!(admins.session(&token, now(&stack)).await.unwrap().is_none());

    let generated = levee(&stack, "admin set ada@example.com --generate-password").await.ok();
    let password = generated.line();
    assert!(matches!(sign_in("correct horse battery").await, Err(SignInError::Wrong)));
    let (token, _) = sign_in(password).await.unwrap();
    let shown = levee(&stack, "admin show ada@example.com").await.ok();
    let listed = levee(&stack, "admin list --json").await.ok();
    assert_eq!(listed.json().as_array().unwrap().len(), 3);
    for text in [everything(&stack).await, format!("{shown:?}{listed:?}")] {
        assert!(text.contains("ada@example.com"));
        assert!(!text.contains(password) && !text.contains("correct horse battery"), "a password is in:\n{text}");
    }
    assert!(!format!("{shown:?}{listed:?}").contains("argon2"));

    levee(&stack, "admin delete ada@example.com --yes").await.ok();
    assert!(admins.session(&token, now(&stack)).await.unwrap().is_none());
    levee(&stack, "admin show ada@example.com").await.fails(1, "there is no admin ada@example.com");
    levee(&stack, "admin delete admin@levee.local --yes").await.fails(1, "last operator");
    levee(&stack, "admin set admin@levee.local --role viewer").await.fails(1, "last operator");
    levee(&stack, "admin set admin@levee.local").await.fails(2, "--role");
    levee(&stack, "admin set admin@levee.local --password").await.fails(2, "--password-stdin");
}

#[tokio::test]
async fn an_admin_who_has_to_wait_because_of_wrong_passwords_is_let_in_at_once() {
    let stack = Stack::builder().start().await;
    let admins = admins(&stack);
    let (email, password) = stack.admin();
    let sign_in = async |password: &str| admins.sign_in(email, password, now(&stack)).await;
    let blocked = loop {
        match sign_in("somebody else's guess").await.unwrap_err() {
            SignInError::Wrong => {}
            error => break error,
        }
    };
    assert!(matches!(blocked, SignInError::Wait(_)), "{blocked}");
    // As one who goes on guessing makes it.
    for _ in 0..6 {
        stack.advance(300).await;
        assert!(matches!(sign_in("somebody else's guess").await, Err(SignInError::Wrong)));
    }
    assert!(matches!(sign_in(password).await, Err(SignInError::Wait(_))));
    let unblocked = levee(&stack, &format!("admin unblock {email}")).await.ok();
    assert_eq!(unblocked.line(), format!("admin {email} may sign in at once"));
    sign_in(password).await.unwrap();
    levee(&stack, "admin unblock nobody@example.com").await.fails(1, "there is no admin nobody@example.com");

    let log = levee(&stack, "audit --json").await.ok().json();
    let [entry] = &log.as_array().unwrap()[..] else { panic!("{log}") };
    assert_eq!(
        (&entry["action"], &entry["target"], &entry["actor"]),
        (&json!("admin.unblock"), &json!(email), &json!("cli:tester"))
    );
}

#[tokio::test]
async fn the_record_of_changes_is_shown_newest_first_and_as_far_as_asked() {
    let stack = Stack::builder().start().await;
    let none = levee(&stack, "audit").await.ok();
    assert_eq!((none.stdout.as_str(), none.stderr.as_str()), ("", "nothing was changed yet\n"));
    newco(&stack).await;
    let text = levee(&stack, "audit --limit 2").await.ok().stdout;
    let lines: Vec<&str> = text.lines().collect();
    let [headers, newest, before] = lines[..] else { panic!("{text}") };
    assert!(headers.starts_with("AT ") && headers.contains(" ACTOR ") && headers.ends_with(" DETAIL"), "{text}");
    assert!(newest.contains("cli:tester  key.create ") && newest.contains("newco/crm/"), "{text}");
    assert!(
        before.contains("cli:tester  integration.create  newco/crm ") && before.ends_with("kind 'customer'"),
        "{text}"
    );
    assert_eq!(levee(&stack, "audit --json").await.ok().json().as_array().unwrap().len(), 3);
    levee(&stack, "audit --limit 0").await.fails(2, "1..=1000");
}

#[tokio::test]
async fn nothing_that_is_stored_reaches_the_terminal_as_a_command_or_unseen() {
    let stack = Stack::builder().start().await;
    let accounts = levee::accounts::AccountsTable::new(stack.dynamodb(), "Accounts");
    let (id, name) = ("odd".to_owned(), "\u{1b}[2J\u{202e}ecila\u{200b}".to_owned());
    let status = levee::accounts::Status::Active;
    accounts.put_account(&levee::accounts::Account { id, name, status, created_at: None }).await.unwrap();
    let wild = |text: &str| text.contains(['\u{1b}', '\u{202e}', '\u{200b}']);
    for command in ["account list", "account show odd", "account delete odd", "account set odd --name Plain", "audit"] {
        let run = levee(&stack, command).await;
        let said = format!("{}{}", run.stdout, run.stderr);
        assert!(said.contains("\u{fffd}[2J\u{fffd}ecila\u{fffd}"), "{command}: {run:?}");
        assert!(!wild(&said), "{command}: {run:?}");
    }
}

#[tokio::test]
async fn the_story_of_a_request_is_found_by_its_id() {
    let stack = Stack::builder().start().await;
    let answer = stack.call("/v1/messages", &messages("Hello")).await;
    let id = answer.header("x-levee-request-id");
    // The proxy logs the request when all of it is over, which may be after the client has its answer.
    let told = tests::wait_for(async || {
        let told = levee_with(&stack, "why", &[id]).await.ok();
        told.stdout.contains("\nanswer ").then_some(told)
    })
    .await;
    assert!(told.stdout.contains(id) && told.stdout.contains("localDemoKey"), "{told:?}");
    let sentences = levee_with(&stack, "why --json", &[id]).await.ok().json();
    let labels: Vec<_> = sentences.as_array().unwrap().iter().map(|it| it["label"].as_str().unwrap()).collect();
    assert!(labels.contains(&"verdict") && labels.contains(&"provider"), "{labels:?}");
    let line = format!("{}  {}", "verdict ", "allowed");
    assert!(told.stdout.lines().any(|it| it == line), "{told:?}");

    levee(&stack, "why nobodyKnowsThisId=").await.fails(1, "nothing is logged about nobodyKnowsThisId=");
    levee_with(&stack, "why", &["\" or true"]).await.fails(2, "not a request's id");
}

#[tokio::test]
async fn lists_are_whole_however_long_and_empty_ones_are_lists_too() {
    let stack = Stack::builder().argument("--no-demo").start().await;
    let accounts = levee::accounts::AccountsTable::new(stack.dynamodb(), "Accounts");
    for number in 0..250 {
        let (id, name) = (format!("account-{number:03}"), format!("Account {number}"));
        let status = levee::accounts::Status::Active;
        let account = levee::accounts::Account { id, name, status, created_at: None };
        accounts.put_account(&account).await.unwrap();
    }
    let listed = levee(&stack, "account list --json").await.ok().json();
    let ids: Vec<_> = listed.as_array().unwrap().iter().map(|it| it["id"].as_str().unwrap()).collect();
    let mut expected: Vec<_> = (0..250).map(|number| format!("account-{number:03}")).collect();
    expected.push("acme".to_owned());
    assert_eq!(ids, expected);
    let text = levee(&stack, "account list").await.ok().stdout;
    assert_eq!(text.lines().count(), 252);
    assert_eq!(text.lines().next(), Some("ID           NAME            STATUS  CREATED"));

    assert_eq!(levee(&stack, "integration list account-000 --json").await.ok().json(), json!([]));
    let none = levee(&stack, "integration list account-000").await.ok();
    assert_eq!((none.stdout.as_str(), none.stderr.as_str()), ("", "account account-000 has no integrations\n"));
    levee(&stack, "key list nobody").await.fails(1, "there is no account nobody");
}

#[tokio::test]
async fn what_goes_wrong_says_what_to_do_and_ends_with_its_code() {
    let stack = Stack::builder().start().await;
    for (command, code, text) in [
        ("account show nobody", 1, "levee account list"),
        ("account create acme --name Acme", 1, "there is an account acme already"),
        ("account create Acme --name Acme", 2, "lower-case letters"),
        ("account create nameless", 2, "--name"),
        ("integration create nobody/crm --name CRM", 1, "levee account create nobody"),
        ("integration create acme/crm --name CRM", 1, "there is an integration acme/crm already"),
        ("integration show acme", 2, "ACCOUNT/INTEGRATION"),
        ("key create acme/nothing --name x", 1, "levee integration list acme"),
        ("key create acme/crm --name x --scopes everything", 2, "the scopes are"),
        ("key create acme/crm --name x --expires soon", 2, "90d"),
        ("key set localPlainKy", 2, "required"),
        ("key show lv_local_mistyped_secretsecret", 2, "a key's id has 12 letters and digits"),
        ("key show nobodysKey12", 1, "there is no key nobodysKey12"),
        ("admin create nobody --role viewer", 2, "e-mail address"),
        ("account list --stack prod", 2, "leave one out"),
        ("account", 2, "Usage"),
    ] {
        let run = levee(&stack, command).await;
        assert!(!run.stderr.contains("secretsecret"), "{run:?}");
        run.fails(code, text);
    }
    run(&["account", "list", "--local"], &[], "").await.fails(1, "cargo xtask up");
    run(&["account", "list", "--local=/nowhere"], &[], "").await.fails(1, "cargo xtask up");
    stack.control("POST", "/dynamodb/stop", json!({})).await;
    levee(&stack, "account list").await.fails(1, "cargo xtask up");
}

#[tokio::test]
async fn every_command_has_help_with_an_example() {
    let mut paths = vec![Vec::<String>::new()];
    let mut seen = 0;
    while let Some(path) = paths.pop() {
        let arguments: Vec<&str> = path.iter().map(String::as_str).chain(["--help"]).collect();
        let help = run(&arguments, &[], "").await.ok().stdout;
        assert!(help.contains("Examples:\n  levee "), "{path:?} has no example:\n{help}");
        seen += 1;
        let commands = help.split_once("\nCommands:\n").map(|(_, rest)| rest.split("\n\n").next().unwrap());
        for line in commands.unwrap_or_default().lines() {
            let name = line.split_whitespace().next().unwrap();
            if name != "help" {
                paths.push(path.iter().cloned().chain([name.to_owned()]).collect());
            }
        }
    }
    assert!(seen > 25, "{seen}");
}

/// CloudFormation's answer to DescribeStacks.
fn described(outputs: &[(&str, &str)]) -> String {
    let outputs: String = outputs
        .iter()
        .map(|(name, value)| {
            let value = value.replace('"', "&quot;");
            format!("<member><OutputKey>{name}</OutputKey><OutputValue>{value}</OutputValue></member>")
        })
        .collect();
    format!(
        "<DescribeStacksResponse xmlns=\"http://cloudformation.amazonaws.com/doc/2010-05-15/\"><DescribeStacksResult>\
         <Stacks><member><StackName>prod</StackName><CreationTime>2026-11-22T01:15:18Z</CreationTime>\
         <StackStatus>CREATE_COMPLETE</StackStatus><Outputs>{outputs}</Outputs></member></Stacks>\
         </DescribeStacksResult></DescribeStacksResponse>"
    )
}

/// A CloudFormation that always answers so.
async fn cloudformation(status: &str, body: &str) -> Scripted {
    let head = format!("HTTP/1.1 {status}\r\ncontent-type: text/xml\r\ncontent-length: {}\r\n", body.len());
    Scripted::start(vec![(Duration::ZERO, format!("{head}connection: close\r\n\r\n{body}"))]).await
}

/// Runs `levee` against AWS, of which only CloudFormation and the given addresses are there.
async fn on_aws(cloudformation: &Scripted, command: &str, more: &[(&str, &str)]) -> Run {
    let mut variables = vec![
        ("AWS_REGION", "eu-central-1"),
        ("AWS_ACCESS_KEY_ID", "AKIAEXAMPLE"),
        ("AWS_SECRET_ACCESS_KEY", "secret"),
        ("AWS_ENDPOINT_URL_CLOUDFORMATION", cloudformation.url.as_str()),
    ];
    variables.extend(more);
    run(&command.split(' ').collect::<Vec<_>>(), &variables, "").await
}

#[tokio::test]
async fn on_aws_a_stack_is_found_by_its_outputs() {
    let stack = Stack::builder().start().await;
    let sam = std::fs::read(stack.state().join("sam-env.json")).unwrap();
    let sam: Value = serde_json::from_slice(&sam).unwrap();
    let board = |name: &str| sam["HealthApi"][name].as_str().unwrap().to_owned();
    let outputs = [
        ("AccountsTable", "Accounts".to_owned()),
        ("AdminsTable", "Admins".to_owned()),
        ("KeyPeppersSecret", stack.local("key_peppers").to_owned()),
        ("KeyEnvironment", "local".to_owned()),
        ("LogGroups", board("LOG_GROUPS")),
    ];
    let outputs: Vec<_> = outputs.iter().map(|(name, value)| (*name, value.as_str())).collect();
    let answers = cloudformation("200 OK", &described(&outputs)).await;
    let logs = board("AWS_ENDPOINT_URL_CLOUDWATCH_LOGS");
    let stores = [
        ("AWS_ENDPOINT_URL_DYNAMODB", stack.local("dynamodb_url")),
        ("AWS_ENDPOINT_URL_CLOUDWATCH_LOGS", logs.as_str()),
        ("LEVEE_STACK", "prod"),
    ];

    let listed = on_aws(&answers, "account list --json", &stores).await.ok().json();
    assert_eq!(listed.as_array().unwrap().len(), 3);
    assert!(answers.bodies()[0].contains("StackName=prod"), "{:?}", answers.bodies());
    on_aws(&answers, "account list --stack other", &stores).await.ok();
    assert!(answers.bodies()[1].contains("StackName=other"), "{:?}", answers.bodies());

    let made = on_aws(&answers, "key create acme/crm --name remote", &stores).await.ok();
    let answer = stack.call_with_key(made.line(), "/v1/messages", &messages("Hello")).await;
    assert_eq!(answer.status, 200);
    let id = answer.header("x-levee-request-id");
    let told = tests::wait_for(async || {
        let told = on_aws(&answers, &format!("why {id}"), &stores).await;
        (told.code == 0).then_some(told)
    })
    .await;
    assert!(told.stdout.contains(id_of(made.line())), "{told:?}");
    let nothing = on_aws(&answers, "why nobodyKnowsThisId=", &stores).await;
    nothing.fails(1, "older than --since");
}

#[tokio::test]
async fn on_aws_what_is_missing_is_named() {
    let error = |code: &str, message: &str| {
        format!(
            "<ErrorResponse xmlns=\"http://cloudformation.amazonaws.com/doc/2010-05-15/\"><Error><Type>Sender</Type>\
             <Code>{code}</Code><Message>{message}</Message></Error><RequestId>r</RequestId></ErrorResponse>"
        )
    };
    let missing =
        cloudformation("400 Bad Request", &error("ValidationError", "Stack with id levee does not exist")).await;
    on_aws(&missing, "account list", &[])
        .await
        .fails(1, "there is no stack levee in eu-central-1; give its name with --stack");
    let denied = error("AccessDenied", "User: ada is not authorized to perform: cloudformation:DescribeStacks");
    let denied = cloudformation("403 Forbidden", &denied).await;
    on_aws(&denied, "account list", &[]).await.fails(1, "You may not do this with these credentials");
    let old = cloudformation("200 OK", &described(&[("AccountsTable", "Accounts")])).await;
    on_aws(&old, "account list", &[]).await.fails(1, "has no output AdminsTable");

    run(&["account", "list", "--region", "eu-central-1"], &[], "").await.fails(1, "there are no AWS credentials");
    let credentials = [("AWS_ACCESS_KEY_ID", "AKIAEXAMPLE"), ("AWS_SECRET_ACCESS_KEY", "secret")];
    run(&["account", "list"], &credentials, "").await.fails(1, "give --region");
}
