//! Audit of admins' actions, kept for 400 days, with one partition for each month.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::table::{AdminsTable, AdminsTableError, failed, from_item, key, text};
use crate::clock::Timestamp;
use crate::session_token::random_id;

const DAY: Duration = Duration::from_secs(24 * 3600);
const KEPT_DAYS: u32 = 400;
/// Most entries that one call reads.
const LONGEST: usize = 1_000;
/// Latest time that a cursor accepts, some 8,000 years from now, in Unix milliseconds.
const LATEST: u64 = 253_402_300_799_999;

/// One action of an admin.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AuditEntry {
    /// Time of the action, in Unix milliseconds.
    pub at: u64,
    /// Admin's e-mail address, or `cli:<user>`.
    pub actor: String,
    /// Name of the action, such as `account.suspend`.
    pub action: String,
    /// Target of the action, such as `acme`.
    pub target: String,
    /// Description of the change in a sentence, without secrets.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub detail: String,
    /// Id of the request that caused the action, if any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request_id: Option<String>,
}

#[derive(Serialize)]
struct StoredEntry<'a> {
    #[serde(flatten)]
    entry: &'a AuditEntry,
    /// Unix seconds.
    expires_at: u64,
}

impl AdminsTable {
    /// Writes an entry.
    ///
    /// # Errors
    /// [`AdminsTableError`] if it could not be written.
    pub async fn audit(&self, entry: &AuditEntry) -> Result<(), AdminsTableError> {
        let at = Timestamp::from_millis(entry.at);
        let stored = StoredEntry { entry, expires_at: at.plus(DAY * KEPT_DAYS).as_secs() };
        self.put(key(partition(&at.month()), &sort_key(entry.at, &random_id())), &stored).await
    }

    /// Reads the newest entries, newest first, at most `limit` and never more than 1,000.
    ///
    /// # Errors
    /// [`AdminsTableError`] if the table cannot be read.
    pub async fn audit_log(&self, limit: usize, now: Timestamp) -> Result<Vec<AuditEntry>, AdminsTableError> {
        Ok(self.audit_page(limit, None, now).await?.entries)
    }

    /// Reads a page as [`AdminsTable::audit_log`] does, starting after `after`, with the cursor of the next page.
    ///
    /// # Errors
    /// [`AdminsTableError`] if the table cannot be read.
    pub async fn audit_page(
        &self,
        limit: usize,
        after: Option<&AuditCursor>,
        now: Timestamp,
    ) -> Result<AuditPage, AdminsTableError> {
        let limit = limit.min(LONGEST);
        let oldest = now.as_millis().saturating_sub(millis(DAY * KEPT_DAYS));
        // Read the months from the newest one, or from that of the cursor, until the page is full.
        let newest_month = after.map(|after| Timestamp::from_millis(after.at).month());
        let mut found: Vec<(AuditCursor, AuditEntry)> = Vec::new();
        for month in months(now).into_iter().filter(|month| newest_month.as_ref().is_none_or(|newest| month <= newest))
        {
            // Read one more entry than requested, to know if there is a next page.
            let missing = limit + 1 - found.len();
            if missing == 0 {
                break;
            }
            found.extend(self.audit_of(&month, after, missing).await?);
        }
        // Drop expired entries that DynamoDB has not removed yet.
        found.retain(|(_, entry)| entry.at > oldest);
        let is_last = found.len() <= limit;
        found.truncate(limit);
        // If there is more, the next page begins after the last entry of this one.
        let next = found.last().filter(|_| !is_last).map(|(cursor, _)| cursor.clone());
        Ok(AuditPage { entries: found.into_iter().map(|(_, entry)| entry).collect(), next })
    }

    /// Reads the newest entries of a month, newest first, starting after `after`.
    async fn audit_of(
        &self,
        month: &str,
        after: Option<&AuditCursor>,
        limit: usize,
    ) -> Result<Vec<(AuditCursor, AuditEntry)>, AdminsTableError> {
        // Every sort key begins with a digit, and `:` sorts after all digits.
        let end = after.map_or_else(|| ":".to_owned(), AuditCursor::sort_key);
        let mut items = self
            .client
            .query()
            .table_name(&self.name)
            .key_condition_expression("pk = :month AND sk < :end")
            .expression_attribute_values(":month", text(partition(month)))
            .expression_attribute_values(":end", text(end))
            .scan_index_forward(false)
            .consistent_read(true)
            .limit(i32::try_from(limit).unwrap_or(i32::MAX))
            .into_paginator()
            .items()
            .send();
        let mut entries = Vec::new();
        while entries.len() < limit {
            let Some(item) = items.next().await else { break };
            let item = item.map_err(|error| failed(&error))?;
            let cursor = item.get("sk").and_then(|sk| sk.as_s().ok()).and_then(|sk| AuditCursor::of_sort_key(sk));
            let cursor = cursor.ok_or_else(|| AdminsTableError("an audit entry is not where one can be".to_owned()))?;
            entries.push((cursor, from_item(item)?));
        }
        Ok(entries)
    }
}

/// Page of audit entries.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuditPage {
    /// Entries, newest first.
    pub entries: Vec<AuditEntry>,
    /// Cursor of the next page; `None` if this is the last one.
    pub next: Option<AuditCursor>,
}

/// Position after an entry, at which the next page begins. Its text form is safe in a URL.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuditCursor {
    at: u64,
    /// Id that distinguishes entries of the same millisecond.
    id: String,
}

impl AuditCursor {
    fn sort_key(&self) -> String {
        sort_key(self.at, &self.id)
    }

    fn of_sort_key(sort_key: &str) -> Option<Self> {
        let (at, id) = sort_key.split_once('#')?;
        Some(Self { at: at.parse().ok()?, id: id.to_owned() })
    }
}

impl fmt::Display for AuditCursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.at, self.id)
    }
}

impl FromStr for AuditCursor {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let parse = || {
            let (at, id) = text.split_once('-')?;
            let is_id = id.len() == 32 && id.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
            let at = at.parse().ok().filter(|at| *at <= LATEST)?;
            is_id.then(|| Self { at, id: id.to_owned() })
        };
        // Each position has exactly one text form: no signs and no leading zeros.
        parse().filter(|cursor| cursor.to_string() == text).ok_or("is not a place in the audit")
    }
}

fn sort_key(at: u64, id: &str) -> String {
    format!("{at:015}#{id}")
}

fn partition(month: &str) -> String {
    format!("AUDIT#{month}")
}

/// Returns the months that may hold entries, newest first.
fn months(now: Timestamp) -> Vec<String> {
    let day = |days: u32| Timestamp::from_millis(now.as_millis().saturating_sub(millis(DAY * days)));
    let mut months: Vec<String> = (0..=KEPT_DAYS).map(|days| day(days).month()).collect();
    months.dedup();
    months
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_months_go_back_as_far_as_entries_are_kept() {
        // 2026-03-31T12:00:00Z; 400 days before is 2025-02-24.
        let months = months(Timestamp::from_secs(1_774_958_400));
        assert_eq!((months.len(), months[0].as_str(), months[1].as_str()), (14, "2026-03", "2026-02"));
        assert_eq!(months.last().map(String::as_str), Some("2025-02"));
    }

    #[test]
    fn a_cursor_is_what_its_text_says_and_another_text_is_none() {
        let id = "0123456789abcdef0123456789abcdef";
        let text = format!("1774958400000-{id}");
        let cursor: AuditCursor = text.parse().unwrap();
        assert_eq!((cursor.to_string(), cursor.sort_key()), (text.clone(), format!("001774958400000#{id}")));
        assert_eq!(AuditCursor::of_sort_key(&cursor.sort_key()), Some(cursor));
        for other in [
            "",
            "-",
            "1774958400000",
            &text[1..text.len() - 1],
            &format!("0{text}"),
            &format!("+{text}"),
            &format!("253402300800000-{id}"),
            &text.to_uppercase(),
            &text.replace('-', "#"),
        ] {
            assert!(other.parse::<AuditCursor>().is_err(), "{other}");
        }
    }
}
