//! Breakers on the board: their state, and decisions by admins.

use std::sync::Arc;
use std::time::Duration;

use levee::breaker::{
    BreakerState, Breakers, BreakersTable, Grounds, Mode, Observation, Reason, SecondBucket, Share, Transition,
};
use levee::clock::{Clock, Timestamp};
use levee::stores::redis::{Redis, RedisConfig};
use serde_json::{Value, json};
use tests::Stack;

use super::assert_page;

const PRIMARY: &str = "/admin/api/breakers/primary";

fn table(stack: &Stack) -> BreakersTable {
    BreakersTable::new(stack.dynamodb(), "Breakers")
}

fn at(text: &Value) -> Timestamp {
    let text = text.as_str().unwrap();
    let moment = time::OffsetDateTime::parse(text, &time::format_description::well_known::Rfc3339).unwrap();
    Timestamp::from_secs(u64::try_from(moment.unix_timestamp()).unwrap())
}

#[tokio::test]
async fn a_provider_is_forced_pinned_and_released_and_all_of_it_is_told() {
    let stack = Stack::builder().start().await;
    let mut admin = stack.signed_in(stack.admin()).await;
    let token = admin.token().await;
    let fresh = admin.get(PRIMARY).await.json();
    assert_eq!((&fresh["name"], &fresh["mode"], &fresh["share"]), (&json!("primary"), &json!("closed"), &json!(100.0)));
    assert_eq!((&fresh["since"], &fresh["forced_until"], &fresh["by"]), (&Value::Null, &Value::Null, &Value::Null));

    let why = [("csrf", token.as_str()), ("reason", "it's maintenance")];
    let held = [&why[..], &[("to", "open"), ("minutes", "30")]].concat();
    let forced = admin.post(&format!("{PRIMARY}/force"), &held).await.json();
    assert_eq!((&forced["mode"], &forced["share"], &forced["reason"]), (&json!("open"), &json!(0.0), &json!("forced")));
    assert_eq!((&forced["by"], &forced["effective_within_seconds"]), (&json!(stack.admin().0), &json!(5)));
    assert_eq!(at(&forced["since"]).until(at(&forced["forced_until"])), Duration::from_secs(1800));
    let snapshot = admin.get("/admin/api/snapshot").await.json();
    let primary = &snapshot["providers"][0];
    for field in ["name", "mode", "share", "since", "reason", "forced_until", "by"] {
        assert_eq!(primary[field], forced[field], "{field}: {snapshot}");
    }
    assert_eq!((&primary["failure_ratio"], &primary["errors_last_hour"]), (&Value::Null, &json!(0)), "{snapshot}");
    let all = admin.get("/admin/api/breakers").await.json();
    let modes: Vec<_> = all["breakers"].as_array().unwrap().iter().map(|it| (&it["name"], &it["mode"])).collect();
    assert_eq!(modes, [(&json!("primary"), &json!("open")), (&json!("backup"), &json!("closed"))]);

    let pinned = [("csrf", token.as_str()), ("share", "2.5"), ("minutes", "10080")];
    let pinned = admin.post(&format!("{PRIMARY}/pin"), &pinned).await.json();
    assert_eq!((&pinned["mode"], &pinned["share"]), (&json!("ramp"), &json!(2.5)));
    let released = admin.post(&format!("{PRIMARY}/release"), &[("csrf", &token)]).await.json();
    // Such a small share yields too little evidence, so the provider is probed instead.
    assert_eq!((&released["mode"], &released["forced_until"]), (&json!("probe"), &Value::Null));
    let again = admin.post(&format!("{PRIMARY}/release"), &[("csrf", &token)]).await;
    assert_eq!((again.status, &again.json()["code"]), (400, &json!("invalid_request")), "{again:?}");

    let first = admin.get(&format!("{PRIMARY}/history?limit=2")).await.json();
    let next = first["next"].as_u64().unwrap();
    let rest = admin.get(&format!("{PRIMARY}/history?limit=2&after={next}")).await.json();
    let told = |page: &Value| -> Vec<(Value, Value, Value)> {
        let decisions = page["decisions"].as_array().unwrap().iter();
        decisions.map(|it| (it["generation"].clone(), it["to"].clone(), it["by"].clone())).collect()
    };
    let by = || json!(stack.admin().0);
    let newest = vec![(json!(3), json!("probe"), by()), (json!(2), json!("ramp"), by())];
    assert_eq!((told(&first), told(&rest)), (newest, vec![(json!(1), json!("open"), by())]));
    assert_eq!(rest["next"], Value::Null);

    let audit = admin.get("/admin/api/audit?limit=3").await.json();
    let entries: Vec<_> = audit["entries"].as_array().unwrap().iter().collect();
    let actions: Vec<_> = entries.iter().map(|it| (it["action"].as_str().unwrap(), &it["target"])).collect();
    let primary = json!("primary");
    assert_eq!(actions, ["breaker.release", "breaker.pin", "breaker.force"].map(|action| (action, &primary)));
    let detail = entries[2]["detail"].as_str().unwrap();
    assert!(
        detail.starts_with("100 % to 0 %, until 20") && detail.ends_with(", reason 'it's maintenance'"),
        "{detail}"
    );
    let lines = stack.log_lines("health-api");
    let line = lines.iter().find(|line| line["code"] == "breaker.transition").unwrap();
    assert_eq!((&line["Provider"], &line["to"]), (&json!("primary"), &json!("open")), "{line}");
    assert!(!line.to_string().contains(stack.admin().0), "{line}");
}

#[tokio::test]
async fn what_makes_no_sense_is_refused_and_decides_nothing() {
    let stack = Stack::builder().start().await;
    let mut admin = stack.signed_in(stack.admin()).await;
    let token = admin.token().await;
    let long = "x".repeat(201);
    for (verb, fields) in [
        ("force", [("to", "shut"), ("minutes", "30"), ("reason", "")]),
        ("force", [("to", "open"), ("minutes", "0"), ("reason", "")]),
        ("force", [("to", "open"), ("minutes", "10081"), ("reason", "")]),
        ("force", [("to", "open"), ("minutes", ""), ("reason", "")]),
        ("force", [("to", "open"), ("minutes", "30"), ("reason", &long)]),
        ("pin", [("share", "0"), ("minutes", "30"), ("reason", "")]),
        ("pin", [("share", "100"), ("minutes", "30"), ("reason", "")]),
        ("pin", [("share", "2.555"), ("minutes", "30"), ("reason", "")]),
    ] {
        let answer = admin.post(&format!("{PRIMARY}/{verb}"), &[&fields[..], &[("csrf", &token)]].concat()).await;
        assert_eq!(answer.status, 400, "{fields:?}: {answer:?}");
    }
    for path in ["/admin/api/breakers/nobody", "/admin/api/breakers/nobody/history", "/admin/breakers/nobody"] {
        assert_eq!(admin.get(path).await.status, 404, "{path}");
    }
    let held = [("csrf", token.as_str()), ("to", "open"), ("minutes", "30")];
    assert_eq!(admin.post("/admin/api/breakers/nobody/force", &held).await.status, 404);
    assert_eq!(admin.get(&format!("{PRIMARY}/history?after=x")).await.status, 400);
    assert_eq!(table(&stack).providers().await.unwrap(), Vec::<String>::new());
}

#[tokio::test]
async fn what_environments_have_seen_is_shown_and_looking_at_it_changes_nothing() {
    let stack = Stack::builder().start().await;
    let mut admin = stack.signed_in(stack.admin()).await;
    let url = stack.local("redis_url").to_owned();
    let lookup = |name: &str| match name {
        "REDIS_URL" => Some(url.clone()),
        "REDIS_BUDGET_MS" => Some("1000".to_owned()),
        _ => None,
    };
    let redis = Arc::new(Redis::new(levee::config::from_lookup(lookup, RedisConfig::read).unwrap()));
    let names = vec!["primary".to_owned()];
    let breakers = Breakers::new(redis, table(&stack), Duration::from_secs(5), Clock::system(), "test", names);
    breakers.look("streamed", "acme", true).await;
    let seen = |counts: SecondBucket, latency: Option<u64>| Observation {
        counts,
        latency: latency.map(Duration::from_millis),
        is_first_content: latency.is_some(),
        ..Observation::default()
    };
    for _ in 0..3 {
        let good = SecondBucket { good: 1, on_time: 1, ..SecondBucket::default() };
        breakers.report(0, "streamed", "acme", 0, &seen(good, Some(400))).await;
    }
    breakers
        .report(0, "streamed", "acme", 0, &seen(SecondBucket { bad: 1, late: 1, ..SecondBucket::default() }, None))
        .await;
    let shown = admin.get(PRIMARY).await.json();
    assert_eq!((&shown["failure_ratio"], &shown["slow_ratio"]), (&json!(0.25), &json!(0.25)), "{shown}");
    assert_eq!((&shown["ttft_ms"], &shown["mode"]), (&json!(400), &json!("closed")), "{shown}");
    for _ in 0..20 {
        assert_eq!(admin.get(PRIMARY).await.json(), shown);
    }

    stack.order("/redis/stop").await;
    let shown = admin.get(PRIMARY).await.json();
    assert_eq!((&shown["failure_ratio"], &shown["ttft_ms"]), (&Value::Null, &Value::Null), "{shown}");
    assert_eq!(shown["mode"], "closed", "{shown}");
    let snapshot = admin.get("/admin/api/snapshot").await.json();
    assert_eq!(snapshot["providers"][0]["mode"], "closed", "{snapshot}");
    assert_eq!(snapshot["failed_parts"], json!(["limits"]), "{snapshot}");
}

#[tokio::test]
async fn where_decisions_cannot_be_read_the_board_says_so_and_shows_the_rest() {
    let stack = Stack::builder().env("BREAKERS_TABLE", "Nowhere").start().await;
    let mut admin = stack.signed_in(stack.admin()).await;
    let snapshot = admin.get("/admin/api/snapshot").await.json();
    assert_eq!(snapshot["failed_parts"], json!(["breakers"]), "{snapshot}");
    let primary = &snapshot["providers"][0];
    assert_eq!(
        (&primary["name"], &primary["mode"], &primary["errors_last_hour"]),
        (&json!("primary"), &Value::Null, &json!(0))
    );
    assert!(admin.get("/admin").await.text().contains("cannot be read: breakers."));
    assert_eq!(admin.get(PRIMARY).await.status, 503);
}

#[tokio::test]
async fn a_provider_has_a_page_with_forms_for_operators_and_the_board_leads_to_it() {
    let stack = Stack::builder().start().await;
    let opened = BreakerState {
        generation: 1,
        mode: Mode::Open,
        share: Share::NONE,
        since: Clock::system().now(),
        not_before: Clock::system().now().plus(Duration::from_secs(600)),
        reason: Reason::Failing,
        ..BreakerState::new()
    };
    let grounds = Grounds { results: 7, bad: 6, ..Grounds::default() };
    let opened = Transition::new("primary", &BreakerState::new(), opened, grounds, "an environment");
    table(&stack).write(&opened, &BreakerState::new()).await.unwrap();
    let page = "/admin/breakers/primary";
    let mut viewer = stack.signed_in(stack.viewer()).await;
    let board = viewer.get("/admin").await;
    for part in
        [page, "<strong class=\"bad\">open</strong> (failing) since ", "<meter min=\"0\" max=\"100\" value=\"0\""]
    {
        assert!(board.text().contains(part), "{part}: {board:?}");
    }
    let shown = viewer.get(page).await;
    assert_page(&shown, "");
    for part in ["Probed at", "<td>failing</td><td>7</td><td>6</td>", "an environment", "Only operators"] {
        assert!(shown.text().contains(part), "{part}: {shown:?}");
    }
    assert!(!shown.text().contains("/admin/breakers/primary/"), "{shown:?}");

    let mut admin = stack.signed_in(stack.admin()).await;
    let shown = admin.get(page).await;
    assert!(shown.text().contains("/primary/force") && !shown.text().contains("/primary/release"), "{shown:?}");
    let token = tests::token_of(&shown);
    let pinned = [("csrf", token.as_str()), ("share", "25"), ("minutes", "120"), ("reason", "<b>")];
    let answer = admin.post(&format!("{page}/pin"), &pinned).await;
    let location = stack.url(page).replace(&stack.origin(), "");
    assert_eq!((answer.status, answer.header("location")), (303, location.as_str()), "{answer:?}");
    let shown = admin.get(page).await;
    assert!(shown.text().contains("/primary/release") && shown.text().contains("25.0 %"), "{shown:?}");
    assert!(shown.text().contains(stack.admin().0), "{shown:?}");
    assert_eq!(admin.post(&format!("{page}/release"), &[("csrf", &token)]).await.status, 303);
    assert!(!admin.get(page).await.text().contains("/primary/release"));
}
