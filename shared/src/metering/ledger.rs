//! The ledger: one record per attempt, added to its account's month exactly once.
//!
//! | `pk` | `sk` | item |
//! | --- | --- | --- |
//! | `CALL#<account>#<call id>` | `<attempt>` | a [`Record`]; expires after 90 days |
//! | `MONTH#<account>#<2026-11>` | `TOTAL#<shard>` | a part of the sums of the month (UTC) |
//! | `MONTH#<account>#<2026-11>` | `DAY#<day>#<integration>#<model>#<provider>#<served>#<tier>#<speed>#<geo>#<prompt>#<shard>` | a part of the sums of one day, integration, model that was asked for, provider, and way in which it served |
//! | `MONTH#<account>#<2026-11>` | `DAY#<day>#<integration>#<model>#<shard>` | a part of the sums of one day, integration and model, of records without parts: those of earlier versions |
//!
//! An open record also has the attributes `open` (`OPEN#<shard>`) and `due` (its deadline, Unix seconds), which are the
//! keys of the index `open`: whatever is over is not in it.
//!
//! The end of an attempt is one transaction: the record takes the place of an earlier one, on the condition that there is
//! none or that it is less final ([`step`](super::call::step)), and the difference is added to one of eight shards of
//! both sums. Written again, it changes nothing. Two transactions on one item at the same time make DynamoDB cancel one of
//! them; the SDK does not retry that, so it is retried here, on a shard that chance chooses.

mod open;
mod read;
pub(super) mod sums;
mod write;

use std::time::Duration;

use aws_sdk_dynamodb::Client;

pub use self::open::OpenCalls;
use self::write::Failure;
use super::call::Record;
use crate::stores::dynamodb::pause;

/// How many parts the sums and the index of open records have, so that no item is written by everybody.
pub const SHARDS: u8 = 8;

/// How often a write is tried when DynamoDB cancels it for a reason that passes.
const ATTEMPTS: u32 = 8;
/// The longest pause before the second attempt; doubled before each later one.
const FIRST_PAUSE: Duration = Duration::from_millis(10);

/// Writes records to the usage table, and reads those that are open.
#[derive(Debug, Clone)]
pub struct Ledger {
    client: Client,
    table: String,
    timeout: Duration,
    /// The shard that is tried first. An environment serves one call at a time, so it never meets itself there.
    shard: u8,
}

/// The ledger could not be written or read.
#[derive(Debug, thiserror::Error)]
#[error("the usage table: {0}")]
pub struct LedgerError(String);

/// What became of a write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Written {
    /// The record is there now.
    Now,
    /// One was there that is as final.
    Before,
}

impl Ledger {
    /// A ledger in the given table. No write takes longer than `timeout`, repetitions included.
    pub fn new(client: Client, table: impl Into<String>, timeout: Duration) -> Self {
        Self { client, table: table.into(), timeout, shard: rand::random_range(0..SHARDS) }
    }

    /// Writes the open record of an attempt that is about to be made, with what is expected of its usage.
    ///
    /// # Errors
    /// When DynamoDB refuses, cannot be reached, or does not answer in time.
    pub async fn open(&self, record: &Record) -> Result<Written, LedgerError> {
        self.in_time(self.put_open(record)).await
    }

    /// Adds what `record` says of the usage to the open record of the same attempt, for the case that the attempt never comes
    /// to its end. A record that is open no more stays as it is.
    ///
    /// # Errors
    /// When DynamoDB refuses, cannot be reached, or does not answer in time.
    pub async fn note(&self, record: &Record) -> Result<(), LedgerError> {
        self.in_time(self.update_open(record)).await
    }

    /// Writes a record, unless one is there that is as final: the end of an attempt, one that is given up on, or one that
    /// could not be written before.
    ///
    /// # Errors
    /// When DynamoDB refuses, cannot be reached, or does not answer in time.
    pub async fn write(&self, record: &Record) -> Result<Written, LedgerError> {
        self.in_time(self.write_repeatedly(record)).await
    }

    async fn in_time<T>(&self, work: impl Future<Output = Result<T, LedgerError>>) -> Result<T, LedgerError> {
        let timed_out = |_| LedgerError(format!("no answer within {:?}", self.timeout));
        tokio::time::timeout(self.timeout, work).await.map_err(timed_out).flatten()
    }

    async fn write_repeatedly(&self, record: &Record) -> Result<Written, LedgerError> {
        let (mut attempt, mut shard, mut expected) = (1, self.shard, None);
        loop {
            match self.transact(record, expected.as_ref(), shard).await {
                Ok(()) => return Ok(Written::Now),
                Err(Failure::Another(found)) => match *found {
                    Some(found) if super::call::step(Some(&found), record).is_none() => return Ok(Written::Before),
                    // Abandoned records change no more but into final ones, so that this goes on at most twice.
                    found => expected = found,
                },
                Err(Failure::MayPass(_)) if attempt < ATTEMPTS => {
                    pause(attempt, FIRST_PAUSE).await;
                    shard = rand::random_range(0..SHARDS);
                }
                Err(Failure::MayPass(cause) | Failure::Final(cause)) => return Err(LedgerError(cause)),
            }
            attempt += 1;
            if attempt > ATTEMPTS {
                return Err(LedgerError("the record changes all the time".to_owned()));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metering::call::tests::{call, used};
    use crate::stores::dynamodb::stub::{Stub, TIMEOUT};

    const CONFLICT: (u16, &str) = (
        400,
        r#"{"__type":"com.amazonaws.dynamodb.v20120810#TransactionCanceledException","message":"Transaction cancelled",
        "CancellationReasons":[{"Code":"None"},{"Code":"TransactionConflict"}]}"#,
    );
    const CLOSED_ALREADY: (u16, &str) = (
        400,
        r#"{"__type":"com.amazonaws.dynamodb.v20120810#TransactionCanceledException","message":"Transaction cancelled",
        "CancellationReasons":[{"Code":"ConditionalCheckFailed","Item":{"id":{"S":"1"},"attempt":{"N":"1"},
        "request_id":{"S":"r"},"account":{"S":"acme"},"integration":{"S":"crm"},"kind":{"S":"customer"},
        "provider":{"S":"primary"},"model":{"S":"m"},"started_at":{"N":"1700000000"},"deadline":{"N":"1700000300"},
        "state":{"S":"closed"},"input":{"N":"1"},"output":{"N":"0"},"cache_read":{"N":"0"},
        "cache_write_5m":{"N":"0"},"cache_write_1h":{"N":"0"},"web_searches":{"N":"0"},"web_fetches":{"N":"0"},
        "tier":{"S":"standard"},"estimated":{"BOOL":false}}},{"Code":"None"}]}"#,
    );
    const WRONG: (u16, &str) =
        (400, r#"{"__type":"com.amazon.coral.validate#ValidationException","message":"no such table"}"#);
    const IN_PROGRESS: (u16, &str) = (
        400,
        r#"{"__type":"com.amazonaws.dynamodb.v20120810#TransactionInProgressException","Message":"in progress"}"#,
    );
    const DONE: (u16, &str) = (200, "{}");

    async fn write(answers: &'static [(u16, &'static str)]) -> (Result<Written, LedgerError>, usize) {
        let stub = Stub::start(answers).await;
        let ledger = Ledger::new(stub.client.clone(), "usage", Duration::from_secs(10));
        let result = ledger.write(&Record::closed(call(), used(1, 0), false)).await;
        (result, stub.answered())
    }

    #[tokio::test]
    async fn a_write_that_met_another_one_is_tried_again() {
        let (result, tries) = write(&[CONFLICT, CONFLICT, DONE]).await;
        assert_eq!(result.unwrap(), Written::Now);
        assert_eq!(tries, 3);
    }

    #[tokio::test]
    async fn a_write_that_meets_its_own_first_try_waits_for_what_that_did() {
        let (result, tries) = write(&[IN_PROGRESS, IN_PROGRESS, CLOSED_ALREADY]).await;
        assert_eq!(result.unwrap(), Written::Before);
        assert_eq!(tries, 3, "the SDK repeats the first once");
    }

    #[tokio::test]
    async fn a_write_that_meets_others_for_ever_is_given_up_in_the_end() {
        let (result, tries) = write(&[CONFLICT]).await;
        assert!(result.unwrap_err().to_string().contains("TransactionCanceled"));
        assert_eq!(tries, ATTEMPTS as usize);
    }

    #[tokio::test(start_paused = true)]
    async fn a_write_that_gets_no_answer_is_given_up_in_time() {
        let stub = Stub::start(&[]).await;
        let began = tokio::time::Instant::now();
        let ledger = Ledger::new(stub.client.clone(), "usage", TIMEOUT);
        assert!(ledger.write(&Record::void(call())).await.is_err());
        assert!(ledger.open(&Record::open(call())).await.is_err());
        assert!(began.elapsed() <= TIMEOUT * 2, "{:?}", began.elapsed());
    }

    #[tokio::test]
    async fn a_record_that_is_there_already_stays() {
        let (result, tries) = write(&[CLOSED_ALREADY]).await;
        assert_eq!(result.unwrap(), Written::Before);
        assert_eq!(tries, 1);
    }

    #[tokio::test]
    async fn a_write_that_can_never_succeed_is_not_repeated() {
        let (result, tries) = write(&[WRONG]).await;
        assert_eq!(result.unwrap_err().to_string(), "the usage table: ValidationException: no such table");
        assert_eq!(tries, 1);
    }
}
