//! Alerts about a cap that is reached: once per month, account and share.

use std::collections::BTreeMap;

use futures_util::future::join_all;
use levee::accounts::CapMode;
use serde_json::{Value, json};
use tests::{Stack, wait_for};

use super::{LIMIT, builder, call, capped, month, set_cap, uses};

/// Returns the rows of `partition` in the alerts table.
pub async fn rows(stack: &Stack, partition: &str) -> Vec<Value> {
    let rows = stack.rows().await.into_iter().map(|row| serde_json::from_str::<Value>(&row).unwrap());
    let rows = rows.map(|row| row["Alerts"].clone());
    rows.filter(|row| row["pk"].as_str().is_some_and(|pk| pk.starts_with(partition))).collect()
}

/// Waits until there are `number` alerts and returns them. A late alert may be raised after the answer to its call.
pub async fn alerts(stack: &Stack, number: usize) -> Vec<Value> {
    wait_for(async || Some(rows(stack, "ALERTS").await).filter(|alerts| alerts.len() >= number)).await
}

pub fn text<'a>(row: &'a Value, attribute: &str) -> &'a str {
    row[attribute].as_str().unwrap_or_default()
}

/// Crosses all shares with many concurrent calls to eight environments.
async fn cross_at_once(faults: Value) -> Stack {
    let stack = builder().environments("ai-proxy=8").start().await;
    uses(&stack, 100).await;
    set_cap(&stack, LIMIT, CapMode::Warn).await;
    assert_eq!(stack.control("PUT", "/dynamodb/faults", faults).await.status, 200);
    for _ in 0..2 {
        let answers = join_all((0..16).map(|place| call(&stack, place % 2 == 0))).await;
        assert!(answers.iter().all(|answer| answer.status == 200));
    }
    let month = month(&stack);
    let expected = [80, 100, 150].map(|share| format!("tokens/acme/{month}/{share}"));
    let mut raised: Vec<String> = alerts(&stack, 3).await.iter().map(|row| text(row, "key").to_owned()).collect();
    raised.sort_by_key(|key| key.rsplit('/').next().unwrap().parse::<u64>().unwrap());
    assert_eq!(raised, expected);
    assert_eq!(rows(&stack, "WAITING").await.len(), 3);
    let cool_down: BTreeMap<String, u64> = rows(&stack, "KEY#tokens/")
        .await
        .iter()
        .map(|row| (text(row, "pk").to_owned(), row["cools_until"].as_u64().unwrap()))
        .collect();
    assert_eq!(cool_down.len(), 3);
    assert!(cool_down.values().all(|until| *until > month.ends_at().as_millis()), "{cool_down:?}");
    stack
}

#[tokio::test]
async fn of_many_calls_that_cross_it_at_once_one_tells_of_each_share() {
    let stack = cross_at_once(json!({})).await;
    assert!(!stack.log("ai-proxy").iter().any(|line| line.contains("tokens.untold")));
}

#[tokio::test]
async fn where_transactions_meet_and_answers_are_lost_each_share_is_told_once_nonetheless() {
    cross_at_once(json!({ "conflict_ratio": 0.3, "lost_ratio": 0.1, "seed": 3 })).await;
}

#[tokio::test]
async fn an_alert_says_what_was_used_and_what_becomes_of_calls() {
    let stack = capped(CapMode::Block).await;
    uses(&stack, 1_600).await;
    assert_eq!(call(&stack, false).await.status, 200);
    let alerts = alerts(&stack, 3).await;
    assert_eq!(alerts.len(), 3, "one call that jumps over all shares tells of each");
    let first = alerts.iter().find(|row| text(row, "key").ends_with("/80")).unwrap();
    let month = month(&stack);
    assert_eq!(text(first, "title"), format!("acme has used 80 % of its tokens of {month}"));
    let detail = text(first, "detail");
    for part in [
        format!("The account acme has used 1,600 of the 1,000 tokens of {month} that its cap allows (160 %)."),
        format!("Its AI calls are refused until {}.", month.ends_at().to_rfc3339()),
        "What used them: levee usage show acme\nAnother cap: levee cap set acme --tokens N".to_owned(),
    ] {
        assert!(detail.contains(&part), "{part}\nis not in\n{detail}");
    }
}

#[tokio::test]
async fn a_call_that_is_refused_tells_where_nobody_did() {
    let stack = builder().start().await;
    uses(&stack, 1_000).await;
    assert_eq!(call(&stack, false).await.status, 200);
    assert_eq!(rows(&stack, "ALERTS").await.len(), 0);
    set_cap(&stack, LIMIT, CapMode::Block).await;
    assert_eq!(call(&stack, false).await.status, 429);
    assert_eq!(alerts(&stack, 2).await.len(), 2);
}
