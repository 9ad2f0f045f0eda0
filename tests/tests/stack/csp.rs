//! Content security policy: reports of browsers become groups, and patterns of them become alerts.

#![expect(clippy::unwrap_used, reason = "helpers of tests are tests")]

use serde_json::{Value, json};
use tests::{Answer, Stack, binaries};
use tokio::process::Command;

const POLICY: &str = "default-src 'self'; script-src 'self' https://cdn.example";
const CHROME: &str = "Mozilla/5.0 (X11; Linux x86_64) Chrome/156.0.0.0 Safari/537.36";

/// Runs `levee` against the stack and returns its JSON.
pub(crate) async fn levee(stack: &Stack, arguments: &[&str]) -> Value {
    let output = Command::new(binaries().join("levee"))
        .args(arguments)
        .args(["--json", &format!("--local={}", stack.state().display())])
        .output()
        .await
        .unwrap();
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

/// Creates the project `shop` with [`POLICY`], and returns the address of its reports.
async fn create_shop(stack: &Stack) -> String {
    let file = stack.state().join("policy.txt");
    std::fs::write(&file, POLICY).unwrap();
    let file = file.to_str().unwrap();
    levee(
        stack,
        &["csp", "project", "create", "shop", "--host", "shop.example", "--sensitive", "/checkout", "--policy", file],
    )
    .await;
    forget_projects(stack).await;
    let policy = levee(stack, &["csp", "policy", "shop", "--base-url", &stack.url("")]).await;
    let header = policy["headers"]["content-security-policy"].as_str().unwrap();
    let address = header.split_once("report-uri ").unwrap().1.split(';').next().unwrap();
    assert!(address.starts_with(&stack.url("/csp-reports/shop?v=")), "{header}");
    address.to_owned()
}

/// Starts the environment of the intake anew, which else reads the projects again only after some seconds.
pub(crate) async fn forget_projects(stack: &Stack) {
    stack.order("/functions/csp-report/0/kill").await;
    stack.order("/functions/csp-report/0/start").await;
}

fn report(directive: &str, blocked: &str) -> Value {
    json!({ "csp-report": {
        "document-uri": "https://shop.example/cart/18462?token=secret", "effective-directive": directive,
        "violated-directive": directive, "blocked-uri": blocked, "disposition": "enforce", "status-code": 200,
        "original-policy": "default-src *",
    }})
}

/// Posts a body as a browser behind the platform's proxy would, from the client address `from`.
async fn post(stack: &Stack, address: &str, from: &str, body: impl Into<reqwest::Body>) -> Answer {
    let request = stack.client().post(address).header("content-type", "application/csp-report");
    let request = request.header("x-levee-proxy-secret", stack.proxy_secret()).header("x-forwarded-for", from);
    Answer::read(request.header("user-agent", CHROME).body(body).send().await.unwrap()).await
}

/// Lets the present minute end, and runs the monitor.
async fn fold(stack: &Stack) {
    stack.advance(70).await;
    stack.order("/monitor/run").await;
}

/// Returns the keys of the alerts about CSP.
async fn alerts(stack: &Stack) -> Vec<String> {
    let raised = levee::alerts::Alerts::new(stack.dynamodb(), "Alerts").recent(100, stack.now()).await.unwrap();
    let keys = raised.into_iter().map(|alert| alert.key).filter(|key| key.starts_with("csp."));
    let mut keys: Vec<_> = keys.collect();
    keys.sort_unstable();
    keys
}

#[tokio::test]
async fn reports_of_several_visitors_become_one_group_and_one_alert_until_it_is_muted() {
    let stack = Stack::builder().start().await;
    let address = create_shop(&stack).await;
    let script = || report("script-src-elem", "https://evil.example/x.js?visitor=7").to_string();
    // Four networks are no pattern yet.
    for network in 1..=4 {
        assert_eq!(post(&stack, &address, &format!("198.51.{network}.7"), script()).await.status, 204);
    }
    // Reports that the served policy contradicts never alert alone.
    for network in 1..=9 {
        let forged = report("script-src-elem", "https://cdn.example/x.js").to_string();
        post(&stack, &address, &format!("198.51.{network}.8"), forged).await;
    }
    fold(&stack).await;
    assert_eq!(alerts(&stack).await, [""; 0]);
    let groups = levee(&stack, &["csp", "list", "shop"]).await;
    let group = &groups[0];
    assert_eq!(groups.as_array().unwrap().len(), 1, "{groups}");
    assert_eq!(
        (&group["class"], &group["blocked"], &group["page"], &group["reports"], &group["reach"]),
        (&json!("external"), &json!("https://evil.example"), &json!("shop.example/cart/{n}"), &json!(4), &json!(4))
    );
    let all = levee(&stack, &["csp", "list", "shop", "--noise"]).await;
    assert!(all.as_array().unwrap().iter().any(|it| it["class"] == "contradicted" && it["reports"] == 9), "{all}");

    // The fifth network makes a pattern, which is one alert however often the monitor runs.
    post(&stack, &address, "198.51.5.7", script()).await;
    fold(&stack).await;
    let id = group["id"].as_str().unwrap();
    assert_eq!(alerts(&stack).await, [format!("csp.new/shop/{id}")]);
    post(&stack, &address, "198.51.6.7", script()).await;
    fold(&stack).await;
    assert_eq!(alerts(&stack).await.len(), 1);

    // Operators see it, mute it, resolve it, and open it again.
    let shown = levee(&stack, &["csp", "show", "shop", id]).await;
    assert_eq!(shown["group"]["reports"], 6);
    assert_eq!(shown["browsers"], json!({ "chrome": 6 }));
    assert_eq!(shown["to_allow"], json!({ "text": "script-src-elem https://evil.example", "risky": true }));
    for (command, state) in [("mute", "muted"), ("resolve", "resolved"), ("reopen", "open")] {
        assert_eq!(levee(&stack, &["csp", command, "shop", id]).await["state"], state);
        assert_eq!(levee(&stack, &["csp", "show", "shop", id]).await["group"]["state"], state);
    }
    // Nothing that names a visitor is stored or logged.
    let stored = format!("{:?} {:?} {}", all, shown, stack.output());
    for secret in ["token=secret", "18462", "visitor=7", "198.51."] {
        assert!(!stored.contains(secret), "{secret}");
    }
}

#[tokio::test]
async fn a_proposed_policy_is_tried_on_what_was_reported() {
    let stack = Stack::builder().start().await;
    let address = create_shop(&stack).await;
    let reports = [
        ("script-src-elem", "https://evil.example/x.js"),
        ("img-src", "https://img.example/logo.png"),
        ("script-src-elem", "inline"),
    ];
    for (directive, blocked) in reports {
        post(&stack, &address, "198.51.100.1", report(directive, blocked).to_string()).await;
    }
    fold(&stack).await;
    let file = stack.state().join("proposal.txt");
    std::fs::write(
        &file,
        "default-src 'self'; script-src 'nonce-abc'; img-src https://img.example; form-action 'self'",
    )
    .unwrap();
    let tried = levee(&stack, &["csp", "try", "shop", "--policy", file.to_str().unwrap()]).await;
    assert_eq!(tried["reports"], json!({ "blocked": 0, "not_blocked": 1, "unknown": 2, "not_judged": 0 }), "{tried}");
    assert_eq!(tried["stricter"], json!(["script-src", "img-src", "form-action"]));
    std::fs::write(&file, POLICY).unwrap();
    let tried = levee(&stack, &["csp", "try", "shop", "--policy", file.to_str().unwrap()]).await;
    assert_eq!(tried["reports"]["blocked"], 3, "what was reported is blocked by the policy that was served: {tried}");
    assert_eq!(tried["stricter"], json!([]));
}

/// Bodies that are no report, or one that cannot be used.
const ODD_BODIES: [&str; 7] = [
    "",
    "<html>",
    r#"{"csp-report":{"document-uri":"https://shop"#,
    r#"[{"type":"deprecation","body":{}}]"#,
    r#"{"csp-report":{"document-uri":"https://shop.example/"}}"#,
    "{\"csp-report\":{\"document-uri\":\"\u{1b}[31m\u{202e}\",\"effective-directive\":\"img-src\"}}",
    r#"[{"type":"csp-violation","age":1e999,"body":{"documentURL":"https://shop.example/","effectiveDirective":"img-src","lineNumber":99999999999999999999}}]"#,
];

#[tokio::test]
async fn every_body_is_answered_204() {
    let stack = Stack::builder().start().await;
    for body in ODD_BODIES {
        for path in [
            "/csp-reports",
            "/csp-reports/levee",
            "/csp-reports/unknown",
            "/csp-reports/%ff",
            "/csp-reports/levee?v=%00",
        ] {
            let answer = post(&stack, &stack.url(path), "198.51.100.1", body).await;
            assert_eq!((answer.status, answer.text()), (204, ""), "{path}: {body}");
        }
    }
}

#[tokio::test]
async fn floods_large_bodies_preflights_and_outages_are_answered_204() {
    let stack = Stack::builder().start().await;
    let address = create_shop(&stack).await;
    // A browser asks before it posts to another origin.
    let preflight = stack.client().request(reqwest::Method::OPTIONS, &address).header("origin", "https://shop.example");
    let preflight = preflight
        .header("access-control-request-method", "POST")
        .header("access-control-request-headers", "content-type");
    let answer = Answer::read(preflight.send().await.unwrap()).await;
    let allowed =
        ["origin", "methods", "headers"].map(|what| answer.header(&format!("access-control-allow-{what}")).to_owned());
    assert_eq!((answer.status, allowed), (204, ["*", "POST, OPTIONS", "content-type"].map(str::to_owned)));

    // A body beyond the bound, and more reports than a network may post in a minute.
    assert_eq!(post(&stack, &address, "198.51.100.1", vec![b' '; 70_000]).await.status, 204);
    let entry = json!({ "type": "csp-violation", "body": { "documentURL": "https://shop.example/", "effectiveDirective": "img-src", "blockedURL": "https://a.example/" } });
    let full = Value::Array(vec![entry; 110]).to_string();
    for _ in 0..3 {
        assert_eq!(post(&stack, &address, "198.51.100.1", full.clone()).await.status, 204);
    }
    fold(&stack).await;
    assert_eq!(levee(&stack, &["csp", "list", "shop"]).await[0]["reports"], 120);

    // Neither store is there.
    stack.order("/redis/stop").await;
    stack.order("/dynamodb/stop").await;
    for address in [address, stack.url("/csp-reports")] {
        assert_eq!(post(&stack, &address, "198.51.100.1", report("img-src", "inline").to_string()).await.status, 204);
    }
}
