//! Reads the sums that the [`ledger`](super::ledger) keeps, and says where a month is heading.

use std::collections::BTreeMap;
use std::time::Duration;

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::types::AttributeValue;
use futures_util::{StreamExt, TryStreamExt, stream};
use serde::Deserialize;

use super::call::Tally;
use super::month::Month;
use crate::accounts::IntegrationKind;
use crate::clock::Timestamp;
use crate::stores::dynamodb::describe;

/// How many accounts' months are read at the same time.
const AT_ONCE: usize = 16;
/// Less of a month than this says nothing about the rest of it.
const SHORTEST_SAMPLE: Duration = Duration::from_secs(24 * 3600);

/// What one integration used of one model on one day (UTC).
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Line {
    /// The day of the month, from 1.
    pub day: u8,
    /// The integration.
    pub integration: String,
    /// What kind of integration it is.
    pub kind: IntegrationKind,
    /// The model that was asked for.
    pub model: String,
    /// The sums.
    #[serde(flatten)]
    pub tally: Tally,
}

/// All of `lines` together.
pub fn total(lines: &[Line]) -> Tally {
    lines.iter().fold(Tally::default(), |total, line| total.plus(&line.tally))
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

    /// What `account` used in `month`, by day, integration and model, in this order. Everything that was closed before
    /// is in it.
    ///
    /// # Errors
    /// When the table cannot be read, or holds something else.
    pub async fn read(&self, account: &str, month: Month) -> Result<Vec<Line>, MonthsError> {
        let mut lines: BTreeMap<(u8, String, String), Line> = BTreeMap::new();
        let mut items = self
            .client
            .query()
            .table_name(&self.table)
            .key_condition_expression("#pk = :pk")
            .expression_attribute_names("#pk", "pk")
            .expression_attribute_values(":pk", AttributeValue::S(format!("MONTH#{account}#{month}")))
            .consistent_read(true)
            .into_paginator()
            .items()
            .send();
        while let Some(item) = items.next().await {
            let item = item.map_err(|error| MonthsError(describe(&error)))?;
            let part: Line =
                serde_dynamo::from_item(item).map_err(|error| MonthsError(format!("{account}: {error}")))?;
            let key = (part.day, part.integration.clone(), part.model.clone());
            match lines.get_mut(&key) {
                Some(line) => line.tally = line.tally.plus(&part.tally),
                None => drop(lines.insert(key, part)),
            }
        }
        // A shard may be negative, where a late end took the place of an abandoned record; the sum over them is not.
        Ok(lines.into_values().filter(|line| !line.tally.is_zero()).collect())
    }

    /// What each of `accounts` used in `month`.
    ///
    /// # Errors
    /// When the table cannot be read, or holds something else.
    pub async fn read_all(&self, accounts: &[&str], month: Month) -> Result<BTreeMap<String, Vec<Line>>, MonthsError> {
        let reads: Vec<_> = accounts.iter().map(|account| self.read_named((*account).to_owned(), month)).collect();
        stream::iter(reads).buffer_unordered(AT_ONCE).try_collect().await
    }

    async fn read_named(&self, account: String, month: Month) -> Result<(String, Vec<Line>), MonthsError> {
        let lines = self.read(&account, month).await?;
        Ok((account, lines))
    }
}

/// What `used` since the beginning of `month` comes to at its end, if it goes on like that. Within the first day it is
/// taken for a whole day's; of a month that is over it is what was used.
pub fn projected(used: u64, month: Month, now: Timestamp) -> u64 {
    if now >= month.ends_at() {
        return used;
    }
    let whole = month.begins_at().until(month.ends_at());
    let elapsed = month.begins_at().until(now).max(SHORTEST_SAMPLE);
    let projected = u128::from(used) * whole.as_millis() / elapsed.as_millis();
    u64::try_from(projected).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_month_goes_on_as_it_began_and_one_that_is_over_stays() {
        let month: Month = "2026-11".parse().unwrap();
        let day = |days: u64| month.begins_at().plus(Duration::from_secs(days * 24 * 3600));
        assert_eq!(projected(100, month, day(10)), 300);
        assert_eq!(projected(100, month, day(0)), 3_000, "what little there is is taken for a day's");
        assert_eq!(projected(100, month, day(30)), 100);
        assert_eq!(projected(u64::MAX, month, day(1)), u64::MAX);
    }
}
