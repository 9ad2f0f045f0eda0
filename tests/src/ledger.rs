//! Records of the ledger and calls served by a stand-in, for comparison.

use std::time::Duration;

use aws_sdk_dynamodb::types::AttributeValue;
use levee::metering::{Figures, Ledger, Months, Record, Tier, Usage};
use serde_json::{Value, json};

use crate::Stack;

/// Number of calls that a stand-in shows at a time.
const PAGE: usize = 1_000;

/// A call that a stand-in has answered at least in part.
#[derive(Debug, Clone)]
pub struct Served {
    /// Value of `metadata.user_id` in the request, empty if it was absent.
    pub user: String,
    /// `completed`, `failed` or `interrupted`.
    pub end: String,
    /// Usage of the part that was sent.
    pub figures: Figures,
}

/// Converts a usage object of the Messages API to the ledger's names.
pub fn figures(usage: &Value) -> Figures {
    let figure = |pointer: &str| usage.pointer(pointer).and_then(Value::as_u64).unwrap_or_default();
    let usage = Usage {
        input: figure("/input_tokens"),
        output: figure("/output_tokens"),
        cache_read: figure("/cache_read_input_tokens"),
        cache_write_5m: figure("/cache_creation/ephemeral_5m_input_tokens"),
        cache_write_1h: figure("/cache_creation/ephemeral_1h_input_tokens"),
        web_searches: figure("/server_tool_use/web_search_requests"),
        web_fetches: figure("/server_tool_use/web_fetch_requests"),
    };
    Figures { usage, tier: Tier::Standard, ..Figures::default() }
}

impl Stack {
    /// Returns the ledger in the stack's table.
    pub fn ledger(&self) -> Ledger {
        Ledger::new(self.dynamodb(), "Usage", Duration::from_secs(30))
    }

    /// Returns the sums in the stack's table.
    pub fn months(&self) -> Months {
        Months::new(self.dynamodb(), "Usage")
    }

    /// Returns the records of all attempts, unordered.
    pub async fn records(&self) -> Vec<Record> {
        let pages = self
            .dynamodb()
            .scan()
            .table_name("Usage")
            .filter_expression("begins_with(pk, :call)")
            .expression_attribute_values(":call", AttributeValue::S("CALL#".to_owned()))
            .consistent_read(true)
            .into_paginator()
            .items()
            .send();
        let items = pages.collect::<Result<Vec<_>, _>>().await.expect("DynamoDB");
        serde_dynamo::from_items(items).expect("records")
    }

    /// Returns all calls for a message that have ended at the stand-in `name`, in the order of their ends.
    pub async fn served(&self, name: &str) -> Vec<Served> {
        let (mut served, mut after) = (Vec::new(), json!(0));
        loop {
            let path = format!("/providers/{name}/served?after={after}");
            let answer = self.control("GET", &path, Value::Null).await.json();
            let page = answer["served"].as_array().unwrap_or_else(|| panic!("no calls: {answer}"));
            served.extend(page.iter().map(|call| Served {
                user: call["user"].as_str().unwrap_or_default().to_owned(),
                end: call["end"].as_str().expect("an end").to_owned(),
                figures: figures(&call["usage"]),
            }));
            match page.last() {
                Some(last) if page.len() == PAGE => after = last["number"].clone(),
                _ => return served,
            }
        }
    }
}
