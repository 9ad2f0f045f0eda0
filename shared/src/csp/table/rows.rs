//! Rows of the table, and their reading from items.

use std::collections::{BTreeMap, HashMap};

use aws_sdk_dynamodb::types::AttributeValue;
use levee_core::csp::{Class, Directive, Group};
use serde::{Deserialize, Serialize};

use crate::csp::counter::Example;
use crate::csp::project::ProjectName;

type Item = HashMap<String, AttributeValue>;

/// State of a group, set by operators.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum GroupState {
    /// Its reports may raise alerts.
    #[default]
    Open,
    /// Its reports are counted and raise no alert.
    Muted,
    /// Its cause was removed. A later report raises an alert.
    Resolved,
}

impl GroupState {
    /// Returns the name as it is stored and shown.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Muted => "muted",
            Self::Resolved => "resolved",
        }
    }
}

/// Row of a group.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct GroupRow {
    /// Project of the group.
    #[serde(skip)]
    pub project: String,
    /// Identifier, a hash of the meaning.
    #[serde(rename = "sk")]
    pub id: String,
    /// Directive that blocked the resource.
    pub directive: Directive,
    /// Class of the reports.
    pub class: Class,
    /// Blocked origin, scheme or keyword.
    #[serde(default)]
    pub blocked: String,
    /// Origin and path template of the page, without `https://`.
    #[serde(default)]
    pub document: String,
    /// Time of the first report, in Unix seconds, rounded down to the minute.
    pub first_seen: u64,
    /// Time of the last report, in Unix seconds, rounded down to the minute.
    pub last_seen: u64,
    /// All reports.
    #[serde(default)]
    pub total: u64,
    /// Distinct networks that sent reports on the day of the last one, as a HyperLogLog estimates them (within 1 %).
    #[serde(default)]
    pub reach: u64,
    /// State that operators set.
    #[serde(default)]
    pub state: GroupState,
    /// Time of the last change of the state, in Unix seconds.
    #[serde(default)]
    pub state_since: u64,
    /// Cleaned parts of its first report.
    #[serde(default)]
    pub example: Example,
    /// Reports by family of browsers.
    #[serde(skip)]
    pub browsers: BTreeMap<String, u64>,
    /// Reports by policy version.
    #[serde(skip)]
    pub versions: BTreeMap<String, u64>,
}

/// Counts of a project on one day.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DayCounts {
    /// Day, such as `2026-11-30`.
    pub day: String,
    /// Entries that belong to no group, by name.
    pub plain: BTreeMap<String, u64>,
    /// Reports of the project by hour, noise excluded.
    pub hours: [u64; 24],
    /// Reports by policy version and hour, noise excluded.
    pub versions: BTreeMap<String, [u64; 24]>,
}

impl GroupRow {
    /// Returns the meaning of the group.
    pub fn group(&self) -> Group {
        let Self { project, directive, class, blocked, document, .. } = self.clone();
        Group { project, directive, class, blocked, document }
    }
}

pub(super) fn text(item: &Item, name: &str) -> Option<String> {
    item.get(name)?.as_s().ok().cloned()
}

fn number(value: &AttributeValue) -> u64 {
    value.as_n().ok().and_then(|text| text.parse().ok()).unwrap_or(0)
}

/// Returns the attributes `<prefix>00` to `<prefix>23`; a missing one is 0.
pub(super) fn hours(item: &Item, prefix: &str) -> [u64; 24] {
    std::array::from_fn(|hour| item.get(&format!("{prefix}{hour:02}")).map_or(0, number))
}

/// Returns the attributes with a prefix, under the rest of their names.
fn with_prefix(item: &Item, prefix: &str) -> BTreeMap<String, u64> {
    let named = item.iter().filter_map(|(name, value)| Some((name.strip_prefix(prefix)?.to_owned(), number(value))));
    named.collect()
}

pub(super) fn group_row(project: &ProjectName, item: Item) -> Option<GroupRow> {
    let (browsers, versions) = (with_prefix(&item, "b:"), with_prefix(&item, "v:"));
    let row: Result<GroupRow, _> = serde_dynamo::from_item(item);
    match row {
        Ok(row) => Some(GroupRow { project: project.to_string(), browsers, versions, ..row }),
        Err(error) => {
            tracing::error!(code = "csp.odd_group", %error, "a group cannot be read");
            None
        }
    }
}

pub(super) fn day_counts(item: &Item) -> Option<DayCounts> {
    let mut versions: BTreeMap<String, [u64; 24]> = BTreeMap::new();
    for (name, count) in with_prefix(item, "v:") {
        // `<version>:<hour>`
        let Some((version, hour)) = name.rsplit_once(':') else { continue };
        let Some(place) = hour.parse::<usize>().ok().filter(|hour| *hour < 24) else { continue };
        versions.entry(version.to_owned()).or_default()[place] = count;
    }
    Some(DayCounts { day: text(item, "sk")?, plain: with_prefix(item, "c:"), hours: hours(item, "h"), versions })
}

impl DayCounts {
    /// Returns the reports of the day, noise excluded.
    pub fn reports(&self) -> u64 {
        self.hours.iter().sum()
    }
}
