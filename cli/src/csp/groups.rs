//! Groups of reports: lists, one group, and their states.

use std::time::Duration;

use anyhow::Context as _;
use levee::clock::Timestamp;
use levee::csp::table::day;
use levee::csp::{GroupRow, GroupState, ProjectName};
use levee::text::grouped;
use serde::Serialize;
use serde_json::json;

use super::GroupArgs;
use crate::context::Context;
use crate::output::{NOTHING, fields, moment};

/// Largest number of groups that one command reads.
const MOST_READ: usize = 10_000;
/// Days of the reports of one group that are shown.
const DAYS_SHOWN: u32 = 30;

/// A group, as it is shown.
#[derive(Debug, Serialize)]
struct GroupView {
    id: String,
    state: &'static str,
    class: &'static str,
    directive: &'static str,
    blocked: String,
    page: String,
    reports: u64,
    /// Networks of the last day with reports.
    reach: u64,
    first_seen: Option<String>,
    last_seen: Option<String>,
}

impl GroupView {
    const HEADERS: &[&str] =
        &["GROUP", "STATE", "CLASS", "DIRECTIVE", "BLOCKED", "PAGE", "REPORTS", "NETWORKS", "LAST"];

    fn new(row: &GroupRow) -> Self {
        let is_overflow = row.group().is_overflow();
        Self {
            id: row.id.clone(),
            state: row.state.name(),
            class: row.class.name(),
            directive: row.directive.name(),
            blocked: if is_overflow { "(many)".to_owned() } else { row.blocked.clone() },
            page: if is_overflow { "(many)".to_owned() } else { row.document.clone() },
            reports: row.total,
            reach: row.reach,
            first_seen: moment(Some(row.first_seen)),
            last_seen: moment(Some(row.last_seen)),
        }
    }

    fn row(&self) -> Vec<String> {
        let or_nothing = |text: &str| if text.is_empty() { NOTHING.to_owned() } else { text.to_owned() };
        vec![
            self.id.clone(),
            self.state.to_owned(),
            self.class.to_owned(),
            self.directive.to_owned(),
            or_nothing(&self.blocked),
            or_nothing(&self.page),
            grouped(self.reports),
            grouped(self.reach),
            self.last_seen.clone().unwrap_or_default(),
        ]
    }
}

/// Lists the groups of a project, the latest first.
pub(super) async fn list(context: &Context, project: &ProjectName, noise: bool, limit: usize) -> anyhow::Result<()> {
    let mut rows = context.target.csp.groups(project, MOST_READ).await?;
    // Leave out noise unless it is asked for, and begin with the latest.
    rows.retain(|row| noise || !row.class.is_noise());
    rows.sort_by_key(|row| std::cmp::Reverse(row.last_seen));
    let views: Vec<_> = rows.iter().take(limit).map(GroupView::new).collect();
    let none = format!("no reports about {project} yet, or noise only (see --noise)");
    context.output.list(&views, GroupView::HEADERS, &none, GroupView::row)
}

/// Shows one group.
pub(super) async fn show(context: &Context, project: &ProjectName, id: &str) -> anyhow::Result<()> {
    let row = find(context, project, id).await?;
    // Read the group and its reports of the last days.
    let from = day(context.now().minus(Duration::from_secs(u64::from(DAYS_SHOWN) * 86_400)));
    let days = context.target.csp.group_days(project, id, &from).await?;
    let by_day: Vec<(String, u64)> = days.iter().map(|(day, hours)| (day.clone(), hours.iter().sum())).collect();
    // Print all of it as JSON, or as fields and a bar for each day.
    let view = GroupView::new(&row);
    let allowance = row.group().allowance();
    let example = &row.example;
    let value = json!({
        "group": view,
        "browsers": row.browsers,
        "versions": row.versions,
        "days": by_day.iter().map(|(day, reports)| json!({ "day": day, "reports": reports })).collect::<Vec<_>>(),
        "example": example,
        "to_allow": { "text": allowance.text, "risky": allowance.is_risky },
    });
    context.output.say(&value, || {
        let counts = |counts: &std::collections::BTreeMap<String, u64>| {
            let parts: Vec<_> = counts.iter().map(|(name, count)| format!("{name} {}", grouped(*count))).collect();
            parts.join(", ")
        };
        let or_nothing = |text: &Option<String>| text.clone().unwrap_or_else(|| NOTHING.to_owned());
        let mut text = fields(&[
            ("group", view.id.clone()),
            ("state", view.state.to_owned()),
            ("class", view.class.to_owned()),
            ("directive", view.directive.to_owned()),
            ("blocked", view.blocked.clone()),
            ("page", view.page.clone()),
            ("reports", grouped(view.reports)),
            ("networks", format!("{} on the last day with reports", grouped(view.reach))),
            ("first", view.first_seen.clone().unwrap_or_default()),
            ("last", view.last_seen.clone().unwrap_or_default()),
            ("browsers", counts(&row.browsers)),
            ("policies", counts(&row.versions)),
            ("resource", or_nothing(&example.blocked_path)),
            ("source", or_nothing(&example.source)),
            ("sample", or_nothing(&example.sample)),
            ("to allow", format!("{}{}", allowance.text, if allowance.is_risky { " (risky)" } else { "" })),
        ]);
        // The longest bar has 40 characters.
        let most = by_day.iter().map(|(_, reports)| *reports).max().unwrap_or(0).max(1);
        for (day, reports) in &by_day {
            let bar = "#".repeat(usize::try_from((reports * 40).div_ceil(most)).unwrap_or(0));
            text.push_str(&format!("{day}  {:>8}  {bar}\n", grouped(*reports)));
        }
        text
    })
}

/// Sets the state of a group, and writes it to the audit.
pub(super) async fn set_state(context: &Context, group: &GroupArgs, state: GroupState) -> anyhow::Result<()> {
    let GroupArgs { project, group: id } = group;
    let row = find(context, project, id).await?;
    let now: Timestamp = context.now();
    if row.state == state {
        let json = json!({ "group": id, "state": state.name(), "changed": false });
        return context.output.say(&json, || format!("{id} is {} already", state.name()));
    }
    // Write the audit, then the state.
    let change = async {
        let is_there = context.target.csp.set_state(project, id, state, now).await?;
        is_there.then_some(()).with_context(|| format!("there is no group {id} any more"))
    };
    let action = match state {
        GroupState::Open => "csp.reopen",
        GroupState::Muted => "csp.mute",
        GroupState::Resolved => "csp.resolve",
    };
    let detail = format!("{} of {}, {} -> {}", row.directive, row.blocked, row.state.name(), state.name());
    context.change(action, &format!("{project}/{id}"), detail, change).await?;
    let json = json!({ "group": id, "state": state.name(), "changed": true });
    context.output.say(&json, || format!("{id} is {}", state.name()))
}

async fn find(context: &Context, project: &ProjectName, id: &str) -> anyhow::Result<GroupRow> {
    let row = context.target.csp.group(project, id).await?;
    row.with_context(|| format!("{project} has no group {id}; list them with: levee csp list {project}"))
}
