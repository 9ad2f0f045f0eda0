//! The other pages: accounts, errors, audit.

use levee::accounts::{Account, AccountsTable};
use levee::clock::Clock;
use serde_json::{Value, json};
use tests::{Stack, messages, wait_for};

use super::{SUSPEND, assert_page};

#[tokio::test]
async fn what_others_named_comes_out_escaped() {
    let stack = Stack::builder().start().await;
    let name = "<script>alert(1)</script>\"'>";
    let account = Account::new("evil", name, Clock::system().now());
    AccountsTable::new(stack.dynamodb(), "Accounts").put_account(&account).await.unwrap();
    let mut admin = stack.signed_in(stack.admin()).await;
    let page = admin.get("/admin/accounts").await;
    assert!(page.text().contains("&lt;script&gt;alert(1)&lt;/script&gt;&quot;"), "{page:?}");
    assert_page(&page, "");
    let errors = admin.get("/admin/errors?code=a%22%3E%3Cscript%3E").await;
    assert_eq!(errors.status, 400, "{errors:?}");
    assert!(!errors.text().contains("<script"), "{errors:?}");
}

#[tokio::test]
async fn a_suspended_account_is_refused_at_the_next_request_until_it_is_resumed() {
    let stack = Stack::builder().with_demo().start().await;
    let mut admin = stack.signed_in(stack.admin()).await;
    let token = admin.token().await;
    let call = messages("Hello");
    assert_eq!(stack.call("/v1/messages", &call).await.status, 200);

    let answer = admin.post(SUSPEND, &[("csrf", &token)]).await;
    assert_eq!(answer.json(), json!({ "id": "acme", "status": "suspended", "effective_within_seconds": 0 }));
    let refused = stack.call("/v1/messages", &call).await;
    assert_eq!((refused.status, &refused.json()["error"]["message"]), (403, &json!("This account is suspended.")));
    let accounts = admin.get("/admin/api/accounts?limit=1").await.json();
    assert_eq!(accounts["accounts"], json!([{ "id": "acme", "name": "Acme Logistics", "status": "suspended" }]));
    let next = admin.get(&format!("/admin/api/accounts?after={}", accounts["next"].as_str().unwrap())).await.json();
    assert_eq!(next["accounts"][0]["id"], "globex");

    assert_eq!(admin.post("/admin/api/accounts/acme/resume", &[("csrf", &token)]).await.status, 200);
    assert_eq!(stack.call("/v1/messages", &call).await.status, 200);

    let audit = admin.get("/admin/api/audit?limit=2").await.json();
    let entry = &audit["entries"][1];
    assert_eq!((&entry["action"], &entry["target"]), (&json!("account.suspend"), &json!("acme")), "{audit}");
    assert_eq!((&entry["actor"], &entry["detail"]), (&json!(stack.admin().0), &json!("active to suspended")));
    assert_eq!(entry["request_id"], answer.header("x-levee-request-id"));
    assert_eq!(audit["entries"][0]["action"], "account.resume");
    for path in ["/admin/api/accounts/nobody/suspend", "/admin/api/accounts/%3Cb%3E/suspend"] {
        assert_eq!(admin.post(path, &[("csrf", &token)]).await.status, 404, "{path}");
    }
    assert_eq!(admin.get("/admin/api/audit?limit=1").await.json()["entries"][0]["action"], "account.resume");
}

#[tokio::test]
async fn while_redis_cannot_be_reached_a_suspension_takes_a_minute_and_says_so() {
    let stack = Stack::builder().start().await;
    let mut admin = stack.signed_in(stack.admin()).await;
    let token = admin.token().await;
    assert_eq!(stack.call("/v1/messages", &messages("Hello")).await.status, 200);
    stack.order("/redis/stop").await;

    let answer = admin.post(SUSPEND, &[("csrf", &token)]).await;
    assert_eq!(answer.json(), json!({ "id": "acme", "status": "suspended", "effective_within_seconds": 60 }));
    wait_for(async || stack.log_lines("health-api").into_iter().find(|line| line["code"] == "accounts.unpublished"))
        .await;
    stack.advance(61).await;
    assert_eq!(stack.call("/v1/messages", &messages("Hello")).await.status, 403);
}

#[tokio::test]
async fn recent_errors_come_in_pages_and_filtered_and_what_makes_no_sense_is_refused() {
    let stack = Stack::builder().only_primary().start().await;
    let mut admin = stack.signed_in(stack.admin()).await;
    for script in [json!({ "cut_after": 0 }), json!({ "status": 401 })] {
        stack.reset("primary").await;
        stack.script("primary", script).await;
        assert_eq!(stack.call("/v1/messages", &messages("Hello")).await.status, 502);
    }
    let all = wait_for(async || {
        let all = admin.get("/admin/api/breadcrumbs").await.json()["breadcrumbs"].as_array().unwrap().clone();
        (all.iter().filter(|it| it["function"] == "ai-proxy").count() >= 2).then_some(all)
    })
    .await;

    // Paging returns every breadcrumb exactly once.
    let (mut paged, mut after) = (Vec::new(), String::new());
    loop {
        let page = admin.get(&format!("/admin/api/breadcrumbs?limit=1{after}")).await.json();
        paged.extend(page["breadcrumbs"].as_array().unwrap().clone());
        let Some(next) = page["next"].as_str() else { break };
        after = format!("&after={next}");
    }
    let codes = |all: &[Value]| {
        let mut codes: Vec<_> = all.iter().map(|it| it["code"].to_string()).collect();
        codes.sort();
        codes
    };
    assert_eq!(codes(&paged), codes(&all));
    let code = all[0]["code"].as_str().unwrap();
    let filtered = admin.get(&format!("/admin/api/breadcrumbs?code={code}&severity=error&account=acme")).await.json();
    let filtered = filtered["breadcrumbs"].as_array().unwrap();
    assert!(!filtered.is_empty() && filtered.iter().all(|it| it["code"] == code), "{filtered:?}");
    let page = admin.get("/admin/errors?limit=1&severity=error").await;
    assert!(
        page.text().contains("Older errors") && page.text().contains("severity=error&amp;limit=1&amp;after="),
        "{page:?}"
    );

    for query in ["limit=0", "limit=101", "limit=x", "severity=fatal", "code=%3Cb%3E", "account=a%20b", "after=!"] {
        let answer = admin.get(&format!("/admin/api/breadcrumbs?{query}")).await;
        assert_eq!((answer.status, &answer.json()["code"]), (400, &json!("invalid_request")), "{query}");
    }
}
