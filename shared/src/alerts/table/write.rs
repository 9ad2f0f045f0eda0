//! Transactions and retried writes on the alerts table.
//!
//! If two writes to one item meet, DynamoDB cancels one of them. The SDK does not retry that, so this module does.

use std::time::Duration;

use aws_sdk_dynamodb::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_dynamodb::operation::transact_write_items::TransactWriteItemsError;
use aws_sdk_dynamodb::types::{CancellationReason, Delete, Put, TransactWriteItem, Update};

use super::super::budget::Budget;
use super::{ALERTS, Alerts, AlertsError, BUDGET, Item, MAY_WAIT_SECS, WAITING, entry, entry_key, number};
use crate::clock::Timestamp;
use crate::stores::dynamodb::{describe, passes, pause};

/// Number of attempts of a write that conflicts with others.
const ATTEMPTS: u32 = 8;
/// Longest pause before the second attempt. It doubles before each later one.
const FIRST_PAUSE: Duration = Duration::from_millis(10);
/// Number of alerts that one transaction marks as sent: two items each, and the budget ("up to 100":
/// API_TransactWriteItems.html).
const MARKED_AT_ONCE: usize = 40;
/// Error code of a single write that conflicts with a transaction.
const CONFLICT: &str = "TransactionConflictException";

/// Reason for a transaction that was not written.
pub(super) enum Unwritten {
    /// An item's condition does not hold. Holds the stored item, if the write asked for it.
    Condition(Option<Item>),
    /// Any other failure, as text.
    Failed(String),
}

impl Alerts {
    /// Writes all of `items` or none. Retries conflicts with other writes.
    pub(super) async fn transact(&self, items: Vec<TransactWriteItem>) -> Result<(), Unwritten> {
        let mut attempt = 1;
        loop {
            let result = self.client.transact_write_items().set_transact_items(Some(items.clone())).send().await;
            let Err(error) = result else { return Ok(()) };
            let reasons = reasons(&error);
            // A failed condition is final.
            let refused = |reason: &&CancellationReason| reason.code() == Some("ConditionalCheckFailed");
            if let Some(refused) = reasons.iter().find(refused) {
                return Err(Unwritten::Condition(refused.item().cloned()));
            }
            // Retry only conflicts and throttling.
            if attempt == ATTEMPTS || !reasons.iter().filter_map(CancellationReason::code).any(passes) {
                return Err(Unwritten::Failed(describe(&error)));
            }
            pause(attempt, FIRST_PAUSE).await;
            attempt += 1;
        }
    }

    /// Counts a repeat of the alert at `position`. Does nothing if the alert no longer exists.
    pub(super) async fn count_repeat(&self, position: &str) -> Result<(), AlertsError> {
        let mut attempt = 1;
        loop {
            let result = self
                .client
                .update_item()
                .table_name(&self.name)
                .set_key(Some(entry_key(ALERTS, position)))
                .update_expression("ADD #repeats :one")
                .condition_expression("attribute_exists(#pk)")
                .expression_attribute_names("#pk", "pk")
                .expression_attribute_names("#repeats", "repeats")
                .expression_attribute_values(":one", number(1))
                .send()
                .await;
            let Err(error) = result else { return Ok(()) };
            match error.code() {
                Some("ConditionalCheckFailedException") => return Ok(()),
                Some(CONFLICT) if attempt < ATTEMPTS => pause(attempt, FIRST_PAUSE).await,
                _ => return Err(AlertsError(describe(&error))),
            }
            attempt += 1;
        }
    }

    /// Marks the alerts at `positions` as sent. The transaction with the last of them changes the budget from
    /// `from` to `to`.
    pub(in super::super) async fn mark_sent(
        &self,
        positions: &[String],
        (from, to): (&Budget, &Budget),
        now: Timestamp,
    ) -> Result<(), AlertsError> {
        let mut chunks = positions.chunks(MARKED_AT_ONCE).peekable();
        while let Some(positions) = chunks.next() {
            let mut items = Vec::new();
            // Remove each alert from the outbox, if no other delivery has, and set its time of sending.
            for position in positions {
                let delete = Delete::builder().table_name(&self.name).set_key(Some(entry_key(WAITING, position)));
                let delete =
                    delete.condition_expression("attribute_exists(#pk)").expression_attribute_names("#pk", "pk");
                items.push(TransactWriteItem::builder().delete(delete.build()?).build());
                items.push(TransactWriteItem::builder().update(self.sent(position, now)?).build());
            }
            if chunks.peek().is_none() {
                items.push(TransactWriteItem::builder().put(self.put_budget(from, to, now)?).build());
            }
            self.transact(items).await.map_err(another_delivery)?;
        }
        Ok(())
    }

    /// Replaces the budget `from` by `to`, unless another delivery has changed it.
    pub(in super::super) async fn set_budget(
        &self,
        from: &Budget,
        to: &Budget,
        now: Timestamp,
    ) -> Result<(), AlertsError> {
        let put = TransactWriteItem::builder().put(self.put_budget(from, to, now)?).build();
        self.transact(vec![put]).await.map_err(another_delivery)
    }

    fn sent(&self, position: &str, now: Timestamp) -> Result<Update, AlertsError> {
        let update = Update::builder()
            .table_name(&self.name)
            .set_key(Some(entry_key(ALERTS, position)))
            .update_expression("SET #sent_at = :now")
            .expression_attribute_names("#sent_at", "sent_at")
            .expression_attribute_values(":now", number(now.as_secs()));
        Ok(update.build()?)
    }

    fn put_budget(&self, from: &Budget, to: &Budget, now: Timestamp) -> Result<Put, AlertsError> {
        let mut item: Item = serde_dynamo::to_item(to).map_err(|error| AlertsError(error.to_string()))?;
        item.extend(entry(BUDGET, BUDGET, now.as_secs() + MAY_WAIT_SECS));
        let put = self
            .put(item)
            .condition_expression("attribute_not_exists(#pk) OR #version = :version")
            .expression_attribute_names("#pk", "pk")
            .expression_attribute_names("#version", "version")
            .expression_attribute_values(":version", number(from.version));
        Ok(put.build()?)
    }
}

fn another_delivery(unwritten: Unwritten) -> AlertsError {
    AlertsError(match unwritten {
        Unwritten::Condition(_) => "another delivery has marked these alerts".to_owned(),
        Unwritten::Failed(cause) => cause,
    })
}

fn reasons<R>(error: &SdkError<TransactWriteItemsError, R>) -> &[CancellationReason] {
    match error.as_service_error() {
        Some(TransactWriteItemsError::TransactionCanceledException(canceled)) => canceled.cancellation_reasons(),
        _ => &[],
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::alerts::Alert;
    use crate::stores::dynamodb::stub::Stub;

    const DONE: (u16, &str) = (200, "{}");
    const CONFLICT: (u16, &str) = (
        400,
        r#"{"__type":"com.amazonaws.dynamodb.v20120810#TransactionCanceledException","message":"Transaction cancelled",
        "CancellationReasons":[{"Code":"None"},{"Code":"TransactionConflict"},{"Code":"None"}]}"#,
    );
    const COOLING: (u16, &str) = (
        400,
        r#"{"__type":"com.amazonaws.dynamodb.v20120810#TransactionCanceledException","message":"Transaction cancelled",
        "CancellationReasons":[{"Code":"ConditionalCheckFailed","Item":{"position":{"S":"1#a"}}},{"Code":"None"}]}"#,
    );
    const UPDATE_CONFLICT: (u16, &str) = (
        400,
        r#"{"__type":"com.amazonaws.dynamodb.v20120810#TransactionConflictException","message":"Transaction is ongoing"}"#,
    );
    const GONE: (u16, &str) = (
        400,
        r#"{"__type":"com.amazonaws.dynamodb.v20120810#ConditionalCheckFailedException","message":"The conditional request failed"}"#,
    );
    const WRONG: (u16, &str) =
        (400, r#"{"__type":"com.amazon.coral.validate#ValidationException","message":"no such table"}"#);

    /// Raises an alert against `answers`. Returns the result and the number of calls made.
    async fn raise(answers: &'static [(u16, &'static str)]) -> (Result<bool, String>, usize) {
        let stub = Stub::start(answers).await;
        let alert = Alert {
            key: "a".to_owned(),
            title: "A".to_owned(),
            detail: String::new(),
            cool_down: Duration::from_secs(3600),
        };
        let result = Alerts::new(stub.client.clone(), "alerts").raise(&alert, Timestamp::from_secs(1)).await;
        (result.map_err(|error| error.to_string()), stub.answered())
    }

    #[tokio::test]
    async fn a_write_that_met_another_one_is_tried_again() {
        assert_eq!(raise(&[CONFLICT, CONFLICT, DONE]).await, (Ok(true), 3));
        assert_eq!(raise(&[CONFLICT, COOLING, UPDATE_CONFLICT, DONE]).await, (Ok(false), 4));
    }

    #[tokio::test]
    async fn a_write_that_meets_others_for_ever_is_given_up_in_the_end() {
        let (result, tries) = raise(&[CONFLICT]).await;
        assert!(result.unwrap_err().contains("TransactionCanceled"));
        assert_eq!(tries, ATTEMPTS as usize);
    }

    #[tokio::test]
    async fn a_repeat_of_an_alert_that_is_gone_is_not_counted() {
        assert_eq!(raise(&[COOLING, GONE]).await, (Ok(false), 2));
    }

    #[tokio::test]
    async fn a_write_that_can_never_succeed_is_not_repeated() {
        let error = "the alerts table: ValidationException: no such table".to_owned();
        assert_eq!(raise(&[WRONG]).await, (Err(error), 1));
    }
}
