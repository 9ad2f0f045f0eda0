//! Logs of the functions: lines in CloudWatch's format, one wide event per request and function, metrics for alarms,
//! and no private data.

use std::collections::BTreeSet;

use serde_json::{Value, json};
use tests::{Answer, Stack, messages, wait_for};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

/// Functions that serve callers and operators. The intake of CSP reports logs no error of a report.
const FUNCTIONS: [&str; 5] = ["authorizer", "ai-proxy", "customer-api", "health-api", "monitor"];

/// Makes calls with every possible outcome.
async fn all_sorts_of_calls(stack: &Stack) -> Vec<Answer> {
    let call = messages("Hello");
    let mut streamed = call.clone();
    streamed["stream"] = json!(true);
    let mut answers = vec![
        stack.call("/v1/messages", &call).await,
        stack.call("/v1/messages", &streamed).await,
        stack.call("/v1/messages", &json!("no call")).await,
        stack.call("/v1/messages/count_tokens", &call).await,
        stack.get("/v1/models").await,
        stack.call_with_key("lv_local_nonsense", "/v1/messages", &call).await,
    ];
    for script in [json!({ "status": 500 }), json!({ "status": 401 }), json!({ "cut_after": 1 })] {
        stack.script("primary", script).await;
        answers.push(stack.call("/v1/messages", &streamed).await);
    }
    stack.reset("primary").await;
    answers
}

#[tokio::test]
async fn every_line_is_json_with_a_level_and_a_time_and_each_request_has_one_wide_event_per_function() {
    let stack = Stack::builder().start().await;
    let answers = all_sorts_of_calls(&stack).await;

    for answer in &answers {
        let id = answer.header("x-levee-request-id");
        stack.wide_event("authorizer", id).await;
        if answer.status != 401 {
            stack.wide_event("ai-proxy", id).await;
        }
    }
    let usage = stack.get("/v1/usage").await;
    stack.wide_event("customer-api", usage.header("x-levee-request-id")).await;
    // Begin and end an outage, which each function has to report.
    stack.control("POST", "/dynamodb/stop", Value::Null).await;
    assert_eq!(stack.call_with_key(stack.plain_api_key(), "/v1/messages", &messages("Hello")).await.status, 503);
    assert_eq!(stack.get("/v1/usage").await.status, 503);
    stack.get("/health").await;
    assert_ne!(stack.control("POST", "/monitor/run", Value::Null).await.status, 200);
    stack.control("POST", "/dynamodb/start", Value::Null).await;
    stack.get("/health").await;
    assert_eq!(stack.control("POST", "/monitor/run", Value::Null).await.status, 200);
    for function in FUNCTIONS {
        let lines = stack.log_lines(function);
        assert!(lines.iter().any(|line| line["code"].is_string()), "{function}: nothing went wrong");
        for line in lines {
            let time = line["timestamp"].as_str().unwrap_or_else(|| panic!("no time: {line}"));
            assert!(OffsetDateTime::parse(time, &Rfc3339).is_ok(), "{line}");
            assert!(["INFO", "WARN", "ERROR"].contains(&line["level"].as_str().unwrap()), "{line}");
        }
        let events = stack.wide_events(function);
        assert!(!events.is_empty(), "{function} says nothing of itself");
        let ids: BTreeSet<&str> = events.iter().map(|event| event["request.id"].as_str().unwrap()).collect();
        assert_eq!(ids.len(), events.len(), "{function}: one event a request");
    }
}

#[tokio::test]
async fn a_wide_event_tells_who_called_what_was_decided_and_what_came_of_it() {
    let stack = Stack::builder().start().await;
    let mut call = messages("Hello");
    call["stream"] = json!(true);
    stack.script("primary", json!({ "cut_after": 3 })).await;
    let answer = stack.call_with_key(stack.plain_api_key(), "/v1/messages", &call).await;
    let id = answer.header("x-levee-request-id");

    let authorized = stack.wide_event("authorizer", id).await;
    let said = |event: &Value, names: &[&str]| names.iter().map(|name| event[name].clone()).collect::<Vec<_>>();
    let who = ["account.id", "integration.id", "key.id"];
    assert_eq!(said(&authorized, &who), ["acme", "crm", "localPlainKy"]);
    assert_eq!(
        said(&authorized, &["verdict", "RouteClass", "Requests", "Limited"]),
        [json!("allowed"), json!("ai"), json!(1), json!(0)]
    );
    assert_eq!(
        authorized["policies"],
        json!([
            "ai-address 1/30",
            "integration 1/300",
            "account 1/600",
            "global-share 1/1200",
            "global 1/6000",
            "in-flight 1/20",
            "global-in-flight-share 1/80",
            "global-in-flight 1/400"
        ])
    );

    let served = stack.wide_event("ai-proxy", id).await;
    assert_eq!(said(&served, &who), ["acme", "crm", "localPlainKy"]);
    assert_eq!(
        said(&served, &["Operation", "model", "Provider", "attempts", "streamed", "outcome", "status", "estimated"]),
        [
            json!("message"),
            json!("claude-sonnet-5-5"),
            json!("primary"),
            json!(1),
            json!(1),
            json!("provider_error"),
            json!(200),
            json!(1)
        ]
    );
    assert_eq!(served["breaker.share"], 10_000);
    assert_eq!(served["error"], "The connection to the AI provider was lost.");
    let durations = ["TimeToFirstContent", "ProviderDuration", "LedgerDuration", "Duration"];
    assert!(durations.iter().all(|name| served[name].is_number()), "{served}");
}

/// Returns the metrics of a function that docs/LOGGING.md documents.
fn documented_metrics(document: &str, function: &str) -> BTreeSet<String> {
    let section = document.split_once("\n### Metrics\n").map_or("", |(_, rest)| rest);
    let table = section.split_once("\n## ").map_or("", |(table, _)| table);
    let rows = table.lines().filter_map(|line| line.strip_prefix("| `")?.split_once(" | "));
    let of_function = rows.filter(|(_, rest)| {
        let functions = rest.split_once(" | ").map_or("", |(functions, _)| functions);
        functions == "all" || functions.split(", ").any(|name| name == function)
    });
    of_function.flat_map(|(names, _)| names.split(", ")).map(|name| name.trim_matches('`').to_owned()).collect()
}

#[tokio::test]
async fn metrics_are_those_that_are_documented_and_no_dimension_is_an_id() {
    let stack = Stack::builder().start().await;
    for answer in all_sorts_of_calls(&stack).await {
        let id = answer.header("x-levee-request-id");
        stack.wide_event("authorizer", id).await;
        if answer.status != 401 {
            stack.wide_event("ai-proxy", id).await;
        }
    }
    stack.get("/health").await;
    stack.get("/v1/usage").await;
    stack.get("/v1/catalogs/modules").await;
    let report = stack.client().post(stack.url("/csp-reports")).body("[]").send().await;
    assert_eq!(report.map(|answer| answer.status().as_u16()).ok(), Some(204));
    assert_eq!(stack.control("POST", "/monitor/run", Value::Null).await.status, 200);
    // Provoke a decision by a breaker, and one by an admin.
    stack.script("primary", json!({ "status": 500 })).await;
    let decision = |event: &Value| event["code"] == "breaker.transition";
    wait_for(async || {
        assert_eq!(stack.call("/v1/messages", &messages("Hello")).await.status, 200);
        stack.wide_events("ai-proxy").into_iter().find(decision)
    })
    .await;
    let mut admin = stack.signed_in(stack.admin()).await;
    let force = [("csrf", &*admin.token().await), ("to", "open"), ("minutes", "30"), ("reason", "a test")];
    assert_eq!(admin.post("/admin/api/breakers/backup/force", &force).await.status, 200);
    wait_for(async || stack.wide_events("health-api").into_iter().find(decision)).await;
    let documented = std::fs::read_to_string(tests::workspace().join("docs/LOGGING.md")).unwrap();

    for function in FUNCTIONS.into_iter().chain(["csp-report"]) {
        let events = stack.wide_events(function);
        let mut emitted = BTreeSet::new();
        for event in events {
            let directive = &event["_aws"]["CloudWatchMetrics"][0];
            assert_eq!(directive["Namespace"], "Levee");
            for metric in directive["Metrics"].as_array().unwrap() {
                let name = metric["Name"].as_str().unwrap();
                assert!(event[name].is_number(), "{name} in {event}");
                emitted.insert(name.to_owned());
            }
            let dimensions: BTreeSet<&str> = directive["Dimensions"]
                .as_array()
                .unwrap()
                .iter()
                .flat_map(|set| set.as_array().unwrap())
                .map(|name| name.as_str().unwrap())
                .collect();
            assert!(
                dimensions.is_subset(&BTreeSet::from(["Function", "RouteClass", "Operation", "Provider"])),
                "{event}"
            );
            assert!(dimensions.contains("Function"), "{event}");
        }
        assert_eq!(emitted, documented_metrics(&documented, function), "{function}: emitted, documented");
    }
}

#[tokio::test]
async fn whatever_a_provider_does_wrong_is_logged_under_its_code_and_kept_as_a_breadcrumb() {
    let stack = Stack::builder().env("AI_FIRST_TOKEN_TIMEOUT_MS", "1000").only_primary().start().await;
    let mut call = messages("Hello");
    call["stream"] = json!(true);
    for (script, code, outcome) in [
        (json!({ "status": 500 }), "provider.failed", "provider_error"),
        (json!({ "status": 529 }), "provider.failed", "provider_error"),
        (json!({ "status": 401 }), "provider.refused", "provider_error"),
        (json!({ "status": 429 }), "provider.limited", "provider_limited"),
        (json!({ "cut_after": 2 }), "provider.cut", "provider_error"),
        (json!({ "error_event_after": 0 }), "provider.failed", "provider_error"),
        (json!({ "error_event_after": 2 }), "provider.failed", "provider_error"),
        (json!({ "hang": "headers" }), "provider.timeout", "timeout"),
    ] {
        stack.script("primary", script.clone()).await;
        let answer = stack.call("/v1/messages", &call).await;
        let id = answer.header("x-levee-request-id");
        assert_eq!(stack.wide_event("ai-proxy", id).await["outcome"], outcome, "{script}");
        let lines = stack.log_lines("ai-proxy");
        let line = lines.iter().find(|line| line["request.id"] == id && line["code"].is_string());
        let line = line.unwrap_or_else(|| panic!("{script} left no line"));
        assert_eq!(
            (&line["code"], &line["account.id"], &line["provider"]),
            (&json!(code), &json!("acme"), &json!("primary"))
        );
        let is_kept = stack.rows().await.iter().any(|row| row.starts_with("{\"Breadcrumbs\"") && row.contains(code));
        assert!(is_kept, "{script} left no breadcrumb");
        stack.reset("primary").await;
    }
}

#[tokio::test]
async fn nothing_that_a_client_says_and_no_secret_is_in_a_log_or_in_a_table() {
    let stack = Stack::builder().env("RUST_LOG", "trace").start().await;
    let mark = "XYZZY";
    let prompt = messages(&format!("{mark} in a prompt"));
    let post = |body: String| {
        let request =
            stack.request(&format!("/v1/messages?{mark}=query")).header("x-note", format!("{mark} in a header"));
        let request = request.header("x-levee-proxy-secret", stack.proxy_secret());
        request.header("x-forwarded-for", "198.51.100.77").body(body).send()
    };

    post(prompt.to_string()).await.unwrap();
    post(format!(r#""{mark} as a body""#)).await.unwrap();
    post(format!(r#"{{"model":"{mark}-model","stream":"{mark}"}}"#)).await.unwrap();
    stack.get(&format!("/v1/models/{mark}-model")).await;
    stack.call_with_key(&format!("lv_local_{mark}"), "/v1/messages", &prompt).await;
    // Use a key that is counted by address, with an IPv4 and an IPv6 address.
    let mut answer = String::new();
    for address in ["198.51.100.77", "2001:db8:77::1"] {
        let request = stack.request_with_key(stack.plain_api_key(), "/v1/messages").json(&prompt);
        let request = request.header("x-levee-proxy-secret", stack.proxy_secret()).header("x-forwarded-for", address);
        answer = Answer::read(request.send().await.unwrap()).await.json()["content"][0]["text"]
            .as_str()
            .unwrap_or_default()
            .chars()
            .take(40)
            .collect();
    }
    assert!(answer.len() > 20, "there is no completion: {answer}");
    for script in [json!({ "status": 500 }), json!({ "status": 401 }), json!({ "cut_after": 1 })] {
        stack.script("primary", script).await;
        post(prompt.to_string()).await.unwrap();
    }
    stack.control("POST", "/dynamodb/stop", json!({})).await;
    stack.reset("primary").await;
    post(prompt.to_string()).await.unwrap();
    stack.control("POST", "/dynamodb/start", json!({})).await;
    // Breadcrumbs that could not be written are written with a later call.
    stack.advance(61).await;
    tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    post(prompt.to_string()).await.unwrap();
    // Let an admin and the monitor read all of it.
    let mut browser = stack.signed_in(stack.admin()).await;
    browser.sign_in(stack.viewer().0, "XYZZY is not the password").await;
    for page in ["/admin", "/admin/errors", "/admin/api/snapshot", "/admin/accounts", "/admin/audit"] {
        assert_eq!(browser.get(page).await.status, 200, "{page}");
    }
    stack.control("POST", "/monitor/run", Value::Null).await;

    let mut lines = stack.rows().await;
    assert!(lines.iter().any(|row| row.contains("provider.failed")), "there are no breadcrumbs: {lines:#?}");
    for function in FUNCTIONS {
        lines.extend(stack.log(function));
    }
    assert!(lines.iter().any(|line| line.contains("usage.unwritten")), "the functions did not log");
    let secret = &stack.api_key()[stack.api_key().len() - 38..];
    let plain_secret = &stack.plain_api_key()[stack.plain_api_key().len() - 38..];
    for secret in [
        mark,
        secret,
        plain_secret,
        &Stack::provider_key("primary"),
        stack.proxy_secret(),
        stack.admin().1,
        "198.51.100.77",
        "2001:db8:77",
        &answer,
        browser.cookie("__Host-levee-session"),
        &Stack::provider_key("backup"),
        "thisKeyOpensNothing",
        "nothing-to-hide",
    ] {
        let leaks: Vec<_> = lines.iter().filter(|line| line.contains(secret)).collect();
        assert!(leaks.is_empty(), "'{secret}' is in the logs or tables: {leaks:#?}");
    }
}
