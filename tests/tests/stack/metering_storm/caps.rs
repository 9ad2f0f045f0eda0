//! Effect of the storm on the accounts' caps: each alert is raised once, and the cached figures agree with the sums
//! again.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use aws_sdk_dynamodb::types::AttributeValue;
use levee::metering::cap::{TOLD_PERCENTS, percent};
use levee::metering::{Counts, Month, TokenState};
use tests::{Stack, messages, wait_for};

use super::plan::Key;

/// Cap of every account, in tokens. 80 % of it are reached during the Redis outage, and 150 % only by some accounts.
pub const CAP: u64 = 3_400;

/// Time before the end of a month at which a storm has to be over.
const BEFORE_THE_MONTHS_END: Duration = Duration::from_secs(3 * 3600);

/// Moves the clock into the next month if the current one would end during the storm.
pub async fn within_a_month(stack: &Stack) {
    if stack.now().until(Month::from_timestamp(stack.now()).0.ends_at()) < BEFORE_THE_MONTHS_END {
        stack.advance(BEFORE_THE_MONTHS_END.as_secs()).await;
    }
}

/// Compares the alerts with the sums, and then, with one more call of each account, the cached figures.
pub async fn compare(stack: &Stack, keys: &[Key]) {
    let month = Month::from_timestamp(stack.now()).0;
    let callers: BTreeMap<&str, &str> = keys.iter().map(|key| (key.caller.0.as_str(), key.text.as_str())).collect();
    let accounts: Vec<&str> = callers.keys().copied().collect();
    let reached = async || {
        let totals = stack.months().totals(&accounts, month).await.unwrap();
        let used = |account: &str| Counts::default().counted(&totals[account]);
        accounts.iter().map(|account| ((*account).to_owned(), used(account))).collect::<BTreeMap<_, _>>()
    };
    let used = reached().await;
    let told = told(stack).await;
    assert!(!told.is_empty(), "the storm told nobody: {used:?}");
    assert!(told.is_subset(&worth_telling(&used, month)), "{told:?} of {used:?}");

    forget(stack).await;
    for (account, key) in callers {
        let answer = stack.call_with_key(key, "/v1/messages", &messages("And now?")).await;
        assert_eq!(answer.status, 200, "{answer:?}");
        let state = TokenState::from_usage(used[account], CAP).to_string();
        assert_eq!(answer.header("x-levee-token-state"), state, "{account}: {}", used[account]);
    }
    // The next call raises the alerts of proxies that were killed before they could.
    let expected = worth_telling(&reached().await, month);
    wait_for(async || (self::told(stack).await == expected).then_some(())).await;
}

/// Returns the keys of the alerts that this usage has to raise.
fn worth_telling(used: &BTreeMap<String, u64>, month: Month) -> BTreeSet<String> {
    let alerts = |(account, used): (&String, &u64)| {
        let (account, reached) = (account.clone(), percent(*used, CAP));
        let shares = TOLD_PERCENTS.into_iter().filter(move |share| *share <= reached);
        shares.map(move |share| format!("tokens/{account}/{month}/{share}"))
    };
    used.iter().flat_map(alerts).collect()
}

/// Returns the keys of the alerts about caps, each of which has to exist once.
async fn told(stack: &Stack) -> BTreeSet<String> {
    let query = stack.dynamodb().scan().table_name("Alerts").consistent_read(true);
    let query = query.filter_expression("begins_with(pk, :alerts) AND begins_with(#key, :tokens)");
    let query = query.expression_attribute_names("#key", "key");
    let query = query.expression_attribute_values(":alerts", AttributeValue::S("ALERTS".to_owned()));
    let query = query.expression_attribute_values(":tokens", AttributeValue::S("tokens/".to_owned()));
    let rows = query.into_paginator().items().send().collect::<Result<Vec<_>, _>>().await.unwrap();
    let mut told = BTreeSet::new();
    for row in rows {
        let key = row["key"].as_s().unwrap();
        assert!(told.insert(key.clone()), "told twice: {key}");
    }
    told
}

/// Deletes all cached figures.
async fn forget(stack: &Stack) {
    let redis = stack.redis();
    let keys = async |mut connection| redis::cmd("KEYS").arg("*:tokens:*").query_async(&mut connection).await;
    let keys: Vec<String> = redis.run(keys).await.unwrap();
    assert!(!keys.is_empty(), "nothing was at hand");
    let delete = async |mut connection| redis::cmd("DEL").arg(&keys).query_async::<()>(&mut connection).await;
    redis.run(delete).await.unwrap();
}
