//! Reads the sums that the [`ledger`](super::ledger) keeps, and projects a month's usage.

use std::collections::BTreeMap;
use std::pin::pin;
use std::time::Duration;

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::types::AttributeValue;
use futures_util::{Stream, StreamExt, TryStreamExt, stream};
use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::ledger::sums::{DAY, TOTAL, month_key};
use super::month::Month;
use super::tally::Tally;
use super::usage::Service;
use crate::accounts::IntegrationKind;
use crate::clock::Timestamp;
use crate::stores::dynamodb::describe;

/// Number of accounts that are read concurrently.
const AT_ONCE: usize = 16;
/// Number of accounts that are read concurrently if not all of them may be needed.
const AHEAD: usize = 8;
/// Shortest part of a month that a projection assumes has passed. Less says nothing about the rest.
const SHORTEST_SAMPLE: Duration = Duration::from_secs(24 * 3600);

/// Usage of one integration on one day (UTC), of one requested model and one way in which it was served.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct UsageLine {
    /// Day of the month, from 1.
    pub day: u8,
    /// Id of the integration.
    pub integration: String,
    /// Kind of the integration.
    pub kind: IntegrationKind,
    /// Model that the caller asked for.
    pub model: String,
    /// Provider. Empty in sums of earlier versions, which recorded neither the provider nor how it served.
    #[serde(default)]
    pub provider: String,
    /// Model, tier and other properties with which the provider served.
    #[serde(flatten)]
    pub service: Service,
    /// The sums.
    #[serde(flatten)]
    pub tally: Tally,
}

/// Returns the sum of all `lines`.
pub fn total(lines: &[UsageLine]) -> Tally {
    lines.iter().fold(Tally::default(), |total, line| total.plus(&line.tally))
}

/// Reads monthly sums from the usage table.
#[derive(Debug, Clone)]
pub struct Months {
    client: Client,
    table: String,
}

/// Error of a read of monthly sums.
#[derive(Debug, thiserror::Error)]
#[error("usage was not read: {0}")]
pub struct MonthsError(String);

impl Months {
    /// Returns a reader of the sums in `table`.
    pub fn new(client: Client, table: impl Into<String>) -> Self {
        Self { client, table: table.into() }
    }

    /// Returns what `account` used in `month`, in one small read. It includes every record that was closed before.
    ///
    /// # Errors
    /// Returns [`MonthsError`] if the table cannot be read or holds an unexpected item.
    pub async fn total(&self, account: &str, month: Month) -> Result<Tally, MonthsError> {
        let parts: Vec<Tally> = self.parts(account, month, TOTAL).await?;
        Ok(parts.iter().fold(Tally::default(), |total, part| total.plus(part)))
    }

    /// Returns what each of `accounts` used in `month`.
    ///
    /// # Errors
    /// Returns [`MonthsError`] if the table cannot be read or holds an unexpected item.
    pub async fn totals(&self, accounts: &[&str], month: Month) -> Result<BTreeMap<String, Tally>, MonthsError> {
        let read = async |account: String| {
            let total = self.total(&account, month).await?;
            Ok((account, total))
        };
        at_once(accounts.iter().map(|account| read((*account).to_owned())).collect()).await
    }

    /// Returns what `account` used in `month`, by day, integration, model, provider and the way in which it served, in
    /// this order. It includes every record that was closed before.
    ///
    /// # Errors
    /// Returns [`MonthsError`] if the table cannot be read or holds an unexpected item.
    pub async fn read(&self, account: &str, month: Month) -> Result<Vec<UsageLine>, MonthsError> {
        // Add up the shards of each line.
        let mut lines = BTreeMap::new();
        for part in self.parts::<UsageLine>(account, month, DAY).await? {
            let UsageLine { day, integration, model, provider, service, .. } = part.clone();
            let key = (day, integration, model, provider, service);
            match lines.get_mut(&key) {
                Some(UsageLine { tally, .. }) => *tally = tally.plus(&part.tally),
                None => drop(lines.insert(key, part)),
            }
        }
        // A shard may be negative if a final record replaced an abandoned one; the sum over all shards is not.
        Ok(lines.into_values().filter(|line| !line.tally.is_zero()).collect())
    }

    /// Returns what each of `accounts` used in `month`, as [`Months::read`] does.
    ///
    /// # Errors
    /// Returns [`MonthsError`] if the table cannot be read or holds an unexpected item.
    pub async fn read_all(
        &self,
        accounts: &[&str],
        month: Month,
    ) -> Result<BTreeMap<String, Vec<UsageLine>>, MonthsError> {
        let read = async |account: String| {
            let lines = self.read(&account, month).await?;
            Ok((account, lines))
        };
        at_once(accounts.iter().map(|account| read((*account).to_owned())).collect()).await
    }

    /// Returns what the first of `accounts` used in `month`, each as [`Months::read`] does and in their order. The
    /// first account is always included. The following ones are included while all lines together are at most `most`.
    /// Reads at most [`AHEAD`] more accounts than it returns.
    ///
    /// # Errors
    /// Returns [`MonthsError`] if the table cannot be read or holds an unexpected item.
    pub async fn read_first(
        &self,
        accounts: &[&str],
        month: Month,
        most: usize,
    ) -> Result<Vec<Vec<UsageLine>>, MonthsError> {
        // A read does nothing until it is polled, so accounts beyond the bound cost nothing.
        let reads: Vec<_> = accounts.iter().map(|account| self.read(account, month)).collect();
        fitting(most, stream::iter(reads).buffered(AHEAD)).await
    }

    /// Reads the items of `account`'s `month` whose sort keys begin with `begin`.
    async fn parts<T: DeserializeOwned>(
        &self,
        account: &str,
        month: Month,
        begin: &str,
    ) -> Result<Vec<T>, MonthsError> {
        let items = self
            .client
            .query()
            .table_name(&self.table)
            .key_condition_expression("#pk = :pk AND begins_with(#sk, :begin)")
            .expression_attribute_names("#pk", "pk")
            .expression_attribute_names("#sk", "sk")
            .expression_attribute_values(":pk", AttributeValue::S(month_key(account, month)))
            .expression_attribute_values(":begin", AttributeValue::S(begin.to_owned()))
            .consistent_read(true)
            .into_paginator()
            .items()
            .send();
        let items = items.collect::<Result<Vec<_>, _>>().await.map_err(|error| MonthsError(describe(&error)))?;
        serde_dynamo::from_items(items).map_err(|error| MonthsError(format!("{account}: {error}")))
    }
}

/// Awaits all `reads`, [`AT_ONCE`] of them concurrently.
async fn at_once<T, F>(reads: Vec<F>) -> Result<BTreeMap<String, T>, MonthsError>
where
    F: Future<Output = Result<(String, T), MonthsError>>,
{
    stream::iter(reads).buffer_unordered(AT_ONCE).try_collect().await
}

/// Returns the first of `lists`, and the following ones while all together hold at most `most` entries.
async fn fitting<T, E>(most: usize, lists: impl Stream<Item = Result<Vec<T>, E>>) -> Result<Vec<Vec<T>>, E> {
    let mut lists = pin!(lists);
    let (mut fitting, mut sum) = (Vec::new(), 0);
    while let Some(list) = lists.try_next().await? {
        sum += list.len();
        if sum > most && !fitting.is_empty() {
            break;
        }
        fitting.push(list);
    }
    Ok(fitting)
}

/// Returns the expected usage at the end of `month`, projected from what was `used` so far. Within the first day, a
/// whole day is taken to have passed. For a month that is over, this is `used`.
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
    use std::cell::Cell;

    use super::*;

    #[tokio::test]
    async fn lists_are_read_in_their_order_up_to_a_bound_and_hardly_beyond() {
        for (lengths, expected) in
            [(&[][..], 0), (&[10, 20, 70], 3), (&[100, 0, 1, 0], 2), (&[99, 2], 1), (&[101, 1], 1)]
        {
            let lists = lengths.iter().map(|length| Ok::<_, ()>(vec![(); *length]));
            let fitting = fitting(100, stream::iter(lists)).await.unwrap();
            assert_eq!(fitting.iter().map(Vec::len).collect::<Vec<_>>(), lengths[..expected], "{lengths:?}");
        }

        let begun = Cell::new(0);
        let reads = (0..1_000).map(|number| {
            begun.set(begun.get() + 1);
            async move { Ok::<_, ()>(vec![number; 10]) }
        });
        let fitting = fitting(30, stream::iter(reads).buffered(AHEAD)).await.unwrap();
        assert_eq!(fitting, [vec![0; 10], vec![1; 10], vec![2; 10]]);
        assert!(begun.get() <= fitting.len() + AHEAD, "{}", begun.get());
    }

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
