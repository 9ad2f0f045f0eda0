//! One group: its facts, its trend, and the changes of its state.

use std::collections::BTreeMap;
use std::time::Duration;

use http::StatusCode;
use levee::admins::Role;
use levee::csp::table::day;
use levee::csp::{GroupRow, GroupState, ProjectName};
use levee::text::grouped;
use levee::web::{self, Answer, WebError, show};
use maud::{Markup, html};
use serde_json::json;

use super::report::GroupReport;
use super::{PAGE, parse_key};
use crate::audit::record;
use crate::site::{Call, SignedIn};
use crate::{error, layout};

/// Days of the trend.
const TREND_DAYS: u64 = 30;

/// Answers with a group, its trend and its example as JSON.
pub(crate) async fn one(call: &Call<'_>) -> Result<Answer, WebError> {
    let (project, row) = find(call).await?;
    let allowance = row.group().allowance();
    let trend: Vec<_> = trend(call, &project, &row.id).await?;
    let trend: Vec<_> = trend.iter().map(|(day, reports)| json!({ "day": day, "reports": reports })).collect();
    // What the page shows, for programs.
    let body = json!({
        "group": GroupReport::new(&row),
        "browsers": row.browsers,
        "versions": row.versions,
        "days": trend,
        "example": row.example,
        "to_allow": { "text": allowance.text, "risky": allowance.is_risky },
    });
    Ok(web::json(StatusCode::OK, &body))
}

/// Shows a group.
pub(crate) async fn page(call: &Call<'_>, admin: &SignedIn) -> Result<Answer, WebError> {
    let (project, row) = find(call).await?;
    // Read the trend, and derive what would allow the group.
    let report = GroupReport::new(&row);
    let days = trend(call, &project, &row.id).await?;
    let allowance = row.group().allowance();
    let example = &row.example;
    let or_none = |text: &Option<String>| text.clone().unwrap_or_else(|| "–".to_owned());
    let content = html! {
        p { a href=(call.links.to(PAGE)) { "All policy violations" } }
        dl {
            dt { "Blocked" } dd { code { (report.blocked) } " by " code { (report.directive) } }
            dt { "Page" } dd { @if report.page.is_empty() { "any" } @else { code { (report.page) } } }
            dt { "Class" } dd { (report.class) }
            dt { "State" } dd { (report.state) }
            dt { "Reports" } dd { (grouped(report.reports)) ", from " (show::count(report.networks, "network")) " on the last day" }
            dt { "Seen" } dd { (show::time(report.first_seen.0)) " to " (show::time(report.last_seen.0)) }
            dt { "Browsers" } dd { (counts(&row.browsers)) }
            dt { "Policies" } dd { (counts(&row.versions)) }
            dt { "To allow it" } dd {
                code { (allowance.text) }
                @if allowance.is_risky { strong.warn { " This takes much of the policy's protection." } }
            }
        }
        h2 { "Reports by day" }
        (chart(&days))
        h2 { "First report" }
        dl {
            dt { "Resource" } dd { code { (or_none(&example.blocked_path)) } }
            dt { "Script" } dd { code { (or_none(&example.source)) } }
            dt { "Sample" } dd { code { (or_none(&example.sample)) } }
        }
        @if admin.user.role >= Role::Operator {
            h2 { "Change its state" }
            p { "A muted group is counted and raises no alert. A resolved one raises an alert if it comes back." }
            div.actions {
                @for (state, name, action) in [
                    (GroupState::Muted, "Mute", "mute"), (GroupState::Resolved, "Resolve", "resolve"), (GroupState::Open, "Reopen", "reopen"),
                ] {
                    @if row.state != state { (web::button(call, admin, &format!("{PAGE}/{}/{action}", report.key), name, "")) }
                }
            }
        }
    };
    Ok(layout::page(call, admin, PAGE, "Policy violation", content))
}

/// Stops alerts about a group.
pub(crate) async fn mute(call: &Call<'_>, admin: &SignedIn) -> Result<Answer, WebError> {
    change(call, admin, "csp.mute", GroupState::Muted).await
}

/// Marks a group as resolved.
pub(crate) async fn resolve(call: &Call<'_>, admin: &SignedIn) -> Result<Answer, WebError> {
    change(call, admin, "csp.resolve", GroupState::Resolved).await
}

/// Opens a group again.
pub(crate) async fn reopen(call: &Call<'_>, admin: &SignedIn) -> Result<Answer, WebError> {
    change(call, admin, "csp.reopen", GroupState::Open).await
}

async fn change(call: &Call<'_>, admin: &SignedIn, action: &str, to: GroupState) -> Result<Answer, WebError> {
    let (project, row) = find(call).await?;
    // Write the audit, then make the change.
    let detail = format!("{} of {}, {} to {}", row.directive, row.blocked, row.state.name(), to.name());
    record(call, &admin.user.email, action, call.id, &detail).await?;
    match call.state.csp.set_state(&project, &row.id, to, call.now).await {
        Ok(true) => Ok(call.changed(&json!({ "group": call.id, "state": to.name() }), &format!("{PAGE}/{}", call.id))),
        done => {
            // Record that the change failed or that its outcome is unknown.
            let detail = "could not be done; nothing was changed, or it is not known";
            record(call, &admin.user.email, &format!("{action}.failed"), call.id, detail).await?;
            done.map_err(error::csp).and(Err(WebError::NotFound))
        }
    }
}

async fn find(call: &Call<'_>) -> Result<(ProjectName, GroupRow), WebError> {
    let (project, id) = parse_key(call.id).ok_or(WebError::NotFound)?;
    let row = call.state.csp.group(&project, id).await.map_err(error::csp)?;
    row.map(|row| (project, row)).ok_or(WebError::NotFound)
}

/// Reads the reports of the last days by day, with zeros for days without any.
async fn trend(call: &Call<'_>, project: &ProjectName, id: &str) -> Result<Vec<(String, u64)>, WebError> {
    let at = |ago: u64| day(call.now.minus(Duration::from_secs(ago * 24 * 3600)));
    let days = call.state.csp.group_days(project, id, &at(TREND_DAYS - 1)).await.map_err(error::csp)?;
    let reports = |day: &str| days.get(day).map_or(0, |hours| hours.iter().sum());
    Ok((0..TREND_DAYS).rev().map(at).map(|day| (day.clone(), reports(&day))).collect())
}

/// Draws one bar for each day. The text alternative has the sum and the highest day.
fn chart(days: &[(String, u64)]) -> Markup {
    // The highest day fills the chart.
    let most = days.iter().map(|(_, reports)| *reports).max().unwrap_or(0);
    let sum: u64 = days.iter().map(|(_, reports)| reports).sum();
    let highest = days.iter().find(|(_, reports)| *reports == most).map_or("", |(day, _)| day);
    let label = format!("{} reports in {} days, at most {} on {highest}", grouped(sum), days.len(), grouped(most));
    let width = days.len() * 20;
    html! {
        svg.chart role="img" aria-label=(label) viewBox={ "0 0 " (width) " 100" } preserveAspectRatio="none" {
            @for (index, (_, reports)) in days.iter().enumerate() {
                // A day with a single report is still visible.
                @let height = if *reports == 0 { 0 } else { (reports * 96).div_ceil(most.max(1)).max(3) };
                rect x=(index * 20 + 3) y=(100 - height) width="14" height=(height) {}
            }
            line x1="0" y1="100" x2=(width) y2="100" {}
        }
        p.soft { (label) ". From " (days.first().map_or("", |(day, _)| day)) " to " (days.last().map_or("", |(day, _)| day)) ", UTC." }
    }
}

fn counts(counts: &BTreeMap<String, u64>) -> String {
    let parts: Vec<_> = counts.iter().map(|(name, count)| format!("{name} {}", grouped(*count))).collect();
    if parts.is_empty() { "–".to_owned() } else { parts.join(", ") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_chart_names_its_sum_and_its_highest_day() {
        let days = [("2026-11-28", 1), ("2026-11-29", 0), ("2026-11-30", 1_200)];
        let days = days.map(|(day, reports)| (day.to_owned(), reports));
        let chart = chart(&days).into_string();
        assert!(chart.contains(r#"aria-label="1,201 reports in 3 days, at most 1,200 on 2026-11-30""#), "{chart}");
        assert_eq!(chart.matches("<rect").count(), 3);
        assert!(chart.contains(r#"y="97" width="14" height="3""#), "one report is visible: {chart}");
    }
}
