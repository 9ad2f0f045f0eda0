//! Decisions about providers in DynamoDB, with their history.
//!
//! `BREAKER#<provider>` / `STATE` is the decision that holds. It is replaced by a transaction on the condition that
//! it is the decision that the new one was made from. The same transaction writes `HISTORY#<generation>`. So of two
//! environments that decide at the same time one wins, the other gets the winner's decision, and the history has each
//! decision once. History rows expire after 14 days. The first decision about a provider also writes `BREAKERS` /
//! `<provider>`, from which providers are listed.

use std::collections::HashMap;
use std::time::Duration;

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::operation::transact_write_items::TransactWriteItemsError;
use aws_sdk_dynamodb::types::{
    AttributeValue, CancellationReason, Put, ReturnValuesOnConditionCheckFailure, TransactWriteItem,
};
use serde::{Deserialize, Serialize};

use super::state::BreakerState;
use super::transition::Transition;
use crate::stores::dynamodb::describe;

/// Time for which a history row is kept.
pub const HISTORY_KEPT: Duration = Duration::from_secs(14 * 24 * 3600);
const STATE: &str = "STATE";
const HISTORY: &str = "HISTORY#";
const LIST: &str = "BREAKERS";

type Item = HashMap<String, AttributeValue>;

/// The table cannot be read or written; the text gives the cause.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct BreakersTableError(String);

/// Outcome of writing a decision.
#[derive(Debug, Clone, PartialEq)]
pub enum Wrote {
    /// The decision holds.
    Now,
    /// Another decision holds, usually because it was written first. After a conflict with a write that then failed
    /// it may be the one that the caller built on.
    Lost(Box<BreakerState>),
}

#[derive(Serialize, Deserialize)]
struct Row {
    pk: String,
    sk: String,
    generation: u64,
    state: BreakerState,
}

/// DynamoDB table of decisions about providers.
#[derive(Debug, Clone)]
pub struct BreakersTable {
    client: Client,
    table: String,
}

impl BreakersTable {
    /// Creates a client of the table named `table`.
    pub fn new(client: Client, table: impl Into<String>) -> Self {
        Self { client, table: table.into() }
    }

    /// Returns the last decision about `provider`, or [`BreakerState::new`] if there is none.
    ///
    /// # Errors
    /// Returns [`BreakersTableError`] if it cannot be read.
    pub async fn read(&self, provider: &str) -> Result<BreakerState, BreakersTableError> {
        let get = self.client.get_item().table_name(&self.table).set_key(Some(key(provider, STATE)));
        let answer = get.consistent_read(true).send().await.map_err(|error| BreakersTableError(describe(&error)))?;
        answer.item.map_or(Ok(BreakerState::new()), state_of)
    }

    /// Writes a decision that replaces `from`. The condition is more than the generation: decisions made in Redis
    /// while this table could not be written use the same generations.
    ///
    /// # Errors
    /// Returns [`BreakersTableError`] if it cannot be written, or if the outcome is not known.
    pub async fn write(&self, transition: &Transition, from: &BreakerState) -> Result<Wrote, BreakersTableError> {
        // Replace the decision, add it to the history, and list the provider if it is new.
        let mut items = vec![self.state(transition, from)?, self.history_row(transition)?];
        if from.generation == 0 {
            items.push(self.list_row(&transition.provider)?);
        }
        let result = self.client.transact_write_items().set_transact_items(Some(items)).send().await;
        let Err(error) = result else { return Ok(Wrote::Now) };
        let failed = || BreakersTableError(describe(&error));
        let Some(TransactWriteItemsError::TransactionCanceledException(canceled)) = error.as_service_error() else {
            return Err(failed());
        };
        // The condition failed: return the decision that holds instead.
        let reasons = canceled.cancellation_reasons();
        let first = reasons.first();
        if first.and_then(CancellationReason::code) == Some("ConditionalCheckFailed") {
            let found = first.and_then(CancellationReason::item).cloned();
            let found = found.map_or(Ok(BreakerState::new()), state_of)?;
            // If the answer to a first attempt was lost, the decision found is the one to write.
            return Ok(if found == transition.to { Wrote::Now } else { Wrote::Lost(Box::new(found)) });
        }
        // Another write is in progress: read its outcome.
        if reasons.iter().any(|reason| reason.code() == Some("TransactionConflict")) {
            return Ok(Wrote::Lost(Box::new(self.read(&transition.provider).await?)));
        }
        Err(failed())
    }

    /// Returns the latest decisions about `provider` before the generation `before`, newest first, at most `limit`.
    ///
    /// # Errors
    /// Returns [`BreakersTableError`] if they cannot be read.
    pub async fn history(
        &self,
        provider: &str,
        before: Option<u64>,
        limit: u16,
    ) -> Result<Vec<Transition>, BreakersTableError> {
        let last = before.unwrap_or(u64::MAX).saturating_sub(1);
        let query = self.client.query().table_name(&self.table).scan_index_forward(false).limit(limit.into());
        let query = query
            .key_condition_expression("#pk = :pk AND #sk BETWEEN :first AND :last")
            .expression_attribute_names("#pk", "pk")
            .expression_attribute_names("#sk", "sk")
            .expression_attribute_values(":pk", AttributeValue::S(partition(provider)))
            .expression_attribute_values(":first", AttributeValue::S(HISTORY.to_owned()))
            .expression_attribute_values(":last", AttributeValue::S(history_key(last)));
        let answer = query.send().await.map_err(|error| BreakersTableError(describe(&error)))?;
        let rows = answer.items.unwrap_or_default();
        rows.into_iter().map(serde_dynamo::from_item).collect::<Result<_, _>>().map_err(unreadable)
    }

    /// Returns the names of all providers that any decision was made about.
    ///
    /// # Errors
    /// Returns [`BreakersTableError`] if they cannot be read.
    pub async fn providers(&self) -> Result<Vec<String>, BreakersTableError> {
        let query = self.client.query().table_name(&self.table).key_condition_expression("#pk = :pk");
        let query = query
            .expression_attribute_names("#pk", "pk")
            .expression_attribute_values(":pk", AttributeValue::S(LIST.to_owned()));
        let mut rows = query.into_paginator().items().send();
        let mut providers = Vec::new();
        while let Some(row) = rows.next().await {
            let mut row = row.map_err(|error| BreakersTableError(describe(&error)))?;
            if let Some(AttributeValue::S(provider)) = row.remove("sk") {
                providers.push(provider);
            }
        }
        Ok(providers)
    }

    fn state(&self, transition: &Transition, from: &BreakerState) -> Result<TransactWriteItem, BreakersTableError> {
        let row = Row {
            pk: partition(&transition.provider),
            sk: STATE.to_owned(),
            generation: transition.to.generation,
            state: transition.to.clone(),
        };
        let put = Put::builder()
            .table_name(&self.table)
            .set_item(Some(serde_dynamo::to_item(row).map_err(unreadable)?))
            .expression_attribute_names("#generation", "generation")
            .expression_attribute_values(":after", AttributeValue::N(from.generation.to_string()))
            .return_values_on_condition_check_failure(ReturnValuesOnConditionCheckFailure::AllOld);
        // A generation may stand for two decisions, so the condition includes the time of the decision.
        transact(match from.generation {
            0 => put.condition_expression("attribute_not_exists(#generation) OR #generation = :after"),
            _ => put
                .condition_expression("#generation = :after AND #state.#since = :since")
                .expression_attribute_names("#state", "state")
                .expression_attribute_names("#since", "since")
                .expression_attribute_values(":since", AttributeValue::N(from.since.as_millis().to_string())),
        })
    }

    fn history_row(&self, transition: &Transition) -> Result<TransactWriteItem, BreakersTableError> {
        let mut item: Item = serde_dynamo::to_item(transition).map_err(unreadable)?;
        item.extend(key(&transition.provider, &history_key(transition.to.generation)));
        let expires_at = transition.at.plus(HISTORY_KEPT).as_secs();
        item.insert("expires_at".to_owned(), AttributeValue::N(expires_at.to_string()));
        transact(Put::builder().table_name(&self.table).set_item(Some(item)))
    }

    fn list_row(&self, provider: &str) -> Result<TransactWriteItem, BreakersTableError> {
        let item = place(LIST.to_owned(), provider);
        transact(Put::builder().table_name(&self.table).set_item(Some(item)))
    }
}

fn transact(put: aws_sdk_dynamodb::types::builders::PutBuilder) -> Result<TransactWriteItem, BreakersTableError> {
    let put = put.build().map_err(|error| BreakersTableError(error.to_string()))?;
    Ok(TransactWriteItem::builder().put(put).build())
}

fn state_of(item: Item) -> Result<BreakerState, BreakersTableError> {
    serde_dynamo::from_item(item).map(|row: Row| row.state).map_err(unreadable)
}

fn unreadable(error: serde_dynamo::Error) -> BreakersTableError {
    BreakersTableError(format!("a row cannot be understood: {error}"))
}

fn partition(provider: &str) -> String {
    format!("BREAKER#{provider}")
}

fn history_key(generation: u64) -> String {
    format!("{HISTORY}{generation:020}")
}

fn key(provider: &str, sort: &str) -> Item {
    place(partition(provider), sort)
}

fn place(partition: String, sort: &str) -> Item {
    let text = AttributeValue::S;
    [("pk", text(partition)), ("sk", text(sort.to_owned()))].map(|(name, value)| (name.to_owned(), value)).into()
}
