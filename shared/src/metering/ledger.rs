//! The ledger: each call's usage, added to its account's month exactly once.
//!
//! | `pk` | `sk` | item |
//! | --- | --- | --- |
//! | `CALL#<account>#<call id>` | `CALL` | the call; expires after 90 days |
//! | `MONTH#<account>#<2026-11>` | `TOTAL` | the account's sums of that month (UTC) |
//!
//! Both are written in one transaction on the condition that the call is not there yet, so that a repeated write
//! counts nothing twice. Two transactions on one month at the same time make DynamoDB cancel one of them; the SDK does
//! not retry that, so it is retried here.

use std::time::Duration;

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::operation::transact_write_items::TransactWriteItemsError;
use aws_sdk_dynamodb::types::{AttributeValue, CancellationReason, Put, TransactWriteItem, Update};
use serde::Serialize;

use super::usage::Usage;
use crate::clock::Timestamp;
use crate::stores::dynamodb::describe;

const CALL_KEPT_SECS: u64 = 90 * 24 * 3600;

/// One AI call with what it used.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Call {
    /// What makes the call countable once: Lambda's id of the invocation, which no client can choose.
    pub id: String,
    /// The id by which the request is named to its caller.
    pub request_id: String,
    /// The account that pays.
    pub account: String,
    /// The integration that called.
    pub integration: String,
    /// The provider that served it.
    pub provider: String,
    /// The model that was asked for.
    pub model: String,
    /// When it began, Unix seconds; decides the month that it counts in.
    pub started_at: u64,
    /// The tokens.
    #[serde(flatten)]
    pub usage: Usage,
    /// Whether the provider's final figures are missing, so that `usage` is what was known when the call broke off.
    pub estimated: bool,
}

/// How often a write is tried when DynamoDB cancels it for a reason that passes.
const ATTEMPTS: u32 = 8;
/// The longest pause before the second attempt; doubled before each later one.
const FIRST_PAUSE: Duration = Duration::from_millis(10);
/// The longest pause between attempts.
const LONGEST_PAUSE: Duration = Duration::from_millis(200);
/// Cancellation reasons that pass by themselves
/// (<https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_CancellationReason.html>).
const PASSING_REASONS: [&str; 3] = ["TransactionConflict", "ThrottlingError", "ProvisionedThroughputExceeded"];

/// Why one attempt failed.
enum Failure {
    MayPass(String),
    Final(String),
}

/// Writes calls to the usage table.
#[derive(Debug, Clone)]
pub struct Ledger {
    client: Client,
    table: String,
    timeout: Duration,
}

/// A call that could not be written.
#[derive(Debug, thiserror::Error)]
#[error("usage was not written: {0}")]
pub struct LedgerError(String);

impl Ledger {
    /// A ledger in the given table. No write takes longer than `timeout`, repetitions included.
    pub fn new(client: Client, table: impl Into<String>, timeout: Duration) -> Self {
        Self { client, table: table.into(), timeout }
    }

    /// Writes `call`. Where that fails, one log line holds everything needed to write it later.
    pub async fn record(&self, call: &Call) {
        if let Err(error) = self.try_record(call).await {
            let line = serde_json::to_string(call).unwrap_or_default();
            tracing::error!(
                code = "usage.unwritten",
                request.id = call.request_id,
                account.id = call.account,
                provider = call.provider,
                %error,
                call = line,
                "an AI call's usage was not written"
            );
        }
    }

    /// Writes `call`; a call that is there already is left as it is.
    ///
    /// # Errors
    /// When DynamoDB refuses, cannot be reached, or does not answer in time.
    pub async fn try_record(&self, call: &Call) -> Result<(), LedgerError> {
        let timed_out = |_| LedgerError(format!("not written within {:?}", self.timeout));
        tokio::time::timeout(self.timeout, self.write_repeatedly(call)).await.map_err(timed_out).flatten()
    }

    async fn write_repeatedly(&self, call: &Call) -> Result<(), LedgerError> {
        let mut attempt = 1;
        loop {
            match self.write(call).await {
                Ok(()) => return Ok(()),
                Err(Failure::MayPass(_)) if attempt < ATTEMPTS => {
                    let longest = FIRST_PAUSE * 2u32.pow(attempt - 1);
                    tokio::time::sleep(rand::random_range(Duration::ZERO..=longest.min(LONGEST_PAUSE))).await;
                    attempt += 1;
                }
                Err(Failure::MayPass(cause) | Failure::Final(cause)) => return Err(LedgerError(cause)),
            }
        }
    }

    async fn write(&self, call: &Call) -> Result<(), Failure> {
        let invalid = |error: &dyn std::fmt::Display| Failure::Final(error.to_string());
        let put = self.put(call).map_err(|error| invalid(&error))?;
        let add = self.add(call).map_err(|error| invalid(&error))?;
        let result = self
            .client
            .transact_write_items()
            .transact_items(TransactWriteItem::builder().put(put).build())
            .transact_items(TransactWriteItem::builder().update(add).build())
            .send()
            .await;
        let Err(error) = result else { return Ok(()) };
        let reasons: Vec<&str> = match error.as_service_error() {
            Some(TransactWriteItemsError::TransactionCanceledException(canceled)) => {
                canceled.cancellation_reasons().iter().filter_map(CancellationReason::code).collect()
            }
            _ => Vec::new(),
        };
        match reasons[..] {
            // The call was written before.
            ["ConditionalCheckFailed", ..] => Ok(()),
            _ if reasons.iter().any(|reason| PASSING_REASONS.contains(reason)) => {
                Err(Failure::MayPass(describe(&error)))
            }
            _ => Err(Failure::Final(describe(&error))),
        }
    }

    fn put(&self, call: &Call) -> Result<Put, Box<dyn std::error::Error>> {
        let mut item: std::collections::HashMap<String, AttributeValue> = serde_dynamo::to_item(call)?;
        item.insert("pk".to_owned(), AttributeValue::S(format!("CALL#{}#{}", call.account, call.id)));
        item.insert("sk".to_owned(), AttributeValue::S("CALL".to_owned()));
        item.insert("expires_at".to_owned(), number(call.started_at + CALL_KEPT_SECS));
        let put = Put::builder()
            .table_name(&self.table)
            .set_item(Some(item))
            .condition_expression("attribute_not_exists(pk)")
            .build()?;
        Ok(put)
    }

    fn add(&self, call: &Call) -> Result<Update, aws_sdk_dynamodb::error::BuildError> {
        let month = Timestamp::from_secs(call.started_at).month();
        let Usage { input, output, cache_read, cache_write_5m, cache_write_1h } = call.usage;
        Update::builder()
            .table_name(&self.table)
            .key("pk", AttributeValue::S(format!("MONTH#{}#{month}", call.account)))
            .key("sk", AttributeValue::S("TOTAL".to_owned()))
            .update_expression(
                "ADD calls :one, #input :input, #output :output, cache_read :cache_read, \
                 cache_write_5m :cache_write_5m, cache_write_1h :cache_write_1h, estimated_calls :estimated",
            )
            .expression_attribute_names("#input", "input")
            .expression_attribute_names("#output", "output")
            .expression_attribute_values(":one", number(1))
            .expression_attribute_values(":input", number(input))
            .expression_attribute_values(":output", number(output))
            .expression_attribute_values(":cache_read", number(cache_read))
            .expression_attribute_values(":cache_write_5m", number(cache_write_5m))
            .expression_attribute_values(":cache_write_1h", number(cache_write_1h))
            .expression_attribute_values(":estimated", number(call.estimated.into()))
            .build()
    }
}

fn number(number: u64) -> AttributeValue {
    AttributeValue::N(number.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stores::dynamodb::stub::{Stub, TIMEOUT};

    const CONFLICT: (u16, &str) = (
        400,
        r#"{"__type":"com.amazonaws.dynamodb.v20120810#TransactionCanceledException","message":"Transaction cancelled",
        "CancellationReasons":[{"Code":"None"},{"Code":"TransactionConflict"}]}"#,
    );
    const THERE_ALREADY: (u16, &str) = (
        400,
        r#"{"__type":"com.amazonaws.dynamodb.v20120810#TransactionCanceledException","message":"Transaction cancelled",
        "CancellationReasons":[{"Code":"ConditionalCheckFailed"},{"Code":"None"}]}"#,
    );
    const WRONG: (u16, &str) =
        (400, r#"{"__type":"com.amazon.coral.validate#ValidationException","message":"no such table"}"#);
    const DONE: (u16, &str) = (200, "{}");

    fn call() -> Call {
        Call {
            id: "1".to_owned(),
            request_id: "r".to_owned(),
            account: "acme".to_owned(),
            integration: "crm".to_owned(),
            provider: "primary".to_owned(),
            model: "m".to_owned(),
            started_at: 1_700_000_000,
            usage: Usage { input: 1, ..Usage::default() },
            estimated: false,
        }
    }

    async fn record(answers: &'static [(u16, &'static str)]) -> (Result<(), LedgerError>, usize) {
        let stub = Stub::start(answers).await;
        let result = Ledger::new(stub.client.clone(), "usage", Duration::from_secs(10)).try_record(&call()).await;
        (result, stub.answered())
    }

    #[tokio::test]
    async fn a_write_that_met_another_one_is_tried_again() {
        let (result, tries) = record(&[CONFLICT, CONFLICT, DONE]).await;
        assert!(result.is_ok());
        assert_eq!(tries, 3);
    }

    #[tokio::test]
    async fn a_write_that_meets_others_for_ever_is_given_up_in_the_end() {
        let (result, tries) = record(&[CONFLICT]).await;
        assert!(result.unwrap_err().to_string().contains("TransactionCanceled"));
        assert_eq!(tries, ATTEMPTS as usize);
    }

    #[tokio::test(start_paused = true)]
    async fn a_write_that_gets_no_answer_is_given_up_in_time() {
        let stub = Stub::start(&[]).await;
        let began = tokio::time::Instant::now();
        assert!(Ledger::new(stub.client.clone(), "usage", TIMEOUT).try_record(&call()).await.is_err());
        assert!(began.elapsed() <= TIMEOUT, "{:?}", began.elapsed());
    }

    #[tokio::test]
    async fn a_call_that_is_there_already_is_done() {
        let (result, tries) = record(&[THERE_ALREADY]).await;
        assert!(result.is_ok());
        assert_eq!(tries, 1);
    }

    #[tokio::test]
    async fn a_write_that_can_never_succeed_is_not_repeated() {
        let (result, tries) = record(&[WRONG]).await;
        assert_eq!(result.unwrap_err().to_string(), "usage was not written: ValidationException: no such table");
        assert_eq!(tries, 1);
    }
}
