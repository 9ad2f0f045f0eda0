//! The audit: every action is in it or is not executed, and all of it can be read.

use std::collections::BTreeSet;
use std::time::Duration;

use health_api::routes::{Access, ROUTES};
use health_api::{BoardState, HealthApiConfig, handle};
use lambda_http::Response;
use levee::accounts::{AccountsTable, Status};
use levee::admins::{AdminsTable, AuditEntry};
use levee::breaker::{BreakersTable, ManualOverride, Share, apply};
use levee::session_token::SessionToken;
use reqwest::Method;
use serde_json::{Value, json};
use tests::Stack;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use super::{SESSION, SIGN_OUTS, add_violation, assert_page, real};

fn admins(stack: &Stack) -> AdminsTable {
    AdminsTable::new(stack.dynamodb(), "Admins")
}

/// Returns the paths with which a signed-in admin changes something, with existing ids.
fn changes() -> Vec<String> {
    let changes =
        ROUTES.iter().filter(|(method, _, access, _)| matches!(access, Access::SignedIn(_)) && *method != Method::GET);
    changes.map(|(_, path, ..)| real(path)).collect()
}

/// All fields of the forms.
const FIELDS: [(&str, &str); 3] = [("to", "open"), ("share", "25"), ("minutes", "30")];

#[tokio::test]
async fn whatever_an_admin_does_is_one_more_row_in_the_audit() {
    let stack = Stack::builder().env("LIMIT_LOGIN_PER_ADDRESS", "0").start().await;
    add_violation(&stack).await;
    let (table, (email, _)) = (admins(&stack), stack.admin());
    let mut actions = BTreeSet::new();
    for path in changes() {
        let mut admin = stack.signed_in(stack.admin()).await;
        let token = admin.token().await;
        let before = table.audit_log(1_000, stack.now()).await.unwrap();
        let answer = admin.post(&path, &[&FIELDS[..], &[("csrf", &token)]].concat()).await;
        assert!(answer.status == 200 || answer.status == 303, "{path}: {answer:?}");
        let after = table.audit_log(1_000, stack.now()).await.unwrap();
        assert_eq!(after.len(), before.len() + 1, "{path}: {after:?}");
        let row = after.iter().find(|row| !before.contains(row)).unwrap();
        assert_eq!((row.actor.as_str(), row.request_id.as_deref()), (email, Some(answer.header("x-levee-request-id"))));
        actions.insert(row.action.clone());
    }
    let of_accounts = ["account.resume", "account.suspend"];
    let of_breakers = ["breaker.force", "breaker.pin", "breaker.release"];
    let of_violations = ["csp.mute", "csp.reopen", "csp.resolve"];
    let of_sessions = ["session.sign-out", "session.sign-out-everywhere"];
    let expected = [&of_accounts[..], &of_breakers, &of_violations, &of_sessions].concat();
    assert_eq!(actions.into_iter().collect::<Vec<_>>(), expected);
}

/// Runs the board in this process, on the tables of `stack`, with a DynamoDB that refuses writes to the audit.
async fn without_audit(stack: &Stack) -> BoardState {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let (client, target) = (stack.client().clone(), stack.local("dynamodb_url").to_owned());
    tokio::spawn(async move {
        while let Ok((connection, _)) = listener.accept().await {
            tokio::spawn(relay(connection, client.clone(), target.clone()));
        }
    });
    let lookup = |name: &str| {
        let value = match name {
            "AWS_ENDPOINT_URL_DYNAMODB" => url.as_str(),
            "AWS_REGION" => "us-east-1",
            "AWS_ACCESS_KEY_ID" | "AWS_SECRET_ACCESS_KEY" => "test",
            "ACCOUNTS_TABLE" => "Accounts",
            "ADMINS_TABLE" => "Admins",
            "ALERTS_TABLE" => "Alerts",
            "BREADCRUMBS_TABLE" => "Breadcrumbs",
            "BREAKERS_TABLE" => "Breakers",
            "CSP_TABLE" => "Csp",
            "USAGE_TABLE" => "Usage",
            "REDIS_URL" => "redis://127.0.0.1:1",
            "AI_PROVIDERS" => r#"[{"name":"primary"}]"#,
            "LOG_GROUPS" => "none",
            "DYNAMODB_TIMEOUT_MS" => "5000",
            _ => return None,
        };
        Some(value.to_owned())
    };
    BoardState::new(levee::config::from_lookup(lookup, HealthApiConfig::read).unwrap()).await.unwrap()
}

/// Forwards one call to `target`, unless it writes to the audit.
async fn relay(mut connection: TcpStream, client: reqwest::Client, target: String) {
    let mut call = Vec::new();
    let (head, body) = loop {
        assert!(connection.read_buf(&mut call).await.unwrap() > 0, "a call broke off");
        let Some(end) = call.windows(4).position(|window| window == b"\r\n\r\n") else { continue };
        let head = String::from_utf8(call[..end].to_vec()).unwrap();
        if call.len() == end + 4 + field(&head, "content-length").parse::<usize>().unwrap() {
            break (head, call.split_off(end + 4));
        }
    };
    let is_audit = field(&head, "x-amz-target").ends_with(".PutItem") && body.windows(6).any(|it| it == b"AUDIT#");
    let (status, body) = if is_audit {
        (400, br#"{"__type":"com.amazonaws.dynamodb.v20120810#ResourceNotFoundException","message":"no"}"#.to_vec())
    } else {
        let names = ["x-amz-target", "content-type", "x-amz-date", "authorization"];
        let request = names.iter().fold(client.post(target), |request, name| request.header(*name, field(&head, name)));
        let answer = request.body(body).send().await.unwrap();
        (answer.status().as_u16(), answer.bytes().await.unwrap().to_vec())
    };
    let head = format!(
        "HTTP/1.1 {status} -\r\ncontent-type: application/x-amz-json-1.0\r\nconnection: close\r\n\
         content-length: {}\r\n\r\n",
        body.len()
    );
    connection.write_all(&[head.as_bytes(), &body].concat()).await.unwrap();
}

fn field<'a>(head: &'a str, name: &str) -> &'a str {
    let mut fields = head.split("\r\n").filter_map(|line| line.split_once(':'));
    fields.find(|(it, _)| it.eq_ignore_ascii_case(name)).unwrap().1.trim()
}

/// POSTs a form in the same way as a page of the board.
async fn post(state: &BoardState, path: &str, cookie: &str, body: &str) -> Response<String> {
    let event = json!({
        "httpMethod": "POST", "path": path, "body": body, "headers": {},
        "multiValueHeaders": {
            "host": ["api.example"],
            "origin": ["null"],
            "sec-fetch-site": ["same-origin"],
            "content-type": ["application/x-www-form-urlencoded"],
            "cookie": [cookie],
        },
        "requestContext": {
            "resourcePath": path, "path": path, "httpMethod": "POST",
            "authorizer": { "requestId": "r-1", "verdict": "allow" },
        },
    });
    handle(state, lambda_http::request::from_str(&event.to_string()).unwrap()).await
}

async fn session(stack: &Stack) -> SessionToken {
    let (email, password) = stack.admin();
    admins(stack).sign_in(email, password, stack.now()).await.unwrap().0
}

#[tokio::test]
async fn what_cannot_be_written_down_is_not_done_but_for_signing_out() {
    let stack = Stack::builder().start().await;
    add_violation(&stack).await;
    let state = without_audit(&stack).await;
    let (table, accounts) = (admins(&stack), AccountsTable::new(stack.dynamodb(), "Accounts"));
    let breakers = BreakersTable::new(stack.dynamodb(), "Breakers");
    let word = ManualOverride::Hold { share: Share::NONE, lasts: Duration::from_secs(3600) };
    let held = apply(&breakers, "primary", word, "cli:test", stack.now()).await.unwrap().to;
    let fields = FIELDS.map(|(name, value)| format!("&{name}={value}")).concat();
    for path in changes() {
        let before = if path.ends_with("/resume") { Status::Suspended } else { Status::Active };
        accounts.set_account_status("acme", before).await.unwrap();
        let token = session(&stack).await;
        let cookie = format!("{SESSION}={}", token.reveal());
        let answer = post(&state, &path, &cookie, &format!("csrf={}{fields}", token.csrf().reveal())).await;
        assert_eq!(answer.status(), 503, "{path}: {answer:?}");
        let is_over = table.session(&token, stack.now()).await.unwrap().is_none();
        let cleared = answer.headers().get("set-cookie").is_some_and(|it| it.to_str().unwrap().contains("Max-Age=0"));
        let is_sign_out = SIGN_OUTS.contains(&path.as_str());
        assert_eq!((is_over, cleared), (is_sign_out, is_sign_out), "{path}: {answer:?}");
        let sentence = if is_sign_out { "You are signed out, but" } else { "Nothing was changed." };
        assert!(answer.body().contains(sentence), "{path}: {answer:?}");
        assert_eq!(accounts.account("acme").await.unwrap().unwrap().account.status, before, "{path}");
        assert_eq!(breakers.read("primary").await.unwrap(), held, "{path}");
    }
    let rows = table.audit_log(10, stack.now()).await.unwrap();
    assert_eq!(rows, [], "something was written into the audit");
}

#[tokio::test]
async fn a_sign_in_that_cannot_be_written_down_begins_nothing_and_a_refused_one_is_refused_as_ever() {
    let stack = Stack::builder().start().await;
    let state = without_audit(&stack).await;
    let sessions = async || stack.rows().await.into_iter().filter(|row| row.contains("SESSION#")).count();
    let (email, password) = stack.admin();
    let token = "0123456789abcdef0123456789abcdef";
    let sign_in = async |password: &str| {
        let body = format!("csrf={token}&email={email}&password={password}");
        post(&state, "/login", &format!("__Host-levee-login={token}"), &body).await
    };
    let answer = sign_in(password).await;
    assert_eq!((answer.status().as_u16(), answer.headers().get("set-cookie"), sessions().await), (503, None, 0));
    let answer = sign_in("wrong-but-long-enough").await;
    assert_eq!(answer.status(), 401, "{answer:?}");
    assert!(answer.body().contains("The e-mail address or the password is wrong."), "{answer:?}");
}

#[tokio::test]
async fn the_audit_can_be_read_page_by_page_to_its_beginning() {
    let stack = Stack::builder().start().await;
    let (table, now) = (admins(&stack), stack.now());
    // Entries of the same moment, the same month, earlier months, and one that is too old.
    let days_ago = [0, 0, 0, 1, 2, 40, 41, 41, 100, 399, 401];
    for (number, days) in days_ago.into_iter().enumerate() {
        let entry = AuditEntry {
            at: now.as_millis() - 60_000 - days * 24 * 3600 * 1000,
            actor: "cli:test".to_owned(),
            action: "test.paging".to_owned(),
            target: number.to_string(),
            detail: String::new(),
            request_id: None,
        };
        table.audit(&entry).await.unwrap();
    }
    let mut admin = stack.signed_in(stack.admin()).await;
    let all = admin.get("/admin/api/audit?limit=100").await.json();
    let whole = all["entries"].as_array().unwrap().clone();
    assert_eq!((whole.len(), &all["next"]), (11, &Value::Null), "{all}");

    for limit in [1, 2, 3, 10, 11] {
        let (mut paged, mut after) = (Vec::new(), String::new());
        loop {
            let page = admin.get(&format!("/admin/api/audit?limit={limit}{after}")).await.json();
            paged.extend(page["entries"].as_array().unwrap().clone());
            let Some(next) = page["next"].as_str() else { break };
            after = format!("&after={next}");
        }
        assert_eq!(paged, whole, "{limit} at a time");
    }

    // In the page, older entries are behind a link.
    let page = admin.get("/admin/audit?limit=10").await;
    assert_page(&page, "");
    let (before, _) = page.text().split_once("\">Older entries").unwrap();
    let link = before.rsplit_once("href=\"").unwrap().1.replace("&amp;", "&");
    let older = admin.get(&link).await;
    assert!(older.text().contains("Older entries, newest first") && !older.text().contains("\">Older entries"));
    for query in ["after=!", "after=1-2", "limit=0"] {
        assert_eq!(admin.get(&format!("/admin/api/audit?{query}")).await.status, 400, "{query}");
    }
}
