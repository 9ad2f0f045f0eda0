//! Output of the functions: their log lines, and all rows of all tables.

use serde_json::{Value, json};

use crate::{Stack, wait_for};

impl Stack {
    /// Returns the lines that `function` has logged so far, as text.
    pub fn log(&self, function: &str) -> Vec<String> {
        let file = self.state().join("logs").join(format!("{function}.log"));
        let text = std::fs::read_to_string(&file).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
        text.lines().map(str::to_owned).collect()
    }

    /// Returns the lines that `function` has logged so far, parsed.
    pub fn log_lines(&self, function: &str) -> Vec<Value> {
        let parse = |line: &String| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"));
        self.log(function).iter().map(parse).collect()
    }

    /// Returns the wide events of `function` so far.
    pub fn wide_events(&self, function: &str) -> Vec<Value> {
        self.log_lines(function).into_iter().filter(|line| line["_aws"].is_object()).collect()
    }

    /// Waits for the wide event of `function` about the request `id` and returns it.
    pub async fn wide_event(&self, function: &str, id: &str) -> Value {
        wait_for(async || self.wide_events(function).into_iter().find(|event| event["request.id"] == id)).await
    }

    /// Returns all rows of all tables, one line each.
    pub async fn rows(&self) -> Vec<String> {
        let dynamodb = self.dynamodb();
        let tables = dynamodb.list_tables().send().await.expect("DynamoDB").table_names.unwrap_or_default();
        let mut rows = Vec::new();
        for table in tables {
            let mut pages = dynamodb.scan().table_name(&table).into_paginator().items().send();
            while let Some(row) = pages.next().await {
                let row: Value = serde_dynamo::from_item(row.expect("a row")).expect("a row");
                rows.push(json!({ &table: row }).to_string());
            }
        }
        rows
    }
}
