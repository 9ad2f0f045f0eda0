//! What one call may ask for, by its account and by its key.

use levee::accounts::{Account, AccountsTable, Guards};
use levee::limits::markers::Marked;
use serde_json::{Value, json};
use tests::{Answer, Stack, messages};

use super::{builder, change};

fn guards(models: &[&str], max_tokens: Option<u64>) -> Guards {
    Guards { models: models.iter().map(ToString::to_string).collect(), max_tokens, ..Guards::default() }
}

async fn guard_account(stack: &Stack, guards: Guards) {
    let set =
        async |table: &AccountsTable, account: Account| table.set_account_guards(&account, &guards).await.unwrap();
    change(stack, set, Marked::Account("acme".to_owned())).await;
}

/// Guards the first of the account's keys.
async fn guard_key(stack: &Stack, guards: Guards) {
    let id = stack.api_key().split('_').nth(2).unwrap();
    let set = async |table: &AccountsTable, _: Account| {
        let key = table.key(id).await.unwrap().unwrap();
        table.set_key_guards(&key, &guards).await.unwrap()
    };
    change(stack, set, Marked::Key(id.to_owned())).await;
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
    // How long an answer may be is nothing that counting tokens costs.
    assert_eq!(stack.call("/v1/messages/count_tokens", &asking(haiku, 9_000.into())).await.status, 200);
    guard_key(&stack, Guards::default()).await;
    guard_account(&stack, Guards::default()).await;
    assert_eq!(stack.call("/v1/messages", &asking(opus, 9_000.into())).await.status, 200);
}
