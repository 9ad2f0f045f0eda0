//! The record of what admins did, kept for 400 days: one partition a month.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::session::random_id;
use super::table::{AdminsTable, TableError, failed, from_item, key, text};
use crate::clock::Timestamp;

const DAY: Duration = Duration::from_secs(24 * 3600);
const KEPT_DAYS: u32 = 400;
/// The most entries that are read at once.
const LONGEST: usize = 1_000;

/// One thing that was done.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AuditEntry {
    /// When, Unix milliseconds.
    pub at: u64,
    /// Who: an admin's e-mail address, or `cli:<user>`.
    pub actor: String,
    /// What, such as `account.suspend`.
    pub action: String,
    /// To what, such as `acme`.
    pub target: String,
    /// What changed, in a sentence; no secret.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub detail: String,
    /// The request that did it, if it was one.
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
    /// Writes down what was done.
    ///
    /// # Errors
    /// [`TableError`] when it could not be written.
    pub async fn audit(&self, entry: &AuditEntry) -> Result<(), TableError> {
        let at = Timestamp::from_millis(entry.at);
        let stored = StoredEntry { entry, expires_at: at.plus(DAY * KEPT_DAYS).as_secs() };
        self.put(key(partition(&at.month()), &format!("{:015}#{}", entry.at, random_id())), &stored).await
    }

    /// What was done lately, newest first, at most `limit` entries and never more than 1,000.
    ///
    /// # Errors
    /// [`TableError`] when the table cannot be read.
    pub async fn audit_log(&self, limit: usize, now: Timestamp) -> Result<Vec<AuditEntry>, TableError> {
        let limit = limit.min(LONGEST);
        let oldest = now.as_millis().saturating_sub(millis(DAY * KEPT_DAYS));
        let mut entries: Vec<AuditEntry> = Vec::new();
        for month in months(now) {
            let missing = limit - entries.len();
            if missing == 0 {
                break;
            }
            entries.extend(self.audit_of(&month, missing).await?);
        }
        entries.retain(|entry| entry.at > oldest);
        Ok(entries)
    }

    /// The newest entries of a month, newest first.
    async fn audit_of(&self, month: &str, limit: usize) -> Result<Vec<AuditEntry>, TableError> {
        let mut items = self
            .client
            .query()
            .table_name(&self.name)
            .key_condition_expression("pk = :month")
            .expression_attribute_values(":month", text(partition(month)))
            .scan_index_forward(false)
            .consistent_read(true)
            .limit(i32::try_from(limit).unwrap_or(i32::MAX))
            .into_paginator()
            .items()
            .send();
        let mut entries = Vec::new();
        while entries.len() < limit {
            let Some(item) = items.next().await else { break };
            entries.push(from_item(item.map_err(|error| failed(&error))?)?);
        }
        Ok(entries)
    }
}

fn partition(month: &str) -> String {
    format!("AUDIT#{month}")
}

/// The months that entries may be in, from that of `now` back.
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
}
