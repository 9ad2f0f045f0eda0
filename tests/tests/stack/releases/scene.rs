//! A scene in which the stack stores at least one thing of each shape.

use std::collections::BTreeMap;

use levee::breaker::Mode;
use levee::metering::RecordState;
use serde_json::{Map, Value, json};
use tests::{Stack, messages, wait_for, workspace};

use super::{Stored, Tables, keys_of, rows_of};
use crate::cli::{levee, levee_with};

/// Contexts of requests, by a word for the verdict.
pub(super) type Contexts = BTreeMap<&'static str, Map<String, Value>>;

/// Everything that the scene left behind.
pub(super) struct LeftBehind {
    /// Moment at the end of the scene, in Unix milliseconds.
    pub(super) at: u64,
    /// Token of a session that is still valid.
    pub(super) session: String,
    /// Contexts that the authorizer wrote, by the verdict.
    pub(super) contexts: Contexts,
    pub(super) rows: Tables,
    pub(super) keys: BTreeMap<String, Stored>,
}

/// Plays the scene on a stack of its own.
pub(super) async fn play() -> LeftBehind {
    let stack =
        Stack::builder().env("AI_TOKEN_CAP_DEFAULT", "1000000").env("LIMIT_ACCOUNT_PER_DAY", "1000").start().await;
    stack.place_clock(24 * 3600, 12 * 3600).await;
    changes(&stack).await;
    let session = admins(&stack).await;
    calls(&stack).await;

    // Fold the tallies, judge the errors, and send the alerts; a second run finds the breadcrumbs of the first.
    stack.advance(70).await;
    for _ in 0..2 {
        assert_eq!(stack.control("POST", "/monitor/run", Value::Null).await.status, 200);
    }
    // Serve a call whose tallies wait, raise an alert that waits, and keep one more call open.
    levee(&stack, "breaker force primary open --for 30m").await.ok();
    reject_credentials(&stack, "backup").await;
    levee(&stack, "breaker force primary closed --for 30m").await.ok();
    assert_eq!(stack.call("/v1/messages", &messages("Hello")).await.status, 200);
    let open = open_call(&stack).await;
    let contexts = contexts(&stack).await;

    let left = LeftBehind {
        at: stack.now().as_millis(),
        session,
        contexts,
        rows: rows_of(&stack).await,
        keys: keys_of(&stack).await,
    };
    open.abort();
    left
}

/// Makes every change that operators can make.
async fn changes(stack: &Stack) {
    for account in ["umbrella", "globex", "initech"] {
        levee_with(stack, &format!("account create {account} --name"), &["A name"]).await.ok();
    }
    for command in [
        "integration create umbrella/desk --name Desk --kind customer",
        "limit set umbrella account --limit 1200 --until 7d",
        "limit set umbrella/desk integration --limit 1",
        "limit set platform global --limit 5000",
        "cap set umbrella --tokens 500000 --mode block --models claude-* --max-tokens 4096 --providers primary,backup",
        "block add globex --yes --reason unpaid",
        "account suspend initech",
        "breaker pin backup --share 25 --for 30m",
    ] {
        levee(stack, command).await.ok();
    }
    let block = "block add 198.51.100.0/24 --until 24h --reason";
    levee_with(stack, block, &["password guessing"]).await.ok();
    let create = "key create umbrella/desk --name first --expires 30d --json";
    let key = levee(stack, create).await.ok().json();
    let id = key["id"].as_str().unwrap().to_owned();
    levee(stack, &format!("limit set key:{id} key --limit 60")).await.ok();
    levee(stack, &format!("key rotate {id}")).await.ok();
    levee(stack, "key create umbrella/desk --name second").await.ok();
}

/// Signs in, fails to, and changes something on the board. Returns the token of the session.
async fn admins(stack: &Stack) -> String {
    let (email, _) = stack.viewer();
    assert_eq!(stack.browser().sign_in(email, "wrong but long enough").await.status, 401);
    let mut admin = stack.signed_in(stack.admin()).await;
    assert_eq!(admin.submit("/admin/accounts/initech/resume").await.status, 303);
    admin.cookie("__Host-levee-session").to_owned()
}

/// Makes calls: whole and streamed, with cached tokens, with an error of one provider and of both, and over a limit.
async fn calls(stack: &Stack) {
    let mut cached = messages("Hello");
    cached["system"] = json!([{ "type": "text", "text": "Be brief.", "cache_control": { "type": "ephemeral" } }]);
    let mut streamed = messages("This prefix is cached.");
    streamed["stream"] = true.into();
    for call in [&cached, &cached, &streamed] {
        assert_eq!(stack.call("/v1/messages", call).await.status, 200);
    }
    assert_eq!(stack.call_with_key(stack.plain_api_key(), "/v1/messages", &messages("Hello")).await.status, 200);
    assert_eq!(stack.call("/v1/messages/count_tokens", &messages("Hello")).await.status, 200);
    assert_eq!(stack.call_with_key("nonsense", "/v1/messages", &messages("Hello")).await.status, 401);
    reject_credentials(stack, "primary").await;
    // The first provider fails until its circuit opens, and then both fail once.
    stack.script("primary", json!({ "status": 500 })).await;
    let opened = async || {
        assert_eq!(stack.call("/v1/messages", &messages("Hello")).await.status, 200);
        (stack.breakers().read("primary").await.unwrap().mode == Mode::Open).then_some(())
    };
    wait_for(opened).await;
    stack.script("backup", json!({ "status": 500 })).await;
    assert_ne!(stack.call("/v1/messages", &messages("Hello")).await.status, 200);
    stack.reset("primary").await;
    stack.reset("backup").await;
    levee(stack, "breaker force primary closed --for 30m").await.ok();
}

/// Makes a call whose credentials the provider rejects, which raises an alert.
async fn reject_credentials(stack: &Stack, provider: &str) {
    stack.script(provider, json!({ "status": 401 })).await;
    stack.call("/v1/messages", &messages("Hello")).await;
    stack.reset(provider).await;
}

/// Invokes the authorizer with requests that get each verdict.
async fn contexts(stack: &Stack) -> Contexts {
    let key = levee(stack, "key create umbrella/desk --name reader --scopes read").await.ok();
    let key = key.line();
    let mut contexts = Contexts::from([
        ("allowed", authorize(stack, "/v1/messages", stack.api_key()).await),
        ("forbidden", authorize(stack, "/v1/messages", key).await),
        ("signing-in", authorize(stack, "/login", "").await),
    ]);
    // Repeat both until a limit is used up: the one answers with a Deny, and the other with a verdict.
    let mut refused = Map::new();
    while !refused.contains_key("problemType") {
        refused = authorize(stack, "/v1/usage", key).await;
    }
    let mut limited = Map::new();
    while limited.get("verdict") != Some(&json!("limited")) {
        limited = authorize(stack, "/login", "").await;
    }
    contexts.extend([("refused", refused), ("limited", limited)]);
    contexts
}

/// Returns the context that the authorizer gives a request to `resource`.
async fn authorize(stack: &Stack, resource: &str, key: &str) -> Map<String, Value> {
    let sample = std::fs::read(workspace().join("events/authorizer/good-key.json")).unwrap();
    let mut event: Value = serde_json::from_slice(&sample).unwrap();
    event["resource"] = resource.into();
    event["headers"]["x-api-key"] = key.into();
    event["multiValueHeaders"]["x-api-key"] = json!([key]);
    let answer = stack.control("POST", "/functions/authorizer/invoke", event).await.json();
    answer["context"].as_object().unwrap_or_else(|| panic!("no context: {answer}")).clone()
}

/// Starts a call that does not end, and waits until its record is open.
async fn open_call(stack: &Stack) -> tokio::task::JoinHandle<()> {
    stack.script("primary", json!({ "hang": true })).await;
    let request = stack.request("/v1/messages").json(&messages("Hello"));
    let call = tokio::spawn(async move { drop(request.send().await) });
    wait_for(async || stack.records().await.into_iter().find(|record| record.state == RecordState::Open).map(drop))
        .await;
    call
}
