//! Groups of CSP reports: lists by project, one group with its trend, and their states.

mod group;
mod report;

use http::StatusCode;
use levee::csp::{GroupRow, Project, ProjectName};
use levee::text::grouped;
use levee::web::{self, Answer, WebError, show, table};
use maud::{Markup, html};
use serde_json::json;

pub(crate) use self::group::{mute, one, page as group_page, reopen, resolve};
use self::report::GroupReport;
use crate::site::{Call, SignedIn};
use crate::{error, layout};

const PAGE: &str = "/admin/csp";
/// Largest number of groups that a project's list is chosen from, and that a list shows.
const MOST_READ: usize = 2_000;
const MOST_SHOWN: usize = 50;

/// A project with its latest groups.
struct Listed {
    project: Project,
    groups: Vec<GroupRow>,
    /// Groups that are noise, which are left out.
    noise: usize,
}

/// Answers with the latest groups of each project, or of the project that is asked for, as JSON.
pub(crate) async fn list(call: &Call<'_>) -> Result<Answer, WebError> {
    let asked = call.query_name("project")?;
    // One entry for each project, with its latest groups.
    let mut projects = Vec::new();
    for Listed { project, groups, noise } in read(call, asked).await? {
        let groups: Vec<_> = groups.iter().map(GroupReport::new).collect();
        projects.push(json!({ "project": project.name.as_str(), "groups": groups, "noise_groups": noise }));
    }
    Ok(web::json(StatusCode::OK, &json!({ "projects": projects })))
}

/// Shows the latest groups of each project.
pub(crate) async fn page(call: &Call<'_>, admin: &SignedIn) -> Result<Answer, WebError> {
    let listed = read(call, None).await?;
    let content = html! {
        p {
            "Browsers report what a page's content security policy blocks. Reports with the same meaning are one group. "
            "Noise, such as browser extensions, is counted and left out here."
        }
        @for Listed { project, groups, noise } in &listed {
            h2 { (project.name) }
            (summary(project))
            (groups_table(call, project, groups))
            @if *noise > 0 {
                p.soft { (show::count(*noise as u64, "group")) " of noise: levee csp list " (project.name) " --noise" }
            }
        }
    };
    Ok(layout::page(call, admin, PAGE, "Policy violations", content))
}

/// Returns one line about the policy that a project serves.
fn summary(project: &Project) -> Markup {
    html! {
        p.soft {
            @match project.served() {
                Some(served) => {
                    "Policy " code { (served.version) } @if served.is_report_only { ", report-only" } @else { ", enforced" }
                    " on " (project.document_hosts.join(", "))
                }
                None if project.name.as_str() == levee::csp::project::OWN_PROJECT => { "Levee's own pages" }
                None => { "No policy is set. Set one with: levee csp project set " (project.name) " --policy FILE --report-only" }
            }
        }
    }
}

fn groups_table(call: &Call<'_>, project: &Project, groups: &[GroupRow]) -> Markup {
    // One row for each group, which leads to its page.
    let rows: Vec<_> = groups
        .iter()
        .map(|row| {
            let report = GroupReport::new(row);
            let link = call.links.to(&format!("{PAGE}/{}", report.key));
            html! {
                td.wide { a href=(link) { (report.title()) } }
                td { (report.class) }
                td { (report.state) }
                td { (grouped(report.reports)) }
                td { (grouped(report.networks)) }
                td { (show::time(report.last_seen.0)) }
            }
        })
        .collect();
    let columns = ["Violation", "Class", "State", "Reports", "Networks", "Last"];
    table(&format!("Latest groups of {}", project.name), &columns, &rows, "No reports but noise.")
}

/// Reads the groups of the project `asked`, or of all, the latest first.
async fn read(call: &Call<'_>, asked: Option<&str>) -> Result<Vec<Listed>, WebError> {
    let projects = Project::with_own(call.state.csp.projects().await.map_err(error::csp)?);
    let wanted = projects.into_iter().filter(|project| asked.is_none_or(|asked| project.name.as_str() == asked));
    let mut listed = Vec::new();
    for project in wanted {
        let mut groups = call.state.csp.groups(&project.name, MOST_READ).await.map_err(error::csp)?;
        // Leave out noise, and keep the latest groups.
        let all = groups.len();
        groups.retain(|row| !row.class.is_noise());
        let noise = all - groups.len();
        groups.sort_by_key(|row| std::cmp::Reverse(row.last_seen));
        groups.truncate(MOST_SHOWN);
        listed.push(Listed { project, groups, noise });
    }
    if listed.is_empty() { Err(WebError::NotFound) } else { Ok(listed) }
}

/// Reads the project and the group of a key such as `shop.4fHq0bX2mZ7uKc1a`.
fn parse_key(key: &str) -> Option<(ProjectName, &str)> {
    let (project, group) = key.split_once('.')?;
    let project = if project == "other" { ProjectName::other() } else { project.parse().ok()? };
    levee::csp::Version::parse(group).map(|_| (project, group))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_names_a_project_and_a_group() {
        let (project, group) = parse_key("shop-2.4fHq0bX2mZ7uKc1a").unwrap();
        assert_eq!((project.as_str(), group), ("shop-2", "4fHq0bX2mZ7uKc1a"));
        assert!(parse_key("other.4fHq0bX2mZ7uKc1a").is_some());
        for key in
            ["", "shop", "shop.", ".4fHq0bX2mZ7uKc1a", "shop.short", "Shop.4fHq0bX2mZ7uKc1a", "a.b.4fHq0bX2mZ7uKc1a"]
        {
            assert!(parse_key(key).is_none(), "{key}");
        }
    }
}
