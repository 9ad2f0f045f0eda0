//! The catalogs: read by customers, written by operators, in every environment and through outages.

#![expect(clippy::unwrap_used, reason = "helpers of tests are tests")]

use serde_json::{Value, json};
use tests::{Answer, Stack, binaries, wait_for};
use tokio::process::Command;

const MODULES: &str = "/v1/catalogs/modules";
const DAY_SECS: u64 = 24 * 3600;

async fn get_with(stack: &Stack, path: &str, headers: &[(&str, &str)]) -> Answer {
    let request = stack.client().get(stack.url(path));
    let request = headers.iter().fold(request, |request, (name, value)| request.header(*name, *value));
    Answer::read(request.send().await.unwrap()).await
}

async fn get(stack: &Stack, path: &str) -> Answer {
    get_with(stack, path, &[("x-api-key", stack.api_key())]).await
}

/// Runs the operators' command, which has to succeed.
async fn levee(stack: &Stack, command: &[&str]) -> String {
    let mut process = Command::new(binaries().join("levee"));
    process.args(command).arg(format!("--local={}", stack.state().display()));
    let output = process.output().await.unwrap();
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// Creates a module.
async fn create(stack: &Stack, id: &str, name: &str) {
    let fields = ["--name", name, "--summary", "s", "--category", "c", "--version", "1", "--publisher", "p"];
    levee(stack, &[&["catalog", "set", "modules", id][..], &fields].concat()).await;
}

fn ids(page: &Value) -> Vec<&str> {
    page["items"].as_array().unwrap().iter().map(|item| item["id"].as_str().unwrap()).collect()
}

fn problem(answer: &Answer) -> (u16, String) {
    assert_eq!(answer.header("content-type"), "application/problem+json", "{answer:?}");
    (answer.status, answer.json()["detail"].as_str().unwrap().to_owned())
}

#[tokio::test]
async fn a_catalog_is_read_in_pages_by_category_and_by_item() {
    let stack = Stack::builder().with_demo().environments("customer-api=1").start().await;
    let first = get(&stack, MODULES).await;
    assert_eq!(
        (first.status, first.header("content-type"), first.header("x-levee-cache")),
        (200, "application/json", "miss")
    );
    assert!(first.header("age").parse::<u64>().unwrap() < 300, "{first:?}");
    assert!(first.header("cache-control").starts_with("private, max-age="), "{first:?}");
    assert!(first.header("cache-control").ends_with(", stale-if-error=86400"), "{first:?}");
    assert!(first.header("cache-status").starts_with("levee;fwd=uri-miss;stored;ttl="), "{first:?}");
    assert!(first.header("ratelimit-policy").contains("\"account\""), "it costs the account's quota: {first:?}");
    let all = first.json();
    assert_eq!((ids(&all).len(), &all["next_cursor"]), (9, &Value::Null));
    assert!(!ids(&all).contains(&"fax-gateway"), "it is retired");
    // Pages hold all of it once.
    let (mut paged, mut cursor) = (Vec::new(), String::new());
    loop {
        let page = get(&stack, &format!("{MODULES}?limit=4&cursor={cursor}")).await;
        assert_eq!(page.header("x-levee-cache"), "hit");
        let page = page.json();
        paged.extend(page["items"].as_array().unwrap().clone());
        let Some(next) = page["next_cursor"].as_str() else { break };
        cursor = next.to_owned();
    }
    assert_eq!(json!(paged), all["items"]);
    let support = get(&stack, &format!("{MODULES}?category=support")).await.json();
    assert_eq!(ids(&support), ["answer-drafts", "ticket-inbox"]);

    // One item, also a retired one, and a second read that the client need not take.
    let item = get(&stack, &format!("{MODULES}/crm-sync")).await;
    assert_eq!(item.json()["requirements"], json!([{ "id": "platform", "version": ">=3.2" }]));
    assert_eq!(get(&stack, &format!("{MODULES}/fax-gateway")).await.json()["status"], "retired");
    for (path, answer) in [(MODULES.to_owned(), &first), (format!("{MODULES}/crm-sync"), &item)] {
        let etag = answer.header("etag");
        let headers = [("x-api-key", stack.api_key()), ("if-none-match", etag)];
        let again = get_with(&stack, &path, &headers).await;
        assert_eq!((again.status, again.text(), again.header("etag")), (304, "", etag));
        assert!(!again.header("cache-control").is_empty() && !again.header("age").is_empty(), "{again:?}");
    }
    for (path, status, detail) in [
        (format!("{MODULES}/none"), 404, "There is no such item in the catalog 'modules'."),
        (format!("{MODULES}/No%20ne"), 404, "There is no such item in the catalog 'modules'."),
        ("/v1/catalogs/plugins".to_owned(), 404, "There is no such catalog."),
        (format!("{MODULES}?limit=0"), 400, "'limit' is a number of items, 1 to 100."),
        (format!("{MODULES}?page=2"), 400, "There is a parameter that is not known."),
        (format!("{MODULES}/crm-sync?limit=1"), 400, "There are none."),
    ] {
        let (found, said) = problem(&get(&stack, &path).await);
        assert!(found == status && said.contains(detail), "{path}: {found} {said}");
    }
    // A key needs the scope; a request needs a key.
    let key = levee(&stack, &["key", "create", "acme/crm", "--name", "x", "--scopes", "ai"]).await;
    let (status, said) = problem(&get_with(&stack, MODULES, &[("x-api-key", key.trim())]).await);
    assert_eq!((status, said.as_str()), (403, "This key lacks the scope 'catalogs'."));
    assert_eq!(get_with(&stack, MODULES, &[]).await.status, 401);
}

#[tokio::test]
async fn a_write_is_seen_by_the_next_read_in_every_environment() {
    let stack = Stack::builder().environments("authorizer=2,customer-api=3").start().await;
    let path = format!("{MODULES}/a");
    create(&stack, "a", "before").await;
    // Let every environment have a copy.
    let everywhere = async |name: &str| {
        let before = stack.invocations("customer-api").await;
        wait_for(async || {
            let answers = futures_util::future::join_all((0..6).map(|_| get(&stack, &path))).await;
            for answer in answers {
                assert_eq!((answer.status, &answer.json()["name"]), (200, &json!(name)), "{answer:?}");
            }
            let now = stack.invocations("customer-api").await;
            before.iter().zip(&now).all(|(before, now)| now > before).then_some(())
        })
        .await;
    };
    everywhere("before").await;
    for name in ["second", "third"] {
        levee(&stack, &["catalog", "set", "modules", "a", "--name", name]).await;
        everywhere(name).await;
    }
    // A copy within an environment saves the round trip to Redis.
    wait_for(async || get(&stack, &path).await.header("cache-status").ends_with("detail=\"front\"").then_some(()))
        .await;
    levee(&stack, &["catalog", "delete", "modules", "a", "--yes"]).await;
    assert_eq!(get(&stack, &path).await.json()["status"], "retired");
    assert_eq!(ids(&get(&stack, MODULES).await.json()), Vec::<&str>::new());
}

#[tokio::test]
async fn catalogs_outlive_redis_and_for_a_day_dynamodb() {
    let stack = Stack::builder().environments("customer-api=1").start().await;
    create(&stack, "a", "A").await;
    assert_eq!(get(&stack, MODULES).await.header("x-levee-cache"), "miss");
    assert_eq!(get(&stack, MODULES).await.header("x-levee-cache"), "hit");

    // Without DynamoDB: first from the cache, then stale, and nothing where nothing was ever read.
    stack.order("/dynamodb/stop").await;
    assert_eq!(get(&stack, MODULES).await.header("x-levee-cache"), "hit");
    let cold = get(&stack, "/v1/catalogs/starter-packs").await;
    assert_eq!((problem(&cold).0, cold.header("retry-after")), (503, "5"), "{cold:?}");
    stack.advance(400).await;
    let stale = get(&stack, MODULES).await;
    assert_eq!((stale.status, stale.header("x-levee-cache")), (200, "stale"), "{stale:?}");
    assert!(stale.header("cache-status").ends_with("detail=\"source unavailable\""), "{stale:?}");
    assert!(stale.header("age").parse::<u64>().unwrap() >= 400, "{stale:?}");
    let event = stack.wide_event("customer-api", stale.header("x-levee-request-id")).await;
    assert_eq!((&event["cache.status"], &event["catalog"]), (&json!("stale"), &json!("modules")), "{event}");
    stack.order("/dynamodb/start").await;

    // Without Redis: from DynamoDB.
    stack.order("/redis/stop").await;
    stack.advance(DAY_SECS).await;
    let answer = wait_for(async || {
        let answer = get(&stack, MODULES).await;
        (answer.header("x-levee-cache") == "miss").then_some(answer)
    })
    .await;
    assert_eq!((answer.status, ids(&answer.json())), (200, vec!["a"]));
    assert!(!answer.header("cache-status").contains("stored"), "{answer:?}");
}
