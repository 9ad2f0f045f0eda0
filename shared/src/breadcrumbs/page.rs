//! Reading: the rows of all partitions of a week as one list, newest first, a page at a time.
//!
//! A page is read in steps. A step asks all partitions of one day for their newest rows before a position; what is
//! certain to be complete, down to the newest place at which a partition has more to give, goes through the filter. A
//! page ends when it is full, when nothing older is kept, or after [`MAX_STEPS`]: then it may be short, and the next one
//! goes on from there.

use std::cmp::Reverse;
use std::collections::HashMap;

use aws_sdk_dynamodb::types::AttributeValue;
use futures_util::future::try_join_all;

use super::cursor::Cursor;
use super::fingerprint::{DAY, Fingerprint, Position, SHARDS, partition};
use super::table::{BreadcrumbTable, KEPT, TableError};
use super::{Breadcrumb, Severity};
use crate::clock::Timestamp;
use crate::stores::dynamodb::describe;

/// The most breadcrumbs of a page.
const LONGEST_PAGE: usize = 200;
/// The most steps of a page: enough for a week in which nothing happened, and some more.
const MAX_STEPS: usize = 12;
/// How many rows a filtered step asks a partition for.
const FILTERED_ROWS: usize = 100;

/// Which breadcrumbs are asked for; `None` is any.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Filter {
    /// The function.
    pub function: Option<String>,
    /// The code.
    pub code: Option<String>,
    /// This severity alone.
    pub severity: Option<Severity>,
    /// The account.
    pub account: Option<String>,
}

impl Filter {
    fn lets_pass(&self, breadcrumb: &Breadcrumb) -> bool {
        let is = |asked: &Option<String>, text: Option<&str>| asked.as_deref().is_none_or(|asked| Some(asked) == text);
        is(&self.function, Some(&breadcrumb.function))
            && is(&self.code, Some(&breadcrumb.code))
            && is(&self.account, breadcrumb.account.as_deref())
            && self.severity.is_none_or(|severity| severity == breadcrumb.severity)
    }
}

/// Some breadcrumbs, newest first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page {
    /// The breadcrumbs; of one minute, the one that happened last comes first.
    pub breadcrumbs: Vec<Breadcrumb>,
    /// Where the next page begins; `None` at the end of what is kept. A page with few breadcrumbs, or none, may have one.
    pub next: Option<Cursor>,
}

type Row = (Position, Breadcrumb);

/// A part of one day's rows, newest first, whole down to `end`.
struct Step {
    rows: Vec<Row>,
    end: Position,
}

/// A part of one partition's rows, newest first; there are more before `more_before`.
struct Shard {
    rows: Vec<Row>,
    more_before: Option<Position>,
}

impl BreadcrumbTable {
    /// At most `limit` (1 to 200) breadcrumbs of the last [`KEPT`], newest first, from `after` on.
    ///
    /// # Errors
    /// [`TableError`] when the table cannot be read.
    pub async fn page(
        &self,
        filter: &Filter,
        after: Option<&Cursor>,
        limit: usize,
        now: Timestamp,
    ) -> Result<Page, TableError> {
        let limit = limit.clamp(1, LONGEST_PAGE);
        // A full page of unfiltered rows is an eighth of it from each partition, more or less.
        let rows = if *filter == Filter::default() { limit / 4 + 10 } else { FILTERED_ROWS };
        let newest = end_of(now.as_secs() / 60 / DAY + 1);
        let oldest = now.as_secs().saturating_sub(KEPT.as_secs()) / 60;
        let mut before = after.map_or(newest, |cursor| cursor.0.min(newest));
        let mut found = Vec::new();
        for _ in 0..MAX_STEPS {
            let step = self.step(before, rows).await?;
            for (position, breadcrumb) in step.rows {
                if position.minute <= oldest {
                    return Ok(page(found, None));
                }
                if filter.lets_pass(&breadcrumb) {
                    found.push((position, breadcrumb));
                }
                if found.len() == limit {
                    return Ok(page(found, Some(position)));
                }
            }
            if step.end.minute <= oldest {
                return Ok(page(found, None));
            }
            before = step.end;
        }
        Ok(page(found, Some(before)))
    }

    /// The newest rows before a position, of one day.
    async fn step(&self, before: Position, rows: usize) -> Result<Step, TableError> {
        let day = day_before(before);
        let shards = try_join_all((0..SHARDS).map(|shard| self.shard(day, shard, before, rows))).await?;
        let end = shards.iter().filter_map(|shard| shard.more_before).max().unwrap_or(end_of(day));
        let mut rows: Vec<Row> = shards.into_iter().flat_map(|shard| shard.rows).collect();
        rows.retain(|(position, _)| *position >= end);
        rows.sort_unstable_by_key(|(position, _)| Reverse(*position));
        Ok(Step { rows, end })
    }

    /// The newest rows before a position, of one partition.
    async fn shard(&self, day: u64, shard: u64, before: Position, rows: usize) -> Result<Shard, TableError> {
        let sort_key = if before == end_of(day + 1) { format!("{DAY}#") } else { before.sort_key() };
        let answer = self
            .client
            .query()
            .table_name(&self.name)
            .key_condition_expression("#pk = :pk AND #sk < :before")
            .expression_attribute_names("#pk", "pk")
            .expression_attribute_names("#sk", "sk")
            .expression_attribute_values(":pk", AttributeValue::S(partition(day, shard)))
            .expression_attribute_values(":before", AttributeValue::S(sort_key))
            .scan_index_forward(false)
            .limit(i32::try_from(rows).unwrap_or(i32::MAX))
            .send()
            .await
            .map_err(|error| TableError(describe(&error)))?;
        let last = answer.last_evaluated_key().cloned();
        let rows: Vec<Row> = answer.items.unwrap_or_default().into_iter().filter_map(|item| row(day, item)).collect();
        // Where what was read last is no row, go on from the last row before it.
        let more_before = last.and_then(|key| position(day, &key).or(rows.last().map(|(position, _)| *position)));
        Ok(Shard { rows, more_before })
    }
}

/// The position that every row of `day` is at or after, and none of the days before.
fn end_of(day: u64) -> Position {
    Position { minute: day * DAY, fingerprint: Fingerprint(0) }
}

/// The day of the rows next before a position.
fn day_before(position: Position) -> u64 {
    let day = position.minute / DAY;
    if position == end_of(day) { day.saturating_sub(1) } else { day }
}

fn position(day: u64, item: &HashMap<String, AttributeValue>) -> Option<Position> {
    Position::from_sort_key(day, item.get("sk")?.as_s().ok()?)
}

/// The row that an item is; `None` where it is of another form.
fn row(day: u64, item: HashMap<String, AttributeValue>) -> Option<Row> {
    let position = position(day, &item)?;
    let mut breadcrumb: Breadcrumb = serde_dynamo::from_item(item).ok()?;
    let first_request = breadcrumb.request_id.as_ref();
    breadcrumb.more_request_ids.retain(|id| Some(id) != first_request);
    // Environments write in any order; each knows only of its own errors.
    let (first_at, last_at) =
        (breadcrumb.first_at.min(breadcrumb.last_at), breadcrumb.first_at.max(breadcrumb.last_at));
    Some((position, Breadcrumb { first_at, last_at, ..breadcrumb }))
}

fn page(mut rows: Vec<Row>, next: Option<Position>) -> Page {
    rows.sort_by_key(|(position, breadcrumb)| Reverse((position.minute, breadcrumb.last_at)));
    Page { breadcrumbs: rows.into_iter().map(|(_, breadcrumb)| breadcrumb).collect(), next: next.map(Cursor) }
}
