//! `levee csp try`: the reports of the last days, judged by a proposed policy.

use std::collections::BTreeMap;
use std::time::Duration;

use levee::csp::table::day;
use levee::csp::{GroupRow, Judgement, Policy, ProjectName};
use levee::text::grouped;
use serde::Serialize;
use serde_json::json;

use super::policy;
use super::project::find;
use crate::context::Context;
use crate::output::table;

/// Largest number of groups that are judged.
const MOST_JUDGED: usize = 10_000;

/// A judged group, as it is shown.
#[derive(Debug, Serialize)]
struct JudgedView {
    judgement: Judgement,
    reports: u64,
    id: String,
    directive: &'static str,
    blocked: String,
    page: String,
}

impl JudgedView {
    const HEADERS: &[&str] = &["JUDGEMENT", "REPORTS", "GROUP", "DIRECTIVE", "BLOCKED", "PAGE"];

    fn row(&self) -> Vec<String> {
        let judgement = name(self.judgement).to_owned();
        vec![
            judgement,
            grouped(self.reports),
            self.id.clone(),
            self.directive.to_owned(),
            self.blocked.clone(),
            self.page.clone(),
        ]
    }
}

fn name(judgement: Judgement) -> &'static str {
    match judgement {
        Judgement::Blocked => "blocked",
        Judgement::NotBlocked => "not blocked",
        Judgement::Unknown => "cannot be known",
    }
}

/// Judges the groups of a project with reports in the last `days` days.
pub(super) async fn run(context: &Context, project: &ProjectName, file: &str, days: u16) -> anyhow::Result<()> {
    // Read the proposal and the policy that is served.
    let proposal = policy::read(file)?;
    let stored = find(context, project).await?;
    let served = stored.served().and_then(|served| Policy::parse(&served.text).ok());
    let stricter: Vec<&str> = served.as_ref().map(|served| proposal.stricter_than(served)).unwrap_or_default();

    // Judge every group with reports in that time; noise has no page to judge.
    let from = day(context.now().minus(Duration::from_secs(u64::from(days) * 86_400)));
    let mut judged = Vec::new();
    let mut unjudged = 0;
    for row in context.target.csp.groups(project, MOST_JUDGED).await? {
        let reports = reports_since(context, project, &row, &from).await?;
        match row.group().judge(&proposal) {
            _ if reports == 0 => {}
            None => unjudged += reports,
            Some(judgement) => judged.push(JudgedView {
                judgement,
                reports,
                id: row.id,
                directive: row.directive.name(),
                blocked: row.blocked,
                page: row.document,
            }),
        }
    }
    // Begin with what would be blocked, most reports first.
    judged.sort_by_key(|view| (view.judgement, std::cmp::Reverse(view.reports)));
    let mut sums: BTreeMap<Judgement, u64> = BTreeMap::new();
    for view in &judged {
        *sums.entry(view.judgement).or_default() += view.reports;
    }
    let sum = |judgement| sums.get(&judgement).copied().unwrap_or(0);

    let value = json!({
        "project": project.as_str(),
        "version": proposal.version().as_str(),
        "days": days,
        "stricter": stricter,
        "reports": {
            "blocked": sum(Judgement::Blocked),
            "not_blocked": sum(Judgement::NotBlocked),
            "unknown": sum(Judgement::Unknown),
            "not_judged": unjudged,
        },
        "groups": judged,
    });
    context.output.say(&value, || {
        // Warn of what was never reported before the sums, as these cannot show it.
        let mut text = String::new();
        if served.is_none() {
            text.push_str("no policy is served yet, so nothing was reported; serve this one report-only first\n\n");
        } else if !stricter.is_empty() {
            text.push_str(&format!(
                "stricter than the served policy in: {}\n  what it blocks there was never reported; serve it report-only first\n\n",
                stricter.join(", ")
            ));
        }
        text.push_str(&format!(
            "reports of {days} days: {} blocked, {} not blocked, {} cannot be known, {} of noise and overflow not judged\n",
            grouped(sum(Judgement::Blocked)),
            grouped(sum(Judgement::NotBlocked)),
            grouped(sum(Judgement::Unknown)),
            grouped(unjudged)
        ));
        if !judged.is_empty() {
            text.push('\n');
            text.push_str(&table(JudgedView::HEADERS, &judged.iter().map(JudgedView::row).collect::<Vec<_>>()));
        }
        text
    })
}

async fn reports_since(context: &Context, project: &ProjectName, row: &GroupRow, from: &str) -> anyhow::Result<u64> {
    let days = context.target.csp.group_days(project, &row.id, from).await?;
    Ok(days.values().flatten().sum())
}
