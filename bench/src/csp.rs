//! Speed of reading CSP reports on one core: from bytes to the group, compared with parsing the same bytes as JSON.

use std::hint::black_box;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use levee::clock::Timestamp;
use levee::csp::report::{Entry, parse};
use levee::csp::violation::{Project, Violation};
use levee::csp::{Group, Policy};
use serde_json::{Value, json};

/// Length of one block. Blocks of both kinds take turns, so that a slow phase of the machine meets both.
const BLOCK: Duration = Duration::from_millis(200);
const BLOCKS: usize = 20;
const CHROME: &str =
    "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/156.0.0.0 Safari/537.36";

/// Measures both, and returns reports per second, medians over the blocks.
///
/// # Errors
/// If the sample bodies are not read as reports.
pub fn measure() -> anyhow::Result<Value> {
    let bodies = bodies();
    let policy = Policy::parse(
        "default-src 'self'; img-src 'self' data:; script-src 'self' 'nonce-abc' https://cdn.example/lib/",
    )?;
    let project = Project {
        document_hosts: vec!["shop.example".to_owned()],
        third_parties: vec!["cdn.example".to_owned()],
        policies: vec![(policy.version(), policy.clone())],
    };
    let version = policy.version();
    let understand = |body: &[u8]| {
        let (entries, _) = parse(body).unwrap_or_default();
        let raw = entries.iter().filter_map(|entry| if let Entry::Csp(raw) = entry { Some(raw) } else { None });
        let mut understood = 0;
        for raw in raw {
            if let Ok(violation) = Violation::new(raw, &project, Some(&version), CHROME, Timestamp::from_secs(1)) {
                black_box(Group::new("shop", &violation).id());
                understood += 1;
            }
        }
        understood
    };
    anyhow::ensure!(bodies.iter().all(|body| understand(body) == 1), "a sample body is no report");
    let read_json = |body: &[u8]| usize::from(black_box(serde_json::from_slice::<Value>(body)).is_ok());
    let (mut understood, mut parsed) = (Vec::new(), Vec::new());
    for _ in 0..BLOCKS {
        understood.push(rate(&bodies, understand));
        parsed.push(rate(&bodies, read_json));
    }
    let (understood, parsed) = (median(understood).context("no block")?, median(parsed).context("no block")?);
    let bytes = bodies.iter().map(Vec::len).sum::<usize>() / bodies.len();
    Ok(json!({
        "reports_per_second": understood.round(),
        "json_per_second": parsed.round(),
        "ratio": (understood / parsed * 1000.0).round() / 1000.0,
        "bytes_per_report": bytes,
    }))
}

fn rate(bodies: &[Vec<u8>], work: impl Fn(&[u8]) -> usize) -> f64 {
    let (began, mut reports) = (Instant::now(), 0);
    while began.elapsed() < BLOCK {
        reports += bodies.iter().map(|body| work(body)).sum::<usize>();
    }
    reports as f64 / began.elapsed().as_secs_f64()
}

fn median(mut rates: Vec<f64>) -> Option<f64> {
    rates.sort_by(f64::total_cmp);
    rates.get(rates.len() / 2).copied()
}

/// Returns bodies as browsers post them, of all kinds and shapes.
fn bodies() -> Vec<Vec<u8>> {
    let policy = "default-src 'self'; img-src 'self' data:; script-src 'self' 'nonce-8IBTHwOdqNKAWeKl7plt8g==' \
                  https://cdn.example/lib/; report-uri https://api.example/csp-reports/shop?v=0123456789abcdef; report-to csp";
    let kinds = [
        ("script-src-elem", "https://evil.example/x.js?id=1"),
        ("img-src", "https://img.example/p/18462/logo.png"),
        ("script-src-elem", "inline"),
        ("connect-src", "https://collect.example/v1/events"),
        ("script-src-elem", "chrome-extension"),
        ("font-src", "data"),
    ];
    let mut bodies = Vec::new();
    for (index, (directive, blocked)) in kinds.into_iter().enumerate() {
        let document = format!("https://shop.example/orders/{}/items?session=abc#top", 18_000 + index);
        bodies.push(json!({ "csp-report": {
            "document-uri": document, "referrer": "https://shop.example/", "violated-directive": directive,
            "effective-directive": directive, "original-policy": policy, "disposition": "enforce", "blocked-uri": blocked,
            "line-number": 7, "column-number": 13, "source-file": "https://shop.example/static/app.3f2a1c9d.js",
            "status-code": 200, "script-sample": "track('visitor', 4711)",
        }}));
        bodies.push(json!([{ "age": 2500, "type": "csp-violation", "url": document, "user_agent": CHROME, "body": {
            "documentURL": document, "referrer": "", "blockedURL": blocked, "effectiveDirective": directive,
            "originalPolicy": policy, "sourceFile": "https://shop.example/static/app.3f2a1c9d.js", "sample": "",
            "disposition": "report", "statusCode": 200, "lineNumber": 7, "columnNumber": 13,
        }}]));
    }
    bodies.into_iter().map(|body| body.to_string().into_bytes()).collect()
}
