//! Counts of reports in Redis: those of one request in one round trip, within the bounds of its sender and project.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use levee_core::csp::policy::Version;
use levee_core::csp::{Group, Violation};
use redis::Script;
use redis::aio::MultiplexedConnection;
use serde::{Deserialize, Serialize};

use super::project::ProjectName;
use crate::clock::Timestamp;
use crate::config::Reader;
use crate::stores::redis::{Redis, Unavailable};

/// Lifetime of the counts of a minute that the monitor does not fold.
const MINUTE_KEPT: Duration = Duration::from_secs(3 * 3600);
/// Lifetime of the groups of a project without reports.
const GROUPS_KEPT: Duration = Duration::from_secs(35 * 24 * 3600);
/// Lifetime of the reach of a day, which outlives the day's last fold.
const REACH_KEPT: Duration = Duration::from_secs(27 * 3600);

/// Bounds of what strangers may store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CspBounds {
    /// `CSP_REPORTS_PER_MINUTE`: reports of one network (an IPv4 /24 or an IPv6 /64) in a minute. Further ones are only
    /// counted. Default 120, 1 to 100,000. A browser sends a few for each page.
    pub reports_per_minute: u64,
    /// `CSP_GROUPS_PER_PROJECT`: groups of one project. Default 1,000, 10 to 10,000.
    pub groups_per_project: u64,
    /// `CSP_NEW_GROUPS_PER_HOUR`: new groups of one project in an hour. Default 50, 1 to 1,000. A new policy with a
    /// mistake makes some dozens.
    pub new_groups_per_hour: u64,
    /// `CSP_NEW_GROUPS_PER_NETWORK`: new groups of one project in an hour that one network may make. Default 10, 1 to
    /// 1,000. It keeps one sender from using up the project's.
    pub new_groups_per_network: u64,
    /// `CSP_MEMORY_PERCENT`: used part of Redis's memory from which nothing new is stored, in percent. Default 70, 1 to
    /// 100. Limits and breakers need the rest.
    pub memory_percent: u64,
}

impl CspBounds {
    /// Reads the variables that the fields name.
    pub fn read(reader: &mut Reader<'_>) -> Self {
        Self {
            reports_per_minute: reader.number("CSP_REPORTS_PER_MINUTE", 120, 1..=100_000),
            groups_per_project: reader.number("CSP_GROUPS_PER_PROJECT", 1_000, 10..=10_000),
            new_groups_per_hour: reader.number("CSP_NEW_GROUPS_PER_HOUR", 50, 1..=1_000),
            new_groups_per_network: reader.number("CSP_NEW_GROUPS_PER_NETWORK", 10, 1..=1_000),
            memory_percent: reader.number("CSP_MEMORY_PERCENT", 70, 1..=100),
        }
    }
}

/// Meaning and first example of a group, as Redis keeps it until it is folded.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Meaning {
    /// The group.
    #[serde(flatten)]
    pub group: Group,
    /// Example without personal data; empty for an overflow group.
    #[serde(default)]
    pub example: Example,
}

/// Cleaned parts of the first report of a group.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Example {
    /// Path template of the blocked resource.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub blocked_path: Option<String>,
    /// Origin and path template of the script that caused it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<String>,
    /// Beginning of the inline code.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sample: Option<String>,
    /// Page on which it happened: host and path template.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub page: Option<String>,
    /// True if the policy was only reporting.
    #[serde(default)]
    pub is_report_only: bool,
}

/// Reports of one request.
#[derive(Debug, Default)]
pub struct Batch<'a> {
    /// Usable reports.
    pub violations: Vec<Violation>,
    /// Numbers of entries that belong to no group, by name.
    pub counts: BTreeMap<&'static str, u64>,
    /// Pseudonym of the sender's network on this day.
    pub network: &'a str,
}

/// Result of counting a batch.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct BatchTally {
    /// Reports that were counted in a group.
    pub counted: u64,
    /// Reports beyond the network's bound, which were only counted as such.
    pub beyond_network: u64,
    /// Of the counted reports, those in an overflow group.
    pub overflowed: u64,
}

/// Counter of reports in Redis.
pub struct Counter {
    redis: Arc<Redis>,
    bounds: CspBounds,
    script: Script,
}

impl Counter {
    /// Creates a counter. Does not connect yet.
    pub fn new(redis: Arc<Redis>, bounds: CspBounds) -> Self {
        Self { redis, bounds, script: Script::new(include_str!("count.lua")) }
    }

    /// Counts a batch for `project`, received at `now`, in one round trip.
    ///
    /// # Errors
    /// [`Unavailable`] if Redis did not answer. The reports are lost.
    pub async fn count(
        &self,
        project: &ProjectName,
        batch: &Batch<'_>,
        now: Timestamp,
    ) -> Result<BatchTally, Unavailable> {
        // Name the keys: counts of the minute, bounds of the sender, groups of the project.
        let (minute, hour) = (now.as_secs() / 60, now.as_secs() / 3600);
        let mut call = self.script.prepare_invoke();
        call.key(minute_key(minute)).key(MINUTES_KEY);
        call.key(format!("{{levee}}:csp:network:{minute}:{}", batch.network)).key(MEMORY_KEY);
        call.key(groups_key(project));
        call.key(format!("{{levee}}:csp:new:{hour}:{project}"));
        call.key(format!("{{levee}}:csp:new:{hour}:{project}:{}", batch.network));
        // Pass the bounds and the lifetimes.
        let CspBounds { reports_per_minute, groups_per_project, new_groups_per_hour, new_groups_per_network, .. } =
            self.bounds;
        call.arg(minute).arg(project.as_str()).arg(batch.network);
        call.arg(reports_per_minute).arg(groups_per_project).arg(new_groups_per_hour).arg(new_groups_per_network);
        call.arg(self.bounds.memory_percent);
        call.arg(MINUTE_KEPT.as_secs()).arg(GROUPS_KEPT.as_secs()).arg(REACH_KEPT.as_secs());
        // The counts that belong to no group.
        call.arg(batch.counts.len());
        for (name, amount) in &batch.counts {
            call.arg(*name).arg(*amount);
        }
        // The reports, each with its group and its overflow group.
        for violation in &batch.violations {
            let group = Group::new(project.as_str(), violation);
            let overflow = group.overflow();
            let (id, overflow_id) = (group.id(), overflow.id());
            call.key(reach_key(now, &id)).key(reach_key(now, &overflow_id));
            call.arg(id).arg(to_json(&Meaning { group, example: example(violation) }));
            call.arg(overflow_id).arg(to_json(&Meaning { group: overflow, example: Example::default() }));
            call.arg(violation.browser.name());
            call.arg(violation.version.as_ref().map_or(Version::OTHER, Version::as_str));
        }
        let run =
            async |mut connection: MultiplexedConnection| call.invoke_async::<(u64, u64, u64)>(&mut connection).await;
        let (counted, beyond_network, overflowed) = self.redis.run(run).await?;
        Ok(BatchTally { counted, beyond_network, overflowed })
    }
}

/// Key of the sorted set of minutes that have counts.
pub(super) const MINUTES_KEY: &str = "{levee}:csp:minutes";
/// Key of the used part of Redis's memory, in percent.
pub(super) const MEMORY_KEY: &str = "{levee}:memory";

pub(super) fn minute_key(minute: u64) -> String {
    format!("{{levee}}:csp:minute:{minute}")
}

pub(super) fn groups_key(project: &ProjectName) -> String {
    format!("{{levee}}:csp:groups:{project}")
}

pub(super) fn reach_key(at: Timestamp, group: &str) -> String {
    format!("{{levee}}:csp:reach:{}:{group}", at.as_secs() / 86_400)
}

fn example(violation: &Violation) -> Example {
    Example {
        blocked_path: violation.blocked_path.clone(),
        source: violation.source.clone(),
        sample: violation.sample.clone(),
        page: Some(format!("{}{}", violation.document_host, violation.document_path)),
        is_report_only: violation.is_report_only,
    }
}

fn to_json(meaning: &Meaning) -> String {
    serde_json::to_string(meaning).unwrap_or_default()
}
