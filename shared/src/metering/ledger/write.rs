//! Writes of records, together with what they change in the sums.

use std::collections::HashMap;

use aws_sdk_dynamodb::error::{BuildError, ProvideErrorMetadata};
use aws_sdk_dynamodb::operation::put_item::PutItemError;
use aws_sdk_dynamodb::operation::transact_write_items::TransactWriteItemsError;
use aws_sdk_dynamodb::operation::update_item::UpdateItemError;
use aws_sdk_dynamodb::types::{
    AttributeValue, CancellationReason, Put, ReturnValuesOnConditionCheckFailure, TransactWriteItem,
};
use serde::Serialize;

use super::{Ledger, LedgerError, SHARDS, Written};
use crate::metering::call::{Call, Record, RecordState, step};
use crate::metering::usage::{Figures, Part};
use crate::stores::dynamodb::{describe, passes};

/// Retention of records from the start of their calls, seconds. During it, a repeated write counts nothing twice.
pub(in crate::metering) const KEPT_SECS: u64 = 90 * 24 * 3600;

/// Codes of transient errors of a whole request. The SDK retries them only once.
const PASSING_CODES: [&str; 4] =
    ["ThrottlingException", "ProvisionedThroughputExceededException", "RequestLimitExceeded", "InternalServerError"];

pub(super) type Item = HashMap<String, AttributeValue>;

/// Error of one attempt to write.
pub(super) enum WriteFailure {
    /// The table holds another record than expected, or none.
    Another(Box<Option<Record>>),
    /// A transient error; another attempt may succeed.
    MayPass(String),
    /// An error that another attempt cannot help.
    Final(String),
}

impl From<BuildError> for WriteFailure {
    fn from(error: BuildError) -> Self {
        Self::Final(error.to_string())
    }
}

impl Ledger {
    /// Writes an open record, unless the attempt has a record already.
    pub(super) async fn put_open(&self, record: &Record) -> Result<Written, LedgerError> {
        let result = self
            .client
            .put_item()
            .table_name(&self.table)
            .set_item(Some(item(record).map_err(LedgerError)?))
            .condition_expression("attribute_not_exists(#pk)")
            .expression_attribute_names("#pk", "pk")
            .send()
            .await;
        match result {
            Ok(_) => Ok(Written::Now),
            Err(error) => match error.as_service_error() {
                Some(PutItemError::ConditionalCheckFailedException(_)) => Ok(Written::Before),
                _ => Err(LedgerError(describe(&error))),
            },
        }
    }

    /// Updates the usage of an open record. Does nothing if the record is no longer open.
    pub(super) async fn update_open(&self, record: &Record) -> Result<(), LedgerError> {
        #[derive(Serialize)]
        struct Known<'a> {
            #[serde(flatten)]
            figures: &'a Figures,
            estimated: bool,
            parts: &'a [Part],
        }
        let Record { call, figures, estimated, parts, .. } = record;
        let known = Known { figures, estimated: *estimated, parts };
        let known: Item = serde_dynamo::to_item(known).map_err(|error| LedgerError(error.to_string()))?;
        let mut update = self
            .client
            .update_item()
            .table_name(&self.table)
            .set_key(Some(key(call)))
            .condition_expression("#state = :open")
            .expression_attribute_names("#state", "state")
            .expression_attribute_values(":open", text("open"));
        let mut set = Vec::new();
        for (name, value) in known {
            set.push(format!("#{name} = :{name}"));
            update = update.expression_attribute_names(format!("#{name}"), &name);
            update = update.expression_attribute_values(format!(":{name}"), value);
        }
        match update.update_expression(format!("SET {}", set.join(", "))).send().await {
            Ok(_) => Ok(()),
            Err(error) => match error.as_service_error() {
                Some(UpdateItemError::ConditionalCheckFailedException(_)) => Ok(()),
                _ => Err(LedgerError(describe(&error))),
            },
        }
    }

    /// Writes `record` over `expected` and adds the difference to the sums, in one transaction. If `expected` is
    /// `None`, there must be no record or an open one.
    pub(super) async fn transact(
        &self,
        record: &Record,
        expected: Option<&Record>,
        shard: u8,
    ) -> Result<(), WriteFailure> {
        // Put the record, and add its difference to the lines and to the total in the same transaction.
        let mut items = vec![TransactWriteItem::builder().put(self.put(record, expected)?).build()];
        let change = step(expected, record).unwrap_or_default();
        for (service, tally) in &change.lines {
            let add = self.add_to_day(&record.call, service.as_ref(), tally, shard)?;
            items.push(TransactWriteItem::builder().update(add).build());
        }
        if !change.total.is_zero() {
            let add = self.add_to_month(&record.call, &change.total, shard)?;
            items.push(TransactWriteItem::builder().update(add).build());
        }
        // Write, and classify the error of the request as a whole.
        let result = self.client.transact_write_items().set_transact_items(Some(items)).send().await;
        let Err(error) = result else { return Ok(()) };
        let canceled = match error.as_service_error() {
            Some(TransactWriteItemsError::TransactionCanceledException(canceled)) => canceled,
            // The SDK's own retry met its first attempt, whose answer was lost. The next attempt finds out its result.
            Some(TransactWriteItemsError::TransactionInProgressException(_)) => {
                return Err(WriteFailure::MayPass(describe(&error)));
            }
            _ if error.code().is_some_and(|code| PASSING_CODES.contains(&code)) => {
                return Err(WriteFailure::MayPass(describe(&error)));
            }
            _ => return Err(WriteFailure::Final(describe(&error))),
        };
        // The transaction was cancelled. If the record's condition failed, return the record that is there.
        let reasons = canceled.cancellation_reasons();
        let codes: Vec<&str> = reasons.iter().filter_map(CancellationReason::code).collect();
        if let ["ConditionalCheckFailed", ..] = codes[..] {
            let found = reasons.first().and_then(CancellationReason::item).cloned();
            let found = found.map(serde_dynamo::from_item).transpose();
            return Err(found
                .map_or_else(|error| WriteFailure::Final(error.to_string()), |it| WriteFailure::Another(it.into())));
        }
        // Otherwise, retry if another transaction interfered or the table was throttled.
        let may_pass = codes.iter().any(|code| passes(code));
        Err(if may_pass { WriteFailure::MayPass(describe(&error)) } else { WriteFailure::Final(describe(&error)) })
    }

    fn put(&self, record: &Record, expected: Option<&Record>) -> Result<Put, WriteFailure> {
        let put = Put::builder()
            .table_name(&self.table)
            .set_item(Some(item(record).map_err(WriteFailure::Final)?))
            .expression_attribute_names("#state", "state")
            .return_values_on_condition_check_failure(ReturnValuesOnConditionCheckFailure::AllOld);
        let put = match expected {
            None => put
                .condition_expression("attribute_not_exists(#pk) OR #state = :open")
                .expression_attribute_names("#pk", "pk")
                .expression_attribute_values(":open", text("open")),
            // The condition checks only the state. An open record may have changed otherwise, but its figures are in no
            // sum.
            Some(expected) => put.condition_expression("#state = :expected").expression_attribute_values(
                ":expected",
                serde_dynamo::to_attribute_value(expected.state)
                    .map_err(|error| WriteFailure::Final(error.to_string()))?,
            ),
        };
        Ok(put.build()?)
    }
}

/// Returns `record` as an item of the table.
fn item(record: &Record) -> Result<Item, String> {
    let call = &record.call;
    let mut item: Item = serde_dynamo::to_item(record).map_err(|error| error.to_string())?;
    item.extend(key(call));
    item.insert("expires_at".to_owned(), AttributeValue::N((call.started_at + KEPT_SECS).to_string()));
    if record.state == RecordState::Open {
        item.insert("open".to_owned(), text(&partition(rand::random_range(0..SHARDS))));
        item.insert("due".to_owned(), AttributeValue::N(call.deadline.to_string()));
    }
    Ok(item)
}

pub(super) fn key(call: &Call) -> Item {
    let partition = text(&format!("CALL#{}#{}", call.account, call.id));
    [("pk".to_owned(), partition), ("sk".to_owned(), text(&call.attempt.to_string()))].into()
}

/// Returns the partition key of a shard of the index of open records.
pub(super) fn partition(shard: u8) -> String {
    format!("OPEN#{shard}")
}

pub(super) fn text(text: &str) -> AttributeValue {
    AttributeValue::S(text.to_owned())
}
