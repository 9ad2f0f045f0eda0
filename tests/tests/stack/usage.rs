//! Usage reports: customers and admins see what the provider served, and customers see only their own account.

#![expect(clippy::unwrap_used, reason = "helpers of tests are tests")]

use std::time::Duration;

use aws_sdk_dynamodb::types::AttributeValue;
use levee::clock::Clock;
use levee::metering::Month;
use serde_json::{Value, json};
use tests::{Answer, Stack, binaries, messages};
use tokio::process::Command;

const HAIKU: &str = "claude-haiku-5-5";
const SONNET: &str = "claude-sonnet-5-5";
/// Prices in thousandths of a dollar per million tokens, which is nanodollars per token: input, output, cache reads
/// and both kinds of cache writes.
const PRICES: [(&str, [u64; 5]); 2] =
    [(HAIKU, [1_000, 5_000, 100, 1_250, 2_000]), (SONNET, [3_000, 15_000, 300, 3_750, 6_000])];
const FIGURES: [&str; 8] =
    ["calls", "input", "output", "cache_read", "cache_write_5m", "cache_write_1h", "counted", "estimated_calls"];

/// Starts a stack whose current month has no calls; the previous month has the demo's calls.
async fn fresh_month() -> Stack {
    let dollars = |thousandths: u64| format!("{}.{:03}", thousandths / 1_000, thousandths % 1_000);
    let prices = PRICES.map(|(model, [input, output, cache_read, cache_write_5m, cache_write_1h])| {
        let price = json!({
            "input": dollars(input), "output": dollars(output), "cache_read": dollars(cache_read),
            "cache_write_5m": dollars(cache_write_5m), "cache_write_1h": dollars(cache_write_1h),
        });
        format!("\"{model}*\":{price}")
    });
    let builder = Stack::builder().with_demo().env("AI_PRICES", &format!("{{{}}}", prices.join(",")));
    let stack = builder.env("AI_TOKEN_CAP_DEFAULT", "1000").environments("ai-proxy=2").start().await;
    let now = stack.now();
    stack.advance(Month::from_timestamp(now).0.ends_at().as_secs() - now.as_secs() + 60).await;
    stack
}

/// Returns the present month, and the month before it that has the demo's usage: one call for each of the last 30 days
/// by the real clock, so that the month of two weeks ago has several, also on the first day of a month.
fn months(stack: &Stack) -> (String, String) {
    let (month, _) = Month::from_timestamp(stack.now());
    let two_weeks_ago = Clock::system().now().minus(Duration::from_secs(14 * 24 * 3600));
    let (before, _) = Month::from_timestamp(two_weeks_ago);
    (month.to_string(), before.to_string())
}

async fn get(stack: &Stack, key: &str, query: &str) -> Answer {
    let request = stack.client().get(stack.url(&format!("/v1/usage{query}"))).header("x-api-key", key);
    Answer::read(request.send().await.unwrap()).await
}

async fn usage(stack: &Stack, key: &str) -> Value {
    let answer = get(stack, key, "").await;
    assert_eq!((answer.status, answer.header("content-type")), (200, "application/json"), "{answer:?}");
    assert_eq!(answer.header("cache-control"), "no-store");
    answer.json()
}

async fn call(stack: &Stack, key: &str, model: &str, streamed: bool) {
    let mut call = messages("Hello");
    call["model"] = model.into();
    call["stream"] = streamed.into();
    call["system"] =
        json!([{ "type": "text", "text": "Be brief.", "cache_control": { "type": "ephemeral", "ttl": "1h" } }]);
    let answer = stack.call_with_key(key, "/v1/messages", &call).await;
    assert_eq!(answer.status, 200, "{answer:?}");
}

/// Returns the sum of `figure` over the parts of a report.
fn sum(parts: &Value, figure: &str) -> u64 {
    parts.as_array().unwrap().iter().map(|part| part[figure].as_u64().unwrap()).sum()
}

/// Converts a cost to nanodollars.
fn nanodollars(cost: &Value) -> u64 {
    let (whole, decimals) = cost.as_str().unwrap().split_once('.').unwrap();
    format!("{whole}{decimals:0<9}").parse().unwrap()
}

/// Returns the stand-in's usage under the names of reports.
async fn served(stack: &Stack) -> Value {
    let usage = stack.provider("primary").await["usage"].clone();
    json!({
        "input": usage["input_tokens"], "output": usage["output_tokens"],
        "cache_read": usage["cache_read_input_tokens"],
        "cache_write_5m": usage["ephemeral_5m_input_tokens"], "cache_write_1h": usage["ephemeral_1h_input_tokens"],
    })
}

#[tokio::test]
async fn what_an_account_is_told_is_what_the_provider_served_it_in_parts_that_agree() {
    let stack = fresh_month().await;
    let keys = stack.demo_keys();
    for (key, model, streamed) in [
        ("acme/crm", SONNET, false),
        ("acme/crm", SONNET, true),
        ("acme/operator", SONNET, true),
        ("acme/operator", HAIKU, false),
        ("acme/operator", HAIKU, true),
    ] {
        call(&stack, &keys[key], model, streamed).await;
    }
    let served = served(&stack).await;
    // Usage of another account, which must not appear in the report.
    call(&stack, &keys["globex/shop"], HAIKU, false).await;

    let report = usage(&stack, &keys["acme/crm"]).await;
    let totals = &report["totals"];
    assert_eq!((&report["account"], report["month"].as_str()), (&json!("acme"), Some(months(&stack).0.as_str())));
    assert_eq!(
        (&totals["calls"], &totals["estimated_calls"], &totals["open_calls"]),
        (&json!(5), &json!(0), &json!(0))
    );
    for (figure, count) in served.as_object().unwrap() {
        assert_eq!(&totals[figure], count, "{figure} in {report}");
    }
    let counted: u64 =
        ["input", "output", "cache_write_5m", "cache_write_1h"].map(|it| totals[it].as_u64().unwrap()).iter().sum();
    assert_eq!(totals["counted"], counted);
    for parts in ["by_model", "by_integration", "by_day"] {
        for figure in FIGURES {
            assert_eq!(totals[figure], sum(&report[parts], figure), "{figure} {parts} in {report}");
        }
        let costs: u64 = report[parts].as_array().unwrap().iter().map(|part| nanodollars(&part["cost_usd"])).sum();
        assert_eq!(nanodollars(&totals["cost_usd"]), costs, "{parts} in {report}");
    }
    let names = |parts: &str, names: &[&str]| {
        let mut parts: Vec<_> = report[parts].as_array().unwrap().iter().collect();
        parts.sort_by_key(|part| part[names[0]].to_string());
        parts.iter().map(|part| names.iter().map(|name| part[name].clone()).collect()).collect::<Vec<Vec<_>>>()
    };
    assert_eq!(names("by_model", &["model", "calls"]), [[json!(HAIKU), json!(2)], [json!(SONNET), json!(3)]]);
    let integrations =
        [[json!("crm"), json!("customer"), json!(2)], [json!("operator"), json!("ai-operator"), json!(3)]];
    assert_eq!(names("by_integration", &["integration", "kind", "calls"]), integrations);

    // Costs follow from the price table, to the last decimal.
    for part in report["by_model"].as_array().unwrap() {
        let (_, prices) = PRICES.iter().find(|(model, _)| part["model"] == *model).unwrap();
        let costs = FIGURES[1..6].iter().zip(prices).map(|(figure, price)| part[figure].as_u64().unwrap() * price);
        assert_eq!(nanodollars(&part["cost_usd"]), costs.sum::<u64>(), "{part}");
    }
    let cap = &report["cap"];
    assert_eq!((&cap["limit"], &cap["mode"], &cap["percent"]), (&json!(1_000), &json!("warn"), &json!(counted / 10)));
    assert!(cap["projected"].as_u64().unwrap() >= counted, "{cap}");

    // The account's other integration gets the same report, and another account only its own.
    assert_eq!(usage(&stack, &keys["acme/operator"]).await["totals"], report["totals"]);
    let globex = usage(&stack, &keys["globex/warehouse"]).await;
    assert_eq!((&globex["account"], &globex["totals"]["calls"]), (&json!("globex"), &json!(1)));
    assert!(!globex.to_string().contains("operator"), "{globex}");

    // The previous month is still reported; the demo has one call per day and integration in it.
    let before = get(&stack, &keys["acme/crm"], &format!("?month={}", months(&stack).1)).await.json();
    assert!(
        before["totals"]["calls"].as_u64().unwrap() > 0 && before["by_day"].as_array().unwrap().len() > 1,
        "{before}"
    );
}

#[tokio::test]
async fn a_call_that_is_not_over_is_open_and_in_no_figure() {
    let stack = fresh_month().await;
    let keys = stack.demo_keys();
    let mut admin = stack.signed_in(stack.viewer()).await;
    stack.script("primary", json!({ "gap_ms": 100, "deltas": 40 })).await;
    let mut streamed = messages("Count to forty.");
    streamed["stream"] = true.into();
    let stream = stack.request_with_key(&keys["acme/crm"], "/v1/messages").json(&streamed).send().await.unwrap();

    let totals = usage(&stack, &keys["acme/operator"]).await["totals"].clone();
    assert_eq!((&totals["open_calls"], &totals["calls"], &totals["input"]), (&json!(1), &json!(0), &json!(0)));
    assert_eq!(usage(&stack, &keys["globex/shop"]).await["totals"]["open_calls"], 0);
    let page = admin.get("/admin/api/usage").await.json();
    let open: Vec<_> = page["accounts"].as_array().unwrap().iter().map(|it| &it["totals"]["open_calls"]).collect();
    assert_eq!(open, [1, 0, 0]);

    assert!(Answer::read(stream).await.text().contains("message_stop"));
    let totals = usage(&stack, &keys["acme/operator"]).await["totals"].clone();
    assert_eq!((&totals["open_calls"], &totals["calls"]), (&json!(0), &json!(1)));
}

#[tokio::test]
async fn a_report_is_a_table_too_and_what_makes_no_sense_is_refused_with_a_reason() {
    let stack = fresh_month().await;
    let (key, (month, before)) = (&stack.demo_keys()["acme/crm"], months(&stack));
    call(&stack, key, HAIKU, false).await;
    let report = usage(&stack, key).await;
    let totals = &report["totals"];

    let table = get(&stack, key, &format!("?month={month}&format=csv")).await;
    assert_eq!(table.header("content-type"), "text/csv; charset=utf-8; header=present");
    assert_eq!(table.header("content-disposition"), format!("attachment; filename=\"usage-{month}.csv\""));
    let expected = format!(
        "acme,{},crm,customer,{HAIKU},1,0,{},{},{},{},{},0,0,{},{},1,primary,{HAIKU}-20261013,standard,,,0\r\n",
        report["by_day"][0]["date"].as_str().unwrap(),
        totals["input"],
        totals["output"],
        totals["cache_read"],
        totals["cache_write_5m"],
        totals["cache_write_1h"],
        totals["counted"],
        totals["cost_usd"].as_str().unwrap(),
    );
    assert_eq!(table.text().split_once("\r\n").unwrap().1, expected);
    let accepting = stack.client().get(stack.url("/v1/usage")).header("x-api-key", key).header("accept", "text/csv");
    assert_eq!(Answer::read(accepting.send().await.unwrap()).await.text(), table.text());
    let before = get(&stack, key, &format!("?month={before}&format=csv")).await;
    assert!(before.text().lines().count() > 2, "{before:?}");

    let coming = format!("'month' takes no month that is yet to come: it is {month} (UTC).");
    for (query, detail) in [
        ("?month=2026-13", "'month' takes a month as in 2026-11 (UTC)."),
        ("?month=november", "'month' takes a month as in 2026-11 (UTC)."),
        ("?month=9998-01", &coming),
        ("?format=xml", "'format' takes 'json' or 'csv'."),
        ("?account=globex", "There is a parameter that is not known. The parameters are 'month' and 'format'."),
        ("?month=2026-10&month=2026-11", "'month' is there more than once."),
    ] {
        let answer = get(&stack, key, query).await;
        assert_eq!((answer.status, answer.header("content-type")), (400, "application/problem+json"), "{query}");
        let problem = answer.json();
        assert_eq!(
            (problem["detail"].as_str(), &problem["code"]),
            (Some(detail), &json!("invalid_request")),
            "{query}"
        );
        assert_eq!(problem["request_id"], answer.header("x-levee-request-id"));
    }
    assert_eq!(get(&stack, key, "?month=&format=").await.json()["month"], month);
}

#[tokio::test]
async fn only_a_key_that_may_read_is_told_and_it_costs_no_quota() {
    let stack = fresh_month().await;
    let key = &stack.demo_keys()["acme/crm"];
    let remaining = async || {
        let answer = stack.call_with_key(key, "/v1/messages", &messages("Hello")).await;
        answer.header("x-ratelimit-remaining").parse::<u64>().unwrap()
    };
    stack.skip_to_fresh_window().await;
    let before = remaining().await;
    for _ in 0..5 {
        usage(&stack, key).await;
    }
    assert_eq!(remaining().await, before - 1);

    assert_eq!(get(&stack, "lv_local_nonsense", "").await.status, 401);
    let mut levee = Command::new(binaries().join("levee"));
    let id = key.split('_').nth(2).unwrap();
    levee.args(["key", "set", id, "--scopes", "ai"]).arg(format!("--local={}", stack.state().display()));
    assert!(levee.output().await.unwrap().status.success());
    let answer = get(&stack, key, "").await;
    assert_eq!((answer.status, answer.header("content-type")), (403, "application/problem+json"), "{answer:?}");
    assert_eq!(answer.json()["detail"], "This key lacks the scope 'read'.");
    assert_eq!(stack.call_with_key(key, "/v1/messages", &messages("Hello")).await.status, 200);
}

#[tokio::test]
async fn a_policy_that_names_its_class_limits_reports_and_without_redis_they_pass() {
    let policy = r#"[{"name":"reports","scope":"integration","limit":2,"window":"minute","classes":["self"]}]"#;
    let stack = Stack::builder().with_demo().env("LIMIT_POLICIES", policy).start().await;
    let key = stack.plain_api_key();
    stack.skip_to_fresh_window().await;
    for remaining in ["1", "0"] {
        let answer = get(&stack, key, "").await;
        assert_eq!((answer.status, answer.header("x-ratelimit-remaining")), (200, remaining), "{answer:?}");
    }
    let answer = get(&stack, key, "").await;
    assert_eq!((answer.status, answer.json()["policy"].as_str()), (429, Some("reports")), "{answer:?}");
    assert_eq!(answer.json()["type"], "https://iana.org/assignments/http-problem-types#quota-exceeded");
    assert_eq!(stack.call_with_key(key, "/v1/messages", &messages("Hello")).await.status, 200);

    stack.control("POST", "/redis/stop", Value::Null).await;
    // Skip the time in which a refusal is repeated from memory.
    stack.skip_to_fresh_window().await;
    let answer = get(&stack, key, "").await;
    assert_eq!((answer.status, answer.header("x-ratelimit-degraded")), (200, "redis"), "{answer:?}");
}

#[tokio::test]
async fn while_dynamodb_is_gone_usage_is_a_503_and_afterwards_what_it_was() {
    let stack = fresh_month().await;
    let key = &stack.demo_keys()["acme/crm"];
    call(&stack, key, HAIKU, false).await;
    let before = usage(&stack, key).await;
    stack.control("POST", "/dynamodb/stop", Value::Null).await;
    let answer = get(&stack, key, "").await;
    assert_eq!((answer.status, answer.header("retry-after")), (503, "5"), "{answer:?}");
    assert_eq!(
        (&answer.json()["code"], answer.header("content-type")),
        (&json!("store_unavailable"), "application/problem+json")
    );
    let said = stack.log_lines("customer-api");
    assert!(said.iter().any(|line| line["code"] == "usage.unreadable"), "{said:?}");
    stack.control("POST", "/dynamodb/start", Value::Null).await;
    assert_eq!(usage(&stack, key).await["totals"], before["totals"]);
}

#[tokio::test]
async fn admins_read_all_accounts_page_by_page_and_each_alone() {
    let stack = fresh_month().await;
    let keys = stack.demo_keys();
    for key in ["acme/operator", "globex/shop", "initech/helpdesk"] {
        call(&stack, &keys[key], HAIKU, false).await;
    }
    let mut admin = stack.signed_in(stack.viewer()).await;
    let first = admin.get("/admin/api/usage?limit=2").await.json();
    let last = admin.get("/admin/api/usage?limit=2&after=globex").await.json();
    let accounts =
        |page: &Value| page["accounts"].as_array().unwrap().iter().map(|it| it["account"].clone()).collect::<Vec<_>>();
    assert_eq!((accounts(&first), &first["next"]), (vec![json!("acme"), json!("globex")], &json!("globex")));
    assert_eq!((accounts(&last), &last["next"]), (vec![json!("initech")], &Value::Null));

    // An account's own report equals that of its admins, including the cap.
    for (report, key) in [(&first["accounts"][1], "globex/shop"), (&last["accounts"][0], "initech/billing")] {
        let told = usage(&stack, &keys[key]).await;
        for part in ["account", "month", "totals", "by_model", "by_integration", "by_day"] {
            assert_eq!(report[part], told[part], "{part}");
        }
        assert_eq!((&report["cap"]["limit"], &report["cap"]["mode"]), (&told["cap"]["limit"], &told["cap"]["mode"]));
    }
    let one = admin.get("/admin/api/accounts/globex/usage").await.json();
    assert_eq!(one["totals"], first["accounts"][1]["totals"]);

    let table = admin.get("/admin/api/usage?limit=2&format=csv").await;
    let cells: Vec<_> = table.text().lines().skip(1).map(|line| line.split(',').next().unwrap().to_owned()).collect();
    assert_eq!(cells, ["acme", "globex"]);
    let link = table.header("link");
    let next = link
        .strip_prefix('<')
        .and_then(|link| link.strip_suffix(">; rel=\"next\""))
        .unwrap_or_else(|| panic!("{link}"));
    let next = admin.get(next.strip_prefix(stack.local("url")).unwrap_or(next)).await;
    assert!(next.text().lines().nth(1).unwrap().starts_with("initech,") && next.header("link").is_empty(), "{next:?}");
    let one = admin.get("/admin/api/accounts/acme/usage?format=csv").await;
    assert_eq!(one.text().lines().nth(1), table.text().lines().nth(1));

    for (path, status) in [
        ("/admin/api/usage?month=2026-13", 400),
        ("/admin/api/usage?format=xml", 400),
        ("/admin/api/usage?limit=0", 400),
        ("/admin/api/accounts/nobody/usage", 404),
    ] {
        let answer = admin.get(path).await;
        assert_eq!((answer.status, answer.header("content-type")), (status, "application/problem+json"), "{path}");
    }
    stack.control("POST", "/dynamodb/stop", Value::Null).await;
    assert_eq!(admin.get("/admin/api/usage").await.status, 503);
}

#[tokio::test]
async fn what_an_account_used_outlives_it_and_is_told_where_it_is_asked_for_by_its_id() {
    let stack = fresh_month().await;
    let mut admin = stack.signed_in(stack.viewer()).await;
    call(&stack, &stack.demo_keys()["globex/shop"], HAIKU, false).await;
    let path = "/admin/api/accounts/globex/usage";
    let before = admin.get(path).await.json();
    assert_eq!((&before["totals"]["calls"], &before["cap"]["limit"]), (&json!(1), &json!(1_000)));

    let mut row = stack.dynamodb().delete_item().table_name("Accounts");
    for (name, value) in [("pk", "ACCOUNT#globex"), ("sk", "ACCOUNT")] {
        row = row.key(name, AttributeValue::S(value.to_owned()));
    }
    row.send().await.unwrap();

    let after = admin.get(path).await.json();
    assert_eq!((&after["totals"], &after["by_day"]), (&before["totals"], &before["by_day"]));
    assert_eq!(after["cap"], Value::Null, "nobody is left to be capped");
    let page = admin.get("/admin/api/usage").await.json();
    let listed: Vec<_> = page["accounts"].as_array().unwrap().iter().map(|it| &it["account"]).collect();
    assert_eq!(listed, ["acme", "initech"]);
    let unused = admin.get(&format!("{path}?month=2001-01")).await;
    assert_eq!((unused.status, unused.json()["code"].as_str()), (404, Some("not_found")));
}
