//! Reports that a real browser sends about pages with a content security policy.

use std::time::Duration;

use serde_json::Value;
use tests::{Chromium, Scripted, Stack, wait_for};

use crate::csp::{forget_projects, levee};

/// Waits until the monitor has folded a group of `project`, and returns all of them as directive and blocked resource.
async fn groups(stack: &Stack, project: &str, number: usize) -> Vec<(String, String, String)> {
    let mut groups = wait_for(async || {
        stack.advance(70).await;
        stack.order("/monitor/run").await;
        let listed = levee(stack, &["csp", "list", project, "--noise"]).await;
        let listed = listed.as_array().cloned().unwrap_or_default();
        (listed.len() >= number).then_some(listed)
    })
    .await;
    groups.sort_by_key(|group| group["blocked"].to_string());
    let text = |group: &Value, name: &str| group[name].as_str().unwrap_or_default().to_owned();
    groups.iter().map(|group| (text(group, "class"), text(group, "directive"), text(group, "blocked"))).collect()
}

fn expected(groups: &[(&str, &str, &str)]) -> Vec<(String, String, String)> {
    let owned = |&(class, directive, blocked): &(&str, &str, &str)| {
        (class.to_owned(), directive.to_owned(), blocked.to_owned())
    };
    groups.iter().map(owned).collect()
}

#[tokio::test]
async fn violations_on_a_page_with_report_uri_become_groups() {
    let stack = Stack::builder().start().await;
    let file = stack.state().join("policy.txt");
    std::fs::write(&file, "default-src 'self'; img-src data:").expect("a writable folder");
    let file = file.display().to_string();
    levee(&stack, &["csp", "project", "create", "shop", "--host", "127.0.0.1", "--policy", &file]).await;
    forget_projects(&stack).await;
    let policy = levee(&stack, &["csp", "policy", "shop", "--base-url", &stack.url("")]).await;
    // Chromium prefers `report-to`, which needs HTTPS.
    let policy =
        policy["headers"]["content-security-policy"].as_str().expect("a policy").replace("; report-to csp", "");
    // A page with injected code.
    let body = "<!doctype html><title>Shop</title><script>alert(1)</script><script src=http://evil.example/x.js></script>\
        <img src=http://img.example/logo.png?visitor=7><p onclick=alert(1)>Cart";
    let page = format!(
        "HTTP/1.1 200 OK\r\ncontent-type: text/html\r\ncontent-security-policy: {policy}\r\ncontent-length: {}\r\n\
         connection: close\r\n\r\n{body}",
        body.len()
    );
    let page = format!("{}/cart/4711", Scripted::start(vec![(Duration::ZERO, page)]).await.url);

    let browser = Chromium::start().await;
    assert_eq!(browser.open(&page).await, "Shop");
    let found = groups(&stack, "shop", 4).await;
    let blocked = [
        ("external", "script-src-elem", "http://evil.example"),
        ("external", "img-src", "http://img.example"),
        ("inline", "script-src-attr", "inline"),
        ("inline", "script-src-elem", "inline"),
    ];
    let mut found = found;
    found.sort_unstable_by(|a, b| (&a.2, &a.1).cmp(&(&b.2, &b.1)));
    assert_eq!(found, expected(&blocked));
}

#[tokio::test]
async fn violations_on_levees_own_pages_arrive_by_the_reporting_api() {
    let stack = Stack::builder().tls().start().await;
    let browser = Chromium::start_reporting().await;
    browser.allow_reports(&stack.url("")).await;
    browser.open(&stack.url("/login")).await;
    // Inject a script as an attacker would, and leave the page, which sends its reports.
    let inject =
        "const it = document.createElement('img'); it.src = 'https://evil.example/p.gif'; document.body.append(it)";
    browser.run(inject).await;
    browser.open("about:blank").await;
    let found = groups(&stack, "levee", 1).await;
    assert_eq!(found, expected(&[("external", "img-src", "https://evil.example")]));
}
