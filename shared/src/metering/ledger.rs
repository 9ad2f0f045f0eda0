//! The ledger: one record per attempt, added to the sums of its account's month exactly once.
//!
//! | `pk` | `sk` | item |
//! | --- | --- | --- |
//! | `CALL#<account>#<call id>` | `<attempt>` | a [`Record`]; expires after 90 days |
//! | `MONTH#<account>#<2026-11>` | `TOTAL#<shard>` | one shard of the sums of the month (UTC) |
//! | `MONTH#<account>#<2026-11>` | `DAY#<line>#<shard>` | one shard of the sums of one line of a day |
//!
//! A `<line>` is `<day>#<integration>#<model>#<provider>#<served>#<tier>#<speed>#<geo>#<prompt>`: one day, integration,
//! requested model, provider, and way in which the provider served. For records without parts, which earlier versions
//! wrote, it is `<day>#<integration>#<model>`.
//!
//! An open record also has the attributes `open` (`OPEN#<shard>`) and `due` (its deadline, Unix seconds). They are the
//! keys of the index `open`, which therefore holds open records only.
//!
//! The end of an attempt is one transaction. It puts the record, on the condition that there is none yet or a less
//! final one ([`step`](super::call::step)), and adds the difference to one of eight shards of both sums. A repeated
//! write changes nothing. If two transactions write one item at the same time, DynamoDB cancels one of them. The SDK
//! does not retry that, so the ledger does, on a random shard.

mod open;
mod read;
pub(super) mod sums;
mod write;

use std::time::Duration;

use aws_sdk_dynamodb::Client;

pub use self::open::OpenCalls;
use self::write::WriteFailure;
use super::call::Record;
use crate::stores::dynamodb::pause;

/// Number of shards of the sums and of the index of open records. Shards keep concurrent writers off the same item.
pub const SHARDS: u8 = 8;

/// Maximum number of attempts to write if DynamoDB fails for a transient reason.
const ATTEMPTS: u32 = 8;
/// Longest pause before the second attempt. It doubles before each later one.
const FIRST_PAUSE: Duration = Duration::from_millis(10);

/// Writer of records to the usage table, and reader of records.
#[derive(Debug, Clone)]
pub struct Ledger {
    client: Client,
    table: String,
    timeout: Duration,
    /// Shard of the first attempt to write. An AI proxy's environment serves one call at a time, so its own writes do
    /// not conflict on it.
    shard: u8,
}

/// Error of a write to or a read of the usage table.
#[derive(Debug, thiserror::Error)]
#[error("the usage table: {0}")]
pub struct LedgerError(String);

/// Result of a write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Written {
    /// The record was written.
    Now,
    /// A record that is as final was there before, and stays.
    Before,
}

impl Ledger {
    /// Returns the ledger in the given table. A write takes at most `timeout`, retries included.
    pub fn new(client: Client, table: impl Into<String>, timeout: Duration) -> Self {
        Self { client, table: table.into(), timeout, shard: rand::random_range(0..SHARDS) }
    }

    /// Writes the open record of an attempt that is about to be made, with its expected usage.
    ///
    /// # Errors
    /// Returns [`LedgerError`] if DynamoDB refuses, cannot be reached, or does not answer in time.
    pub async fn open(&self, record: &Record) -> Result<Written, LedgerError> {
        self.in_time(self.put_open(record)).await
    }

    /// Updates the usage in the open record of the same attempt, in case the attempt never comes to its end. Leaves a
    /// record that is no longer open unchanged.
    ///
    /// # Errors
    /// Returns [`LedgerError`] if DynamoDB refuses, cannot be reached, or does not answer in time.
    pub async fn note(&self, record: &Record) -> Result<(), LedgerError> {
        self.in_time(self.update_open(record)).await
    }

    /// Writes a record that is no longer open, unless a record is there that is as final. Also used for attempts that
    /// were given up on, and to replay records that could not be written before.
    ///
    /// # Errors
    /// Returns [`LedgerError`] if DynamoDB refuses, cannot be reached, or does not answer in time.
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
                Err(WriteFailure::Another(found)) => match *found {
                    Some(found) if super::call::step(Some(&found), record).is_none() => return Ok(Written::Before),
                    // An abandoned record can only change into a final one, so this happens at most twice.
                    found => expected = found,
                },
                // Back off and retry on another shard, away from the concurrent writer.
                Err(WriteFailure::MayPass(_)) if attempt < ATTEMPTS => {
                    pause(attempt, FIRST_PAUSE).await;
                    shard = rand::random_range(0..SHARDS);
                }
                Err(WriteFailure::MayPass(cause) | WriteFailure::Final(cause)) => return Err(LedgerError(cause)),
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
