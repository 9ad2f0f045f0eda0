//! Quotas: customers see their limits, ask for higher ones, and get them by the rules.

#![expect(clippy::panic, clippy::unwrap_used, reason = "helpers of tests are tests")]

use futures_util::future::join_all;
use serde_json::{Value, json};
use tests::{Answer, Stack, binaries, messages};
use tokio::process::Command;

const REQUESTS: &str = "/v1/quota/requests";
/// Rules under which the stack's new account is old enough.
const ANY_AGE: &str = r#"{"min_age_days":0}"#;

/// Starts a stack in which an account may make five calls a minute.
async fn stack(rules: &str) -> Stack {
    Stack::builder()
        .env("LIMIT_ACCOUNT_PER_MINUTE", "5")
        .env("QUOTA_RULES", rules)
        .environments("authorizer=2,customer-api=2")
        .start()
        .await
}

async fn quota(stack: &Stack) -> Value {
    let answer = stack.get("/v1/quota").await;
    assert_eq!((answer.status, answer.header("content-type")), (200, "application/json"), "{answer:?}");
    answer.json()
}

/// Returns the policy `name` of a quota.
fn policy(quota: &Value, name: &str) -> Value {
    let policies = quota["policies"].as_array().unwrap();
    policies.iter().find(|policy| policy["name"] == name).unwrap_or_else(|| panic!("no {name} in {quota}")).clone()
}

/// POSTs a request for a higher limit under an idempotency key.
async fn ask(stack: &Stack, api_key: &str, key: &str, body: &Value) -> Answer {
    let request = stack.client().post(stack.url(REQUESTS)).header("x-api-key", api_key).header("idempotency-key", key);
    Answer::read(request.json(body).send().await.unwrap()).await
}

async fn asked(stack: &Stack, key: &str, body: &Value) -> Answer {
    ask(stack, stack.api_key(), key, body).await
}

fn raise(limit: u64) -> Value {
    json!({ "policy": "account", "limit": limit, "reason": "Launch day" })
}

async fn delete(stack: &Stack, id: &str) -> Answer {
    let request = stack.client().delete(stack.url(&format!("{REQUESTS}/{id}"))).header("x-api-key", stack.api_key());
    Answer::read(request.send().await.unwrap()).await
}

/// Returns status, code and detail of a problem.
fn problem(answer: &Answer) -> (u16, String, String) {
    assert_eq!(answer.header("content-type"), "application/problem+json", "{answer:?}");
    let body = answer.json();
    (answer.status, body["code"].as_str().unwrap().to_owned(), body["detail"].as_str().unwrap().to_owned())
}

/// Uses the account's limit up, and some more, in one minute, and lets the statistics take it in.
async fn use_up(stack: &Stack) {
    // At noon, so that a busy machine does not get past the minute or the day.
    stack.place_clock(24 * 3600, 12 * 3600).await;
    for _ in 0..8 {
        stack.call("/v1/messages", &messages("Hello")).await;
    }
    stack.advance(70).await;
    stack.order("/monitor/run").await;
    stack.skip_to_fresh_window().await;
}

/// Runs the operators' command, which has to succeed, and returns its output.
async fn levee(stack: &Stack, command: &[&str]) -> String {
    let mut process = Command::new(binaries().join("levee"));
    process.args(command).arg(format!("--local={}", stack.state().display()));
    let output = process.output().await.unwrap();
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// Creates a key of an integration, with the default scopes unless `more` names others.
async fn create_key(stack: &Stack, integration: &str, more: &[&str]) -> String {
    let command = [&["key", "create", integration, "--name", "test", "--json"][..], more].concat();
    let made: Value = serde_json::from_str(&levee(stack, &command).await).unwrap();
    made["key"].as_str().unwrap_or_else(|| panic!("{made}")).to_owned()
}

#[tokio::test]
async fn a_limit_that_refused_calls_is_raised_at_once_and_falls_back_by_itself() {
    let stack = stack(ANY_AGE).await;
    use_up(&stack).await;
    let before = policy(&quota(&stack).await, "account");
    assert_eq!(
        (&before["limit"], &before["source"], &before["max_automatic"]),
        (&json!(5), &json!("default"), &json!(10))
    );
    assert_eq!(
        (&before["unit"], &before["raisable"], &before["window_seconds"]),
        (&json!("requests"), &json!(true), &json!(60))
    );

    // The limit is used up in this window, and the refusal says where to ask for more.
    let mut refused = None;
    for _ in 0..6 {
        let answer = stack.call("/v1/messages", &messages("Hello")).await;
        refused = (answer.status == 429).then_some(answer).or(refused);
    }
    let refused = refused.unwrap();
    assert_eq!(refused.json()["request_increase_api"], "POST /v1/quota/requests");
    let used = policy(&quota(&stack).await, "account");
    assert_eq!((&used["used"], &used["remaining"]), (&json!(5), &json!(0)));

    // A request for two hours is granted by the rules, and holds in the middle of the window.
    let refused_id = refused.header("x-levee-request-id").to_owned();
    let now = stack.now();
    let until = levee::clock::Timestamp::from_secs(now.as_secs() + 7200).to_rfc3339();
    let mut body = raise(10);
    (body["until"], body["refused_request_id"]) = (json!(until), json!(refused_id));
    let answer = asked(&stack, "first", &body).await;
    assert_eq!(answer.status, 201, "{answer:?}");
    let request = answer.json();
    assert_eq!(
        (&request["state"], &request["rule"], &request["granted"]),
        (&json!("auto-approved"), &json!("demand"), &json!(10))
    );
    assert_eq!((&request["grant"]["state"], &request["grant"]["until"]), (&json!("active"), &json!(until)));
    assert_eq!((&request["refused_request_id"], &request["limit"]), (&json!(refused_id), &json!(10)));
    assert_eq!((&request["evidence"]["present"], &request["evidence"]["pool"]), (&json!(5), &Value::Null));
    assert_eq!(request["evidence"]["days_refused"], 1, "{request}");
    let kinds: Vec<&Value> = request["events"].as_array().unwrap().iter().map(|event| &event["kind"]).collect();
    assert_eq!(kinds, ["requested", "approved"]);
    assert_eq!(answer.header("location"), format!("requests/{}", request["id"].as_str().unwrap()));
    for _ in 0..4 {
        let passed = stack.call("/v1/messages", &messages("Hello")).await;
        assert_eq!(passed.status, 200, "{passed:?}");
        assert!(passed.header("ratelimit-policy").contains(r#""account";q=10;w=60"#), "{passed:?}");
    }
    let granted = policy(&quota(&stack).await, "account");
    assert_eq!(
        (&granted["limit"], &granted["source"], &granted["until"]),
        (&json!(10), &json!("grant"), &json!(until))
    );

    // The next request has to wait for an admin: this limit was raised a short time ago.
    let again = asked(&stack, "second", &raise(20)).await.json();
    assert_eq!(
        (&again["state"], &again["rule"], &again["granted"]),
        (&json!("pending"), &json!("cooldown"), &Value::Null)
    );

    // The grant ends by itself.
    stack.advance(7300).await;
    let ended = stack.call("/v1/messages", &messages("Hello")).await;
    assert!(ended.header("ratelimit-policy").contains(r#""account";q=5;w=60"#), "{ended:?}");
    let id = request["id"].as_str().unwrap();
    assert_eq!(stack.get(&format!("{REQUESTS}/{id}")).await.json()["grant"]["state"], "expired");
}

#[tokio::test]
async fn what_the_rules_do_not_grant_waits_and_one_request_waits_for_each_limit() {
    let stack = stack("").await;
    let first = asked(&stack, "one", &raise(10)).await;
    let request = first.json();
    assert_eq!(
        (first.status, &request["state"], &request["rule"]),
        (201, &json!("pending"), &json!("age")),
        "{request}"
    );
    assert!(request["explanation"].as_str().unwrap().contains("14 days"), "{request}");
    let id = request["id"].as_str().unwrap();

    // A repetition under the same key makes no second request; another body under it is refused.
    let again = asked(&stack, "one", &raise(10)).await;
    assert_eq!((again.status, again.header("idempotency-replayed")), (201, "true"));
    assert_eq!(again.json()["id"], request["id"]);
    let (status, code, _) = problem(&asked(&stack, "one", &raise(11)).await);
    assert_eq!((status, code.as_str()), (422, "idempotency_key_reused"));
    let (status, code, detail) = problem(&asked(&stack, "two", &raise(11)).await);
    assert_eq!((status, code.as_str()), (409, "request_open"));
    assert!(detail.contains(id), "{detail}");
    // Another limit has its own request.
    let other = json!({ "policy": "integration", "limit": 400, "reason": "More users" });
    let other = asked(&stack, "three", &other).await.json();
    assert_eq!((&other["state"], &other["integration"]), (&json!("pending"), &quota(&stack).await["integration"]));

    // They are listed, the newest first, and in pages.
    let list = stack.get(REQUESTS).await.json();
    let ids = |list: &Value| -> Vec<Value> {
        list["requests"].as_array().unwrap().iter().map(|request| request["id"].clone()).collect()
    };
    assert_eq!((ids(&list), &list["next_cursor"]), (vec![other["id"].clone(), request["id"].clone()], &Value::Null));
    let page = stack.get(&format!("{REQUESTS}?limit=1")).await.json();
    let cursor = page["next_cursor"].as_str().unwrap();
    let rest = stack.get(&format!("{REQUESTS}?limit=1&cursor={cursor}")).await.json();
    assert_eq!((ids(&page), ids(&rest)), (ids(&list)[..1].to_vec(), ids(&list)[1..].to_vec()));
    assert_eq!(rest["next_cursor"], Value::Null);

    // A cancelled request makes room, once.
    let cancelled = delete(&stack, id).await;
    assert_eq!((cancelled.status, &cancelled.json()["state"]), (200, &json!("cancelled")));
    let (status, code, _) = problem(&delete(&stack, id).await);
    assert_eq!((status, code.as_str()), (409, "not_pending"));
    assert_eq!(asked(&stack, "four", &raise(12)).await.status, 201);
    assert_eq!(stack.get(&format!("{REQUESTS}/{id}")).await.json()["state"], "cancelled");
}

#[tokio::test]
async fn operators_are_alerted_to_a_request_that_waits() {
    let stack = stack("").await;
    asked(&stack, "one", &raise(10)).await;
    stack.order("/monitor/run").await;
    let published = stack.control("GET", "/alerts", Value::Null).await.json().to_string();
    assert!(published.contains("asks for a higher limit"), "{published}");
}

#[tokio::test]
async fn concurrent_requests_for_one_limit_make_one_and_raise_it_once() {
    // Without evidence, one waits.
    let waiting = stack("").await;
    let keys: Vec<String> = (0..8).map(|number| format!("key-{number}")).collect();
    let body = raise(10);
    let answers = join_all(keys.iter().map(|key| asked(&waiting, key, &body))).await;
    let mut statuses: Vec<u16> = answers.iter().map(|answer| answer.status).collect();
    statuses.sort_unstable();
    assert_eq!(statuses, [201, 409, 409, 409, 409, 409, 409, 409]);
    // So it is under one key, and all get the same request.
    let body = json!({ "policy": "integration", "limit": 400, "reason": "More users" });
    let answers = join_all((0..6).map(|_| asked(&waiting, "the-same", &body))).await;
    let ids: std::collections::BTreeSet<String> = answers
        .iter()
        .map(|answer| {
            assert_eq!(answer.status, 201, "{answer:?}");
            answer.json()["id"].to_string()
        })
        .collect();
    assert_eq!(ids.len(), 1);

    // With evidence, one is granted: the others find the limit raised.
    let granting = stack(ANY_AGE).await;
    use_up(&granting).await;
    let body = raise(10);
    let answers = join_all(keys.iter().map(|key| asked(&granting, key, &body))).await;
    let granted = answers.iter().filter(|it| it.status == 201 && it.json()["state"] == "auto-approved").count();
    let refused = answers.iter().filter(|it| it.status == 422).count();
    assert_eq!((granted, refused), (1, 7), "{answers:?}");
    assert_eq!(policy(&quota(&granting).await, "account")["limit"], 10);
}

#[tokio::test]
async fn bad_requests_are_told_what_is_allowed_and_nobody_elses_are_seen() {
    let stack = stack("").await;
    let post = async |key: Option<&str>, body: &str| {
        let request = stack.client().post(stack.url(REQUESTS)).header("x-api-key", stack.api_key());
        let request = key.into_iter().fold(request, |request, key| request.header("idempotency-key", key));
        problem(&Answer::read(request.body(body.to_owned()).send().await.unwrap()).await)
    };
    let body = raise(10).to_string();
    for (key, body, expected, said) in [
        (None, body.as_str(), (400, "invalid_request"), "Idempotency-Key"),
        (Some(""), body.as_str(), (400, "invalid_request"), "Idempotency-Key"),
        (Some("k"), "", (400, "invalid_request"), "JSON object"),
        (Some("k"), "{\"policy\":\"account\",\"limit\":10}", (400, "invalid_request"), "reason"),
        (Some("k"), &raise(5).to_string(), (422, "not_possible"), "above the present limit of 5"),
        (Some("k"), &body.replace("account", "acount"), (422, "not_possible"), "account"),
        (Some("k"), &body.replace("account", "ai-address"), (422, "not_possible"), "integration"),
        (Some("k"), &body.replace("account", "global"), (422, "not_possible"), "integration"),
    ] {
        let (status, code, detail) = post(key, body).await;
        assert_eq!((status, code.as_str()), expected, "{detail}");
        assert!(detail.contains(said), "{detail}");
    }
    for path in
        ["/v1/quota?x=1", "/v1/quota/history?days=0", "/v1/quota/history?days=91", "/v1/quota/requests?limit=101"]
    {
        assert_eq!(problem(&stack.get(path).await).0, 400, "{path}");
    }
    assert_eq!(problem(&stack.get(&format!("{REQUESTS}/qr-0")).await).0, 404);
    assert_eq!(problem(&delete(&stack, "QR%2F..").await).0, 404);

    // Another account's key finds no request of this one, and a key without the scope may not ask.
    let id = asked(&stack, "one", &raise(10)).await.json()["id"].as_str().unwrap().to_owned();
    levee(&stack, &["account", "create", "globex", "--name", "Globex"]).await;
    levee(&stack, &["integration", "create", "globex/erp", "--name", "ERP"]).await;
    let key = create_key(&stack, "globex/erp", &[]).await;
    let of_globex = async |key: &str, path: &str| {
        let request = stack.client().get(stack.url(path)).header("x-api-key", key);
        Answer::read(request.send().await.unwrap()).await
    };
    assert_eq!(of_globex(&key, &format!("{REQUESTS}/{id}")).await.status, 404);
    assert_eq!(of_globex(&key, REQUESTS).await.json()["requests"], json!([]));
    let reader = create_key(&stack, "globex/erp", &["--scopes", "ai,read"]).await;
    let (status, _, detail) = problem(&ask(&stack, &reader, "k", &raise(10)).await);
    assert_eq!(status, 403);
    assert!(detail.contains("'request'"), "{detail}");
    assert_eq!(of_globex(&reader, "/v1/quota").await.status, 200);
}

#[tokio::test]
async fn quotas_outlive_redis_without_counts_and_say_when_the_tables_are_down() {
    let stack = stack(ANY_AGE).await;
    use_up(&stack).await;
    let history = stack.get("/v1/quota/history?days=2").await.json();
    let days = history["days"].as_array().unwrap();
    let account: Vec<&Value> = days.iter().filter(|day| day["policy"] == "account").collect();
    let used: u64 = account.iter().map(|day| day["used"].as_u64().unwrap()).sum();
    let refused: u64 = account.iter().map(|day| day["refused"].as_u64().unwrap()).sum();
    // A refusal from memory may not have been counted yet.
    assert!(used == 5 && (1..=3).contains(&refused), "{history}");
    assert!(!history.to_string().contains("global"), "the pool is not shown: {history}");

    // Without Redis there are limits but no counts, and the use of the pool is not known.
    stack.order("/redis/stop").await;
    let degraded = quota(&stack).await;
    let account = policy(&degraded, "account");
    assert_eq!((&degraded["degraded"], &account["used"], &account["limit"]), (&json!(true), &Value::Null, &json!(5)));
    let waits = asked(&stack, "one", &raise(10)).await.json();
    assert_eq!((&waits["state"], &waits["rule"]), (&json!("pending"), &json!("pool")), "{waits}");
    stack.order("/redis/start").await;

    stack.order("/dynamodb/stop").await;
    for path in ["/v1/quota", "/v1/quota/history", REQUESTS] {
        let answer = stack.get(path).await;
        let (status, code, _) = problem(&answer);
        assert_eq!((status, code.as_str(), answer.header("retry-after")), (503, "store_unavailable", "5"), "{path}");
    }
    stack.order("/dynamodb/start").await;
}

#[tokio::test]
async fn an_account_makes_twenty_requests_a_day() {
    let stack = Stack::builder().env("LIMIT_ACCOUNT_SELF_PER_MINUTE", "0").start().await;
    let body = json!({ "policy": "account", "limit": 700, "reason": "Again" });
    for number in 0..20 {
        let made = asked(&stack, &format!("key-{number}"), &body).await;
        assert_eq!(made.status, 201, "{made:?}");
        delete(&stack, made.json()["id"].as_str().unwrap()).await;
    }
    let (status, code, _) = problem(&asked(&stack, "key-20", &body).await);
    assert_eq!((status, code.as_str()), (429, "too_many_requests"));
    stack.advance(24 * 3600).await;
    assert_eq!(asked(&stack, "key-21", &body).await.status, 201);
}
