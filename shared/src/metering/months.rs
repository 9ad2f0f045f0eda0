//! Reads the sums that the [`ledger`](super::ledger) keeps, and says where a month is heading.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::types::AttributeValue;
use serde::Deserialize;
use time::OffsetDateTime;

use super::usage::Usage;
use crate::clock::Timestamp;
use crate::stores::dynamodb::batch_get;

/// The most that one read may ask for, DynamoDB's own bound of a batch.
pub const LARGEST_BATCH: usize = 100;
/// Less of a month than this says nothing about the rest of it.
const SHORTEST_SAMPLE: Duration = Duration::from_secs(24 * 3600);

/// An account's sums of one month.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
pub struct Total {
    /// AI calls.
    pub calls: u64,
    /// Their tokens.
    #[serde(flatten)]
    pub usage: Usage,
    /// Of the calls, those whose figures are estimated.
    #[serde(default)]
    pub estimated_calls: u64,
}

impl Total {
    /// All tokens, of whatever kind.
    pub fn tokens(&self) -> u64 {
        let Usage { input, output, cache_read, cache_write_5m, cache_write_1h } = self.usage;
        [input, output, cache_read, cache_write_5m, cache_write_1h].into_iter().fold(0, u64::saturating_add)
    }
}

/// Reads monthly sums from the usage table.
#[derive(Debug, Clone)]
pub struct Months {
    client: Client,
    table: String,
}

/// Monthly sums that could not be read.
#[derive(Debug, thiserror::Error)]
#[error("usage was not read: {0}")]
pub struct MonthsError(String);

impl Months {
    /// The sums in the given table.
    pub fn new(client: Client, table: impl Into<String>) -> Self {
        Self { client, table: table.into() }
    }

    /// The sums of the month (UTC) that holds `now`, of at most [`LARGEST_BATCH`] of `accounts`. Accounts that made no
    /// call are left out.
    ///
    /// # Errors
    /// When the table cannot be read, or only a part of it.
    pub async fn totals(&self, accounts: &[&str], now: Timestamp) -> Result<BTreeMap<String, Total>, MonthsError> {
        let month = now.month();
        let partitions: HashMap<String, &str> =
            accounts.iter().take(LARGEST_BATCH).map(|account| (format!("MONTH#{account}#{month}"), *account)).collect();
        if partitions.is_empty() {
            return Ok(BTreeMap::new());
        }
        let keys = partitions.keys().map(|partition| {
            let text = |text: &str| AttributeValue::S(text.to_owned());
            HashMap::from([("pk".to_owned(), text(partition)), ("sk".to_owned(), text("TOTAL"))])
        });
        let items = batch_get(&self.client, &self.table, keys.collect(), false).await.map_err(MonthsError)?;
        let mut totals = BTreeMap::new();
        for item in items {
            let Some(Ok(partition)) = item.get("pk").map(AttributeValue::as_s) else { continue };
            let Some(account) = partitions.get(partition) else { continue };
            let total = serde_dynamo::from_item(item).map_err(|error| MonthsError(format!("{account}: {error}")))?;
            totals.insert((*account).to_owned(), total);
        }
        Ok(totals)
    }
}

/// What `used` since the beginning of the month (UTC) comes to at its end, if it goes on like that. Within the first
/// day it is taken for a whole day's.
pub fn projected(used: u64, now: Timestamp) -> u64 {
    let Ok(moment) = OffsetDateTime::from_unix_timestamp(i64::try_from(now.as_secs()).unwrap_or_default()) else {
        return used;
    };
    let days = moment.month().length(moment.year());
    let whole = Duration::from_secs(u64::from(days) * 24 * 3600);
    let since_day = Duration::from_secs(now.as_secs() % (24 * 3600));
    let elapsed = Duration::from_secs(u64::from(moment.day() - 1) * 24 * 3600) + since_day;
    (used as f64 * whole.as_secs_f64() / elapsed.max(SHORTEST_SAMPLE).as_secs_f64()).round() as u64
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stores::dynamodb::stub::Stub;

    /// 11 November 2026, 00:00 UTC: a third of the month has passed.
    const NOW: Timestamp = Timestamp::from_secs(1_794_355_200);

    #[test]
    fn a_month_is_projected_from_the_part_of_it_that_has_passed() {
        assert_eq!(NOW.to_rfc3339(), "2026-11-11T00:00:00Z");
        assert_eq!(projected(1_000, NOW), 3_000);
        assert_eq!(projected(0, NOW), 0);
    }

    #[test]
    fn the_first_hours_of_a_month_are_not_blown_up() {
        let first_hour = Timestamp::from_secs(1_793_491_200 + 3_600);
        assert_eq!(first_hour.to_rfc3339(), "2026-11-01T01:00:00Z");
        assert_eq!(projected(1_000, first_hour), 30_000);
    }

    #[tokio::test]
    async fn sums_are_read_by_account() {
        let stub = Stub::start(&[(
            200,
            r#"{"Responses":{"usage":[{"pk":{"S":"MONTH#acme#2026-11"},"sk":{"S":"TOTAL"},"calls":{"N":"3"},
            "input":{"N":"10"},"output":{"N":"20"},"cache_read":{"N":"1"},"cache_write_5m":{"N":"2"},
            "cache_write_1h":{"N":"3"},"estimated_calls":{"N":"1"}}]},"UnprocessedKeys":{}}"#,
        )])
        .await;
        let totals = Months::new(stub.client.clone(), "usage").totals(&["acme", "globex"], NOW).await.unwrap();
        assert_eq!(totals.keys().collect::<Vec<_>>(), ["acme"]);
        assert_eq!((totals["acme"].calls, totals["acme"].tokens(), totals["acme"].estimated_calls), (3, 36, 1));
    }

    #[tokio::test]
    async fn a_part_that_was_not_read_is_an_error_and_no_accounts_are_no_read() {
        let stub = Stub::start(&[(
            200,
            r#"{"Responses":{"usage":[]},"UnprocessedKeys":{"usage":{"Keys":[{"pk":{"S":"MONTH#acme#2026-11"},
            "sk":{"S":"TOTAL"}}]}}}"#,
        )])
        .await;
        let months = Months::new(stub.client.clone(), "usage");
        assert!(months.totals(&[], NOW).await.unwrap().is_empty());
        assert_eq!(stub.answered(), 0);
        assert!(months.totals(&["acme"], NOW).await.unwrap_err().to_string().contains("throttled"));
    }
}
