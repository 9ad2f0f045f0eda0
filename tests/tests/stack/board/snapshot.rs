//! The board as JSON and as a page, complete and while some of its parts are down.

use levee::accounts::{Account, AccountsTable};
use levee::clock::Clock;
use serde_json::{Value, json};
use tests::{Stack, messages, wait_for};

#[tokio::test]
async fn sessions_and_the_board_survive_redis_and_the_board_says_since_when_it_is_gone() {
    let stack = Stack::builder().start().await;
    let mut admin = stack.signed_in(stack.admin()).await;
    let snapshot = admin.get("/admin/api/snapshot").await.json();
    assert_eq!(snapshot["overall"], "up", "{snapshot}");
    assert_eq!((&snapshot["redis"]["state"], &snapshot["redis"]["since"]), (&json!("up"), &Value::Null));
    assert!(snapshot["redis"]["latency_ms"].is_number() && snapshot["redis"]["used_memory_bytes"].is_u64());

    stack.order("/redis/stop").await;
    // A caller's request detects the outage first.
    assert_eq!(stack.call("/v1/messages", &messages("Hello")).await.header("x-ratelimit-degraded"), "redis");
    let noticed = stack.now().to_rfc3339_millis();
    stack.advance(60).await;
    let snapshot = admin.get("/admin/api/snapshot").await.json();
    assert_eq!((&snapshot["overall"], &snapshot["redis"]["state"]), (&json!("degraded"), &json!("down")), "{snapshot}");
    // Without the Z, texts of earlier moments are smaller, whatever the length of the fraction.
    let since = snapshot["redis"]["since"].as_str().unwrap().trim_end_matches('Z');
    assert!(since <= noticed.trim_end_matches('Z'), "{snapshot}");
    assert_eq!(snapshot["failed_parts"], json!(["limits"]), "{snapshot}");
    assert_eq!(snapshot["limits"]["pools"]["global"]["limit"], 6_000);
    let pool = &snapshot["limits"]["pools"]["global"];
    assert_eq!((&snapshot["limits"]["near"], &pool["used"]), (&Value::Null, &Value::Null));
    let board = admin.get("/admin").await;
    assert!(board.text().contains("Degraded.") && board.text().contains("requests pass without limits"), "{board:?}");
}

#[tokio::test]
async fn the_snapshot_shows_limits_tokens_providers_and_errors() {
    let stack = Stack::builder().env("LIMIT_ACCOUNT_PER_MINUTE", "5").start().await;
    let mut admin = stack.signed_in(stack.admin()).await;
    let usage = json!({ "input_tokens": 700_000_000, "output_tokens": 9 });
    stack.skip_to_fresh_window().await;
    stack.script("primary", json!({ "usage": usage })).await;
    for _ in 0..3 {
        assert_eq!(stack.call("/v1/messages", &messages("Hello")).await.status, 200);
    }
    // After the first content, no other provider can take over.
    stack.script("primary", json!({ "cut_after": 1, "usage": null })).await;
    let mut streamed = messages("Hello");
    streamed["stream"] = true.into();
    let cut = stack.call("/v1/messages", &streamed).await;
    assert_eq!(cut.events().last().unwrap().0, "error", "{cut:?}");

    let snapshot = wait_for(async || {
        let snapshot = admin.get("/admin/api/snapshot").await.json();
        (!snapshot["errors"].as_array()?.is_empty()).then_some(snapshot)
    })
    .await;
    assert_eq!((&snapshot["overall"], &snapshot["failed_parts"]), (&json!("up"), &json!([])), "{snapshot}");
    let near = json!([{
        "account": "acme", "policy": "account", "limit": 5, "window_seconds": 60, "used": 4, "percent": 80.0,
    }]);
    assert_eq!((&snapshot["limits"]["near"], &snapshot["limits"]["pools"]["global"]["used"]), (&near, &json!(4)));
    let login = json!({
        "limit": 10, "window_seconds": 60, "scope": "client-address", "algorithm": "fixed", "mode": "enforce",
    });
    assert_eq!(snapshot["limits"]["defaults"]["login-address"], login);
    let most = &snapshot["tokens"][0];
    assert!(most["account"] == "acme" && most["used"].as_u64().unwrap() >= 2_100_000_027, "{most}");
    assert!(most["projected"].as_u64() >= most["used"].as_u64() && most["cap"].is_null(), "{most}");
    let providers = snapshot["providers"].as_array().unwrap();
    let shown: Vec<_> = providers.iter().map(|it| (&it["name"], &it["mode"], &it["errors_last_hour"])).collect();
    assert_eq!(shown[1], (&json!("backup"), &json!("closed"), &json!(0)));
    assert!(shown[0].0 == "primary" && shown[0].2.as_u64().unwrap() >= 1, "{shown:?}");
    let headroom = &providers[0]["headroom"];
    assert!(headroom["requests_left"].is_u64() && headroom["least_percent"].is_u64(), "{headroom}");
    let error = &snapshot["errors"][0];
    assert_eq!((&error["function"], &error["connection"]), (&json!("ai-proxy"), &json!("primary")), "{error}");
    assert_eq!(error["request_id"], cut.header("x-levee-request-id"));

    // The error links to the story of its request. The id contains characters that have to be escaped in a query.
    let story = admin.get(error["story"].as_str().unwrap()).await;
    assert_eq!(story.status, 200, "{story:?}");
    let told = wait_for(async || {
        let story = admin.get(error["story"].as_str().unwrap()).await;
        story.text().contains("provider_error").then_some(story)
    })
    .await;
    assert!(told.text().contains(cut.header("x-levee-request-id")), "{told:?}");
    assert!(admin.get("/admin").await.text().contains(error["story"].as_str().unwrap()), "the board links to it");
    let nothing = admin.get("/admin/requests?id=Unknown12345%3D").await;
    assert!(nothing.text().contains("Nothing was logged about this request"), "{nothing:?}");
    let nonsense = admin.get("/admin/requests?id=%3Cscript%3E").await;
    assert!(nonsense.text().contains("That is no request id") && !nonsense.text().contains("<script>"), "{nonsense:?}");
    let part = admin.get("/admin/requests?id=I35jLf7").await;
    assert!(part.text().contains("A request id has at least 8 characters"), "{part:?}");
}

#[tokio::test]
async fn a_part_that_cannot_be_read_is_named_and_the_rest_is_shown() {
    let stack = Stack::builder().env("ALERTS_TABLE", "Nowhere").env("USAGE_TABLE", "Nowhere").start().await;
    let mut admin = stack.signed_in(stack.admin()).await;
    let snapshot = admin.get("/admin/api/snapshot").await.json();
    let mut failed: Vec<_> = snapshot["failed_parts"].as_array().unwrap().clone();
    failed.sort_by_key(Value::to_string);
    assert_eq!((&snapshot["overall"], failed), (&json!("degraded"), vec![json!("alerts"), json!("tokens")]));
    assert_eq!((&snapshot["alerts"], &snapshot["tokens"]), (&Value::Null, &Value::Null));
    assert_eq!((&snapshot["redis"]["state"], &snapshot["limits"]["near"]), (&json!("up"), &json!([])));
    let board = admin.get("/admin").await;
    assert!(board.text().contains("This part cannot be read right now."), "{board:?}");
    assert!(board.text().contains("Redis") && board.text().contains("primary"), "{board:?}");
}

#[tokio::test]
async fn without_the_accounts_the_platform_is_down_and_the_board_says_so() {
    let stack = Stack::builder().env("ACCOUNTS_TABLE", "Nowhere").start().await;
    let mut admin = stack.signed_in(stack.admin()).await;
    let snapshot = admin.get("/admin/api/snapshot").await.json();
    assert_eq!(snapshot["overall"], "down", "{snapshot}");
    for part in ["accounts", "authorization", "limits", "tokens"] {
        assert!(snapshot["failed_parts"].as_array().unwrap().contains(&json!(part)), "{part}: {snapshot}");
    }
    assert!(admin.get("/admin").await.text().contains("Down."));
    assert_eq!(admin.get("/admin/accounts").await.status, 503);

    // The board's own failure to read accounts does not count as callers being unknown. `/health`, which checks for
    // that, reports it.
    let logged = |code: &str| stack.log_lines("health-api").iter().any(|line| line["code"] == code);
    wait_for(async || logged("board.unreadable").then_some(())).await;
    assert!(!logged("accounts.unreachable"));
    assert_eq!(admin.get("/health").await.status, 503);
    wait_for(async || logged("accounts.unreachable").then_some(())).await;
}

#[tokio::test]
async fn where_there_are_more_accounts_than_are_looked_at_the_board_says_so() {
    let stack = Stack::builder().start().await;
    let mut admin = stack.signed_in(stack.admin()).await;
    assert_eq!(admin.get("/admin/api/snapshot").await.json()["more_accounts"], false);
    let accounts = AccountsTable::new(stack.dynamodb(), "Accounts");
    for number in 0..100 {
        let account = Account::new(&format!("account-{number}"), "One of many", Clock::system().now());
        accounts.put_account(&account).await.unwrap();
    }
    let snapshot = admin.get("/admin/api/snapshot").await.json();
    assert_eq!((&snapshot["more_accounts"], &snapshot["failed_parts"]), (&json!(true), &json!([])), "{snapshot}");
    assert!(admin.get("/admin").await.text().contains("There are more than 100 accounts"));
}

#[tokio::test]
async fn a_story_that_was_told_is_told_again_without_a_search() {
    let stack = Stack::builder().start().await;
    let mut admin = stack.signed_in(stack.admin()).await;
    let id = stack.call("/v1/messages", &messages("Hello")).await.header("x-levee-request-id").to_owned();
    let path = format!("/admin/requests?id={}", id.replace('/', "%2F").replace('=', "%3D").replace('+', "%2B"));
    wait_for(async || admin.get(&path).await.text().contains("<dt>answer</dt>").then_some(())).await;
    // A story that is no longer in the logs is served from the cache until it expires.
    let logs = stack.state().join("logs");
    for function in ["authorizer", "ai-proxy"] {
        std::fs::write(logs.join(format!("{function}.log")), "").unwrap();
    }
    assert!(admin.get(&path).await.text().contains("<dt>answer</dt>"));
    stack.advance(61).await;
    assert!(!admin.get(&path).await.text().contains("<dt>answer</dt>"));
}
