//! `levee csp`: projects with a content security policy, and the groups of the reports about it.

mod groups;
mod policy;
mod project;
mod trial;

use levee::csp::{GroupState, ProjectName};

use crate::context::Context;

/// What to do.
#[derive(Debug, clap::Subcommand)]
pub(crate) enum Command {
    /// Projects: web properties with their own policy
    #[command(
        subcommand,
        after_help = "Examples:\n  levee csp project list\n  levee csp project create shop --host shop.example.com --policy policy.txt"
    )]
    Project(project::Command),
    /// List groups of reports that mean the same, the latest first
    ///
    /// Noise (extensions, security products, adware, translators, foreign pages, outdated browsers, and reports that the
    /// served policy contradicts) is left out unless --noise is given.
    #[command(after_help = "Examples:\n  levee csp list shop\n  levee csp list shop --noise --json")]
    List {
        /// Project, as it was created, or other
        #[arg(value_parser = project_or_other)]
        project: ProjectName,
        /// List noise too
        #[arg(long)]
        noise: bool,
        /// Number of groups to show, 1 to 1000
        #[arg(long, value_name = "N", default_value_t = 50, value_parser = clap::value_parser!(u16).range(1..=1000))]
        limit: u16,
    },
    /// Show a group: its reach, its reports by day, an example, and what would allow it
    #[command(after_help = "Examples:\n  levee csp show shop 4fHq0bX2mZ7uKc1a")]
    Show(GroupArgs),
    /// Raise no more alerts about a group; its reports are counted as before
    #[command(after_help = "Examples:\n  levee csp mute shop 4fHq0bX2mZ7uKc1a")]
    Mute(GroupArgs),
    /// Mark a group as resolved; a report later than an hour from now raises an alert
    #[command(after_help = "Examples:\n  levee csp resolve shop 4fHq0bX2mZ7uKc1a")]
    Resolve(GroupArgs),
    /// Open a muted or resolved group again
    #[command(after_help = "Examples:\n  levee csp reopen shop 4fHq0bX2mZ7uKc1a")]
    Reopen(GroupArgs),
    /// Print the header lines with which any web server carries a project's policy
    #[command(after_help = "Examples:\n  levee csp policy shop --base-url https://api.example.com")]
    Policy {
        /// Project, as it was created
        project: ProjectName,
        /// Address of this Levee, as browsers reach it
        #[arg(long, value_name = "URL", value_parser = policy::base_url)]
        base_url: String,
    },
    /// Judge the reports of the last days by a proposed policy, before it is served
    ///
    /// A report is blocked, not blocked, or it cannot be known, as reports keep no path, nonce or hash. Directives in which
    /// the proposal is stricter than the served policy are named first: their violations were never reported.
    #[command(
        after_help = "Examples:\n  levee csp try shop --policy proposal.txt\n  levee csp try shop --policy proposal.txt --days 7 --json"
    )]
    Try {
        /// Project, as it was created
        project: ProjectName,
        /// File with the proposed policy, or - for standard input
        #[arg(long, value_name = "FILE")]
        policy: String,
        /// Number of days, 1 to 30
        #[arg(long, value_name = "N", default_value_t = 30, value_parser = clap::value_parser!(u16).range(1..=30))]
        days: u16,
    },
}

/// A group of reports.
#[derive(Debug, clap::Args)]
pub(crate) struct GroupArgs {
    /// Project, as it was created, or other
    #[arg(value_parser = project_or_other)]
    project: ProjectName,
    /// Group, as the list names it
    #[arg(value_parser = group_id)]
    group: String,
}

/// Parses a project's name, or `other` for reports of no known project.
fn project_or_other(text: &str) -> Result<ProjectName, String> {
    if text == "other" {
        return Ok(ProjectName::other());
    }
    text.parse().map_err(|error: levee::csp::project::InvalidProjectName| error.to_string())
}

fn group_id(text: &str) -> Result<String, String> {
    let is_id = levee::csp::Version::parse(text).is_some();
    is_id
        .then(|| text.to_owned())
        .ok_or_else(|| "a group has 16 characters; list groups with: levee csp list PROJECT".to_owned())
}

impl Command {
    pub(crate) async fn run(&self, context: &Context) -> anyhow::Result<()> {
        match self {
            Self::Project(command) => command.run(context).await,
            Self::List { project, noise, limit } => groups::list(context, project, *noise, (*limit).into()).await,
            Self::Show(GroupArgs { project, group }) => groups::show(context, project, group).await,
            Self::Mute(group) => groups::set_state(context, group, GroupState::Muted).await,
            Self::Resolve(group) => groups::set_state(context, group, GroupState::Resolved).await,
            Self::Reopen(group) => groups::set_state(context, group, GroupState::Open).await,
            Self::Policy { project, base_url } => policy::print(context, project, base_url).await,
            Self::Try { project, policy, days } => trial::run(context, project, policy, *days).await,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reports_of_no_project_can_be_listed() {
        assert_eq!(project_or_other("other"), Ok(ProjectName::other()));
        assert_eq!(project_or_other("shop").unwrap().as_str(), "shop");
        assert!(project_or_other("Shop").is_err());
    }

    #[test]
    fn a_group_is_known_by_sixteen_characters() {
        assert!(group_id("4fHq0bX2mZ7uKc1a").is_ok());
        assert!(group_id("4fHq0bX2mZ7uKc1").is_err());
        assert!(group_id("4fHq0bX2mZ7uKc1/").is_err());
    }
}
