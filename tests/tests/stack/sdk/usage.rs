//! Usage reported to programs, compared with the provider's and the account's.

use std::collections::{BTreeMap, BTreeSet};

use levee::metering::{Figures, Record, RecordState};
use rstest::rstest;
use serde_json::{Value, json};
use tests::Language::{self, Python, TypeScript};
use tests::{Sdk, Stack, figures};

/// Returns the ledger's records by the ids of their calls, without the known ones.
async fn recorded(stack: &Stack, known: &BTreeSet<String>) -> BTreeMap<String, Record> {
    let records = stack.records().await.into_iter().map(|record| (record.call.id.clone(), record));
    records.filter(|(id, _)| !known.contains(id)).collect()
}

/// Returns figures in an order that is independent of the order of the calls.
fn sorted(figures: impl Iterator<Item = Figures>) -> Vec<String> {
    let mut sorted: Vec<_> = figures.map(|figures| format!("{figures:?}")).collect();
    sorted.sort();
    sorted
}

#[rstest]
#[tokio::test]
async fn the_usage_that_the_sdk_reports_is_the_providers_and_the_accounts(
    #[values(Python, TypeScript)] language: Language,
) {
    let stack = Stack::builder().start().await;
    let mut sdk = Sdk::start(language).await;
    let before = stack.month(stack.account_id()).await;

    let mut messages = Vec::new();
    let mut known = recorded(&stack, &BTreeSet::new()).await.into_keys().collect::<BTreeSet<_>>();
    for scenario in [
        "create",
        "cached",
        "stream_text",
        "stream_tool",
        "stream_thinking",
        "billed",
        "stream_billed",
        "beta",
        "at_once",
    ] {
        let outcome = sdk.run(scenario, &stack.target()).await;
        let told = outcome["messages"].as_array().cloned().unwrap_or_else(|| vec![outcome["message"].clone()]);
        // Compare call by call, before the sums.
        let records = recorded(&stack, &known).await;
        assert!(records.values().all(|record| record.state == RecordState::Closed && !record.estimated), "{records:?}");
        let in_ledger = records.values().map(|record| record.figures);
        let in_messages = told.iter().map(|message| figures(&message["usage"]));
        assert_eq!(sorted(in_ledger), sorted(in_messages), "{scenario}");
        if scenario.ends_with("billed") {
            let used = records.values().next().unwrap().figures.usage;
            assert!(used.cache_read > 0 && used.cache_write_5m > 0 && used.cache_write_1h > 0, "{used:?}");
            assert_eq!((used.web_searches, used.web_fetches), (1, 1));
            assert!(told[0]["usage"]["output_tokens_details"]["thinking_tokens"].as_u64() > Some(0), "{outcome}");
        }
        known.extend(records.into_keys());
        messages.extend(told);
    }
    let reported = |pointer: &str| -> u64 {
        messages.iter().map(|message| message["usage"].pointer(pointer).and_then(Value::as_u64).unwrap()).sum()
    };
    let reported = json!({
        "input_tokens": reported("/input_tokens"),
        "output_tokens": reported("/output_tokens"),
        "cache_read_input_tokens": reported("/cache_read_input_tokens"),
        "cache_creation_input_tokens": reported("/cache_creation_input_tokens"),
        "ephemeral_5m_input_tokens": reported("/cache_creation/ephemeral_5m_input_tokens"),
        "ephemeral_1h_input_tokens": reported("/cache_creation/ephemeral_1h_input_tokens"),
    });

    assert_eq!(messages.len(), 14);
    assert!(reported.as_object().unwrap().values().all(|tokens| tokens.as_u64().unwrap() > 0), "{reported}");
    assert_eq!(reported, stack.provider("primary").await["usage"]);
    let after = stack.month(stack.account_id()).await;
    assert_eq!(after.since(&before), (14, reported));
}
