//! Reads the rows of all partitions of a week as one list, newest first, one page at a time.
//!
//! A page is read in steps. A step queries all partitions of one day for their newest rows before a position. A
//! partition that has more rows limits the step: only rows at or after the newest such limit are certain to be
//! complete, and these pass through the filter. A page ends when it is full, when no older rows are kept, or after
//! [`MAX_STEPS`] steps. In the last case it may be short, and the next page continues from there.

use std::cmp::Reverse;
use std::collections::HashMap;

use aws_sdk_dynamodb::types::AttributeValue;
use futures_util::future::try_join_all;

use super::cursor::Cursor;
use super::fingerprint::{DAY, Fingerprint, Position, SHARDS, partition};
use super::table::{BreadcrumbTable, BreadcrumbTableError, KEPT, KEPT_DAYS};
use super::{Breadcrumb, Severity};
use crate::clock::Timestamp;
use crate::stores::dynamodb::describe;

/// Largest number of breadcrumbs on a page.
const LONGEST_PAGE: usize = 200;
/// Largest number of steps for a page: one for each day without errors, today's included, and some more.
const MAX_STEPS: usize = KEPT_DAYS as usize + 5;
/// Rows per partition that a step reads if a filter is set.
const FILTERED_ROWS: usize = 100;

/// Filter for breadcrumbs. `None` matches all.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Filter {
    /// Function that logged the error.
    pub function: Option<String>,
    /// Code of the error.
    pub code: Option<String>,
    /// Severity of the error.
    pub severity: Option<Severity>,
    /// Account whose request had the error.
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

/// One page of breadcrumbs, newest first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BreadcrumbPage {
    /// Breadcrumbs, newest minute first; within a minute, latest `last_at` first.
    pub breadcrumbs: Vec<Breadcrumb>,
    /// Cursor of the next page; `None` at the end of the kept rows. A page with few or no breadcrumbs may have one
    /// too.
    pub next: Option<Cursor>,
}

type Row = (Position, Breadcrumb);

/// Rows of one day, newest first, complete down to `end`.
struct Step {
    rows: Vec<Row>,
    end: Position,
}

/// Rows of one partition, newest first. If `more_before` is set, older rows follow before it.
struct Shard {
    rows: Vec<Row>,
    more_before: Option<Position>,
}

impl BreadcrumbTable {
    /// Reads at most `limit` (1 to 200) breadcrumbs of the last [`KEPT`], newest first, starting after `after`.
    ///
    /// # Errors
    /// [`BreadcrumbTableError`] if the table cannot be read.
    pub async fn page(
        &self,
        filter: &Filter,
        after: Option<&Cursor>,
        limit: usize,
        now: Timestamp,
    ) -> Result<BreadcrumbPage, BreadcrumbTableError> {
        let limit = limit.clamp(1, LONGEST_PAGE);
        // Without a filter, each of the 8 partitions holds about an eighth of the page. Read twice that, and some
        // more.
        let rows = if *filter == Filter::default() { limit / 4 + 10 } else { FILTERED_ROWS };
        let newest = end_of(now.as_secs() / 60 / DAY + 1);
        let oldest = now.as_secs().saturating_sub(KEPT.as_secs()) / 60;
        let mut before = after.map_or(newest, |cursor| cursor.0.min(newest));
        let mut found = Vec::new();
        // Collect rows until the page is full or the oldest kept minute is reached.
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

    /// Reads the newest rows of one day before a position.
    async fn step(&self, before: Position, rows: usize) -> Result<Step, BreadcrumbTableError> {
        let day = day_before(before);
        let shards = try_join_all((0..SHARDS).map(|shard| self.shard(day, shard, before, rows))).await?;
        // Below the newest position that a partition stopped at, rows may be missing: keep only those above.
        let end = shards.iter().filter_map(|shard| shard.more_before).max().unwrap_or(end_of(day));
        let mut rows: Vec<Row> = shards.into_iter().flat_map(|shard| shard.rows).collect();
        rows.retain(|(position, _)| *position >= end);
        rows.sort_unstable_by_key(|(position, _)| Reverse(*position));
        Ok(Step { rows, end })
    }

    /// Reads the newest rows of one partition before a position.
    async fn shard(&self, day: u64, shard: u64, before: Position, rows: usize) -> Result<Shard, BreadcrumbTableError> {
        // From the end of the day, read all of its rows.
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
            .map_err(|error| BreadcrumbTableError(describe(&error)))?;
        // Skip items that are not valid rows.
        let last = answer.last_evaluated_key().cloned();
        let rows: Vec<Row> = answer.items.unwrap_or_default().into_iter().filter_map(|item| row(day, item)).collect();
        // If the last key read is not a valid row's, continue from the last valid row before it.
        let more_before = last.and_then(|key| position(day, &key).or(rows.last().map(|(position, _)| *position)));
        Ok(Shard { rows, more_before })
    }
}

/// Returns the lower bound of the rows of `day`: all of them are at or after it, and those of earlier days before
/// it.
fn end_of(day: u64) -> Position {
    Position { minute: day * DAY, fingerprint: Fingerprint(0) }
}

/// Returns the day of the rows just before a position.
fn day_before(position: Position) -> u64 {
    let day = position.minute / DAY;
    if position == end_of(day) { day.saturating_sub(1) } else { day }
}

fn position(day: u64, item: &HashMap<String, AttributeValue>) -> Option<Position> {
    Position::from_sort_key(day, item.get("sk")?.as_s().ok()?)
}

/// Parses an item as a row. Returns `None` if it has another form.
fn row(day: u64, item: HashMap<String, AttributeValue>) -> Option<Row> {
    let position = position(day, &item)?;
    let mut breadcrumb: Breadcrumb = serde_dynamo::from_item(item).ok()?;
    let first_request = breadcrumb.request_id.as_ref();
    breadcrumb.more_request_ids.retain(|id| Some(id) != first_request);
    // Environments write in any order, and each knows only its own errors: put the two times in order.
    let (first_at, last_at) =
        (breadcrumb.first_at.min(breadcrumb.last_at), breadcrumb.first_at.max(breadcrumb.last_at));
    Some((position, Breadcrumb { first_at, last_at, ..breadcrumb }))
}

fn page(mut rows: Vec<Row>, next: Option<Position>) -> BreadcrumbPage {
    rows.sort_by_key(|(position, breadcrumb)| Reverse((position.minute, breadcrumb.last_at)));
    BreadcrumbPage { breadcrumbs: rows.into_iter().map(|(_, breadcrumb)| breadcrumb).collect(), next: next.map(Cursor) }
}
