//! Cost guards of accounts and keys.

use levee::accounts::{Account, AccountsTable, Guards, UnknownFields};
use levee::limits::versions::RecordId;
use serde_json::{Value, json};
use tests::{Answer, Stack, messages};

use super::{builder, change};

fn guards(models: &[&str], max_tokens: Option<u64>) -> Guards {
    Guards { models: models.iter().map(ToString::to_string).collect(), max_tokens, ..Guards::default() }
}

async fn guard_account(stack: &Stack, guards: Guards) {
    let set = async |table: &AccountsTable, account: Account| {
        table.set_account_terms(&account, &account.cap, &guards).await.unwrap()
    };
    change(stack, set, RecordId::Account("acme".to_owned())).await;
}

/// Sets guards on the first key of the account.
async fn guard_key(stack: &Stack, guards: Guards) {
    let id = stack.api_key().split('_').nth(2).unwrap();
    let set = async |table: &AccountsTable, _: Account| {
        let key = table.key(id).await.unwrap().unwrap();
        table.set_key_guards(&key, &guards).await.unwrap()
    };
    change(stack, set, RecordId::Key(id.to_owned())).await;
}

fn asking(model: &str, max_tokens: Value) -> Value {
    let mut call = messages("Hello");
    call["model"] = model.into();
    call["max_tokens"] = max_tokens;
    call
}

fn assert_refused(answer: &Answer, status: u16, kind: &str, message: &str) {
    assert_eq!(answer.status, status, "{answer:?}");
    let error = &answer.json()["error"];
    assert_eq!((&error["type"], &error["message"]), (&kind.into(), &message.into()));
    assert_eq!(answer.header("x-should-retry"), "false");
}

#[tokio::test]
async fn a_model_or_a_number_of_tokens_that_may_not_be_asked_for_is_not_sent() {
    let stack = builder().start().await;
    guard_account(&stack, guards(&["claude-haiku-*", "claude-sonnet-5-5"], Some(4_096))).await;
    guard_key(&stack, guards(&["claude-haiku-5-5"], Some(1_024))).await;
    let (haiku, sonnet, opus) = ("claude-haiku-5-5", "claude-sonnet-5-5", "claude-opus-5-5");

    for path in ["/v1/messages", "/v1/messages/count_tokens"] {
        let account =
            "This account may not use the model 'claude-opus-5-5'. It may use: claude-haiku-*, claude-sonnet-5-5.";
        assert_refused(&stack.call(path, &asking(opus, 1.into())).await, 403, "permission_error", account);
        let key = "This key may not use the model 'claude-sonnet-5-5'. It may use: claude-haiku-5-5.";
        assert_refused(&stack.call(path, &asking(sonnet, 1.into())).await, 403, "permission_error", key);
        let answer = stack.call(path, &asking("", 1.into())).await;
        let name = "model must be 1 to 256 bytes of text without control characters.";
        assert_refused(&answer, 400, "invalid_request_error", name);
    }
    let ask =
        async |key: &str, max_tokens: Value| stack.call_with_key(key, "/v1/messages", &asking(haiku, max_tokens)).await;
    let too_many = "max_tokens is 1025; this key may ask for at most 1024.";
    assert_refused(&ask(stack.api_key(), 1_025.into()).await, 400, "invalid_request_error", too_many);
    let too_many = "max_tokens is 9000; this account may ask for at most 4096.";
    assert_refused(&ask(stack.plain_api_key(), 9_000.into()).await, 400, "invalid_request_error", too_many);
    for nonsense in [json!(1e9), json!(-1), json!("9000"), Value::Null] {
        assert_eq!(ask(stack.api_key(), nonsense).await.status, 400);
    }
    for body in [
        r#"{"model":"claude-haiku-5-5","\u006dodel":"claude-opus-5-5","max_tokens":1,"messages":[]}"#,
        r#"{"model":"claude-haiku-5-5","max_tokens":1,"max\u005ftokens":9000,"messages":[]}"#,
    ] {
        let answer = stack.request("/v1/messages").body(body).send().await.unwrap();
        assert_eq!(answer.status().as_u16(), 400, "{body}");
    }
    let provider = stack.provider("primary").await;
    assert_eq!((&provider["requests"], &provider["count_tokens"]), (&0.into(), &0.into()), "nothing was sent");
    let calls = stack.rows().await.into_iter().filter(|row| row.contains("CALL#")).count();
    assert_eq!((calls, stack.month("acme").await.calls), (0, 0), "nor metered");

    assert_eq!(ask(stack.api_key(), 1_024.into()).await.status, 200);
    assert_eq!(ask(stack.plain_api_key(), 4_096.into()).await.status, 200);
    // A ceiling on tokens does not apply to counting tokens.
    assert_eq!(stack.call("/v1/messages/count_tokens", &asking(haiku, 9_000.into())).await.status, 200);
    guard_key(&stack, Guards::default()).await;
    guard_account(&stack, Guards::default()).await;
    assert_eq!(stack.call("/v1/messages", &asking(opus, 9_000.into())).await.status, 200);
}

/// Sends `body` unchanged, with these betas.
async fn send(stack: &Stack, path: &str, body: &Value, betas: &str) -> Answer {
    let request = stack.request(path).header("anthropic-beta", betas).body(body.to_string());
    Answer::read(request.send().await.unwrap()).await
}

#[tokio::test]
async fn nothing_in_a_body_gets_around_a_guard() {
    let stack = builder().start().await;
    guard_key(&stack, guards(&["claude-haiku-*"], Some(100))).await;
    let advisor =
        json!({ "type": "advisor_20260301", "name": "advisor", "model": "claude-opus-5-5", "max_tokens": 50 });
    let with = |field: &str, value: Value| {
        let mut call = asking("claude-haiku-5-5", 50.into());
        call[field] = value;
        call
    };
    let inline = json!([{ "role": "user", "content": "Hi" }, { "role": "system", "content": [
        { "type": "tool_addition", "tool": { "type": "tool_definition", "definition": advisor } },
    ] }]);
    for (body, betas, status, part) in [
        (with("fallbacks", json!([{ "model": "claude-opus-5-5" }])), "", 403, "in fallbacks[0].model"),
        (with("fallbacks", json!("default")), "", 403, "lets the AI provider choose the model"),
        (with("fallbacks", json!([{ "model": "claude-haiku-5-5", "max_tokens": 64_000 }])), "", 400, "is 64000;"),
        (with("tools", json!([advisor])), "advisor-tool-2026-03-01", 403, "in tools[0].model"),
        (with("messages", inline), "inline-tools-2026-09-15", 403, "in messages[1].content[0].tool.definition.model"),
        (with("delegate", json!({ "model": "claude-opus-5-5" })), "", 400, "The field 'delegate' is not understood"),
        (asking("claude-haiku-5-5", 50.into()), "new-2027-01-01", 400, "The beta 'new-2027-01-01' is not understood"),
    ] {
        let answer = send(&stack, "/v1/messages", &body, betas).await;
        let message = answer.json()["error"]["message"].as_str().unwrap_or_default().to_owned();
        assert_eq!((answer.status, answer.header("x-should-retry")), (status, "false"), "{body}: {message}");
        assert!(message.contains(part), "{body}: {message}");
        if part != "is 64000;" {
            assert_eq!(send(&stack, "/v1/messages/count_tokens", &body, betas).await.status, status, "{body}");
        }
    }
    let provider = stack.provider("primary").await;
    assert_eq!((&provider["requests"], &provider["count_tokens"]), (&0.into(), &0.into()), "nothing was sent");

    let new = with("delegate", json!(1));
    guard_key(&stack, Guards { unknown_fields: UnknownFields::Allow, ..guards(&["claude-haiku-*"], Some(100)) }).await;
    assert_eq!(send(&stack, "/v1/messages", &new, "new-2027-01-01").await.status, 200);
    let allowed = with("fallbacks", json!([{ "model": "claude-haiku-5-5", "max_tokens": 100 }]));
    assert_eq!(send(&stack, "/v1/messages", &allowed, "server-side-fallback-2026-07-01").await.status, 200);
}

#[tokio::test]
async fn a_caller_finds_only_models_that_its_guards_allow() {
    let stack = builder().start().await;
    let all = stack.get("/v1/models").await.json()["data"].as_array().unwrap().len();
    guard_account(&stack, guards(&["claude-haiku-*", "claude-sonnet-*"], None)).await;
    guard_key(&stack, guards(&["claude-haiku-*"], None)).await;
    let list = stack.get("/v1/models").await.json();
    let ids: Vec<_> = list["data"].as_array().unwrap().iter().map(|model| model["id"].as_str().unwrap()).collect();
    assert!(!ids.is_empty() && ids.len() < all && ids.iter().all(|id| id.starts_with("claude-haiku-")), "{ids:?}");
    assert_eq!((&list["first_id"], &list["last_id"]), (&json!(ids.first()), &json!(ids.last())));
    assert_eq!(list["has_more"], false);

    assert_eq!(stack.get(&format!("/v1/models/{}", ids[0])).await.status, 200);
    for hidden in ["claude-opus-5-5", "claude-sonnet-5-5"] {
        let answer = stack.get(&format!("/v1/models/{hidden}")).await;
        assert_eq!((answer.status, &answer.json()["error"]["type"]), (404, &json!("not_found_error")));
    }
    assert_eq!(stack.get("/v1/models?limit=0").await.status, 400);
}

#[tokio::test]
async fn a_models_id_leads_to_no_other_path_of_the_provider() {
    let stack = builder().start().await;
    for id in [
        "%2e%2e",
        "%2E%2E%2Ffiles",
        "..%2F..%2Fv1%2Ffiles%2Ffile_abc%2Fcontent",
        ".%09.",
        "%252e%252e%252Ffiles",
        "a%2F%2Fb",
    ] {
        let answer = stack.get(&format!("/v1/models/{id}")).await;
        assert_eq!((answer.status, &answer.json()["error"]["type"]), (404, &json!("not_found_error")), "{id}");
    }
    let provider = stack.provider("primary").await;
    assert_eq!((&provider["models"], &provider["refused"]), (&json!(0), &json!(0)), "nothing was sent");
}
