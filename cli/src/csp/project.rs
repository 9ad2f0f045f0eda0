//! `levee csp project`: web properties with their own policy.

use anyhow::Context as _;
use levee::csp::{Policy, Project, ProjectName};
use serde::Serialize;
use serde_json::json;

use super::policy;
use crate::consent::Consent;
use crate::context::Context;
use crate::error::usage;
use crate::output::{Changes, NOTHING, fields, moment};

/// What to do.
#[derive(Debug, clap::Subcommand)]
pub(crate) enum Command {
    /// List all projects
    #[command(after_help = "Examples:\n  levee csp project list\n  levee csp project list --json")]
    List,
    /// Show a project with its policies
    #[command(after_help = "Examples:\n  levee csp project show shop")]
    Show {
        /// Project, as it was created
        project: ProjectName,
    },
    /// Create a project
    #[command(after_help = "\
Examples:
  levee csp project create shop --host shop.example.com --policy policy.txt --report-only
  levee csp project create shop --host shop.example.com --host '*.shop.example.com' --third-party cdn.example.net --sensitive /checkout")]
    Create {
        /// Name: 1 to 40 lower-case letters, digits and hyphens; it stands in the address of reports
        project: ProjectName,
        #[command(flatten)]
        options: Options,
    },
    /// Change a project; a list that is given replaces the present one
    ///
    /// A new policy is known to reports within 5 s. Its former versions stay known, so that reports of pages that are
    /// still open are judged by the policy that they had.
    #[command(after_help = "\
Examples:
  levee csp project set shop --policy policy.txt --enforce
  levee csp project set shop --sensitive /checkout --sensitive /login")]
    Set {
        /// Project, as it was created
        project: ProjectName,
        #[command(flatten)]
        options: Options,
    },
    /// Delete a project; its reports are then counted under other
    #[command(after_help = "Examples:\n  levee csp project delete shop --yes")]
    Delete {
        /// Project, as it was created
        project: ProjectName,
        #[command(flatten)]
        consent: Consent,
    },
}

/// Properties of a project.
#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// Host of its pages; *.example.com covers every name below (repeatable)
    #[arg(long = "host", value_name = "HOST")]
    hosts: Vec<String>,
    /// Host of a third party that is expected on its pages (repeatable)
    #[arg(long = "third-party", value_name = "HOST")]
    third_parties: Vec<String>,
    /// Beginning of a path on which a single violation matters more (repeatable)
    #[arg(long = "sensitive", value_name = "PATH")]
    sensitive_paths: Vec<String>,
    /// File with its policy, or - for standard input
    #[arg(long, value_name = "FILE")]
    policy: Option<String>,
    /// Let browsers only report violations of the policy
    #[arg(long, requires = "policy", conflicts_with = "enforce")]
    report_only: bool,
    /// Let browsers block what violates the policy, which is the default
    #[arg(long, requires = "policy")]
    enforce: bool,
}

/// A project, as it is shown.
#[derive(Debug, Serialize)]
struct ProjectView<'a> {
    #[serde(flatten)]
    project: &'a Project,
    changed: Option<String>,
}

impl ProjectView<'_> {
    const HEADERS: &'static [&'static str] = &["PROJECT", "HOSTS", "POLICY", "MODE", "CHANGED"];

    fn row(&self) -> Vec<String> {
        let served = self.project.served();
        let mode = served.map_or(NOTHING, |served| if served.is_report_only { "report-only" } else { "enforced" });
        vec![
            self.project.name.to_string(),
            self.project.document_hosts.join(" "),
            served.map_or_else(|| NOTHING.to_owned(), |served| served.version.to_string()),
            mode.to_owned(),
            self.changed.clone().unwrap_or_default(),
        ]
    }
}

fn view(project: &Project) -> ProjectView<'_> {
    ProjectView { project, changed: moment(Some(project.changed_at)) }
}

impl Command {
    pub(crate) async fn run(&self, context: &Context) -> anyhow::Result<()> {
        match self {
            Self::List => {
                let projects = context.target.csp.projects().await?;
                let views: Vec<_> = projects.iter().map(view).collect();
                let none = "no projects yet; create one with: levee csp project create NAME --host HOST";
                context.output.list(&views, ProjectView::HEADERS, none, ProjectView::row)
            }
            Self::Show { project } => show(context, project).await,
            Self::Create { project, options } => create(context, project, options).await,
            Self::Set { project, options } => set(context, project, options).await,
            Self::Delete { project, consent } => delete(context, project, consent).await,
        }
    }
}

/// Reads a project. Fails if there is none.
pub(super) async fn find(context: &Context, name: &ProjectName) -> anyhow::Result<Project> {
    let project = context.target.csp.project(name).await?;
    project.with_context(|| format!("there is no project {name}; list them with: levee csp project list"))
}

async fn show(context: &Context, name: &ProjectName) -> anyhow::Result<()> {
    let project = find(context, name).await?;
    context.output.say(&view(&project), || {
        let list = |hosts: &[String]| if hosts.is_empty() { NOTHING.to_owned() } else { hosts.join(" ") };
        let mut text = fields(&[
            ("project", project.name.to_string()),
            ("hosts", list(&project.document_hosts)),
            ("third parties", list(&project.third_parties)),
            ("sensitive", list(&project.sensitive_paths)),
            ("changed", moment(Some(project.changed_at)).unwrap_or_default()),
        ]);
        // The policy that is served comes first.
        for (index, policy) in project.policies.iter().rev().enumerate() {
            let mode = if policy.is_report_only { "report-only" } else { "enforced" };
            let state = if index == 0 { "served" } else { "before" };
            let since = moment(Some(policy.since)).unwrap_or_default();
            text.push_str(&format!("{state} since {since}: {} ({mode})\n  {}\n", policy.version, policy.text));
        }
        text
    })
}

/// Applies the options to a project, and returns the changes.
fn apply(
    project: &mut Project,
    options: &Options,
    policy: Option<&Policy>,
    context: &Context,
) -> anyhow::Result<Changes> {
    // Replace the lists that are given, and keep the others.
    let before = project.clone();
    let replace = |list: &mut Vec<String>, given: &[String]| {
        if !given.is_empty() {
            *list = given.to_vec();
        }
    };
    replace(&mut project.document_hosts, &options.hosts);
    replace(&mut project.third_parties, &options.third_parties);
    replace(&mut project.sensitive_paths, &options.sensitive_paths);
    let text = |project: &Project| {
        project.served().map_or_else(
            || "none".to_owned(),
            |served| format!("{}{}", served.version, if served.is_report_only { " (report-only)" } else { "" }),
        )
    };
    // Serve the given policy, unless it is served already.
    let served_before = text(&before);
    if let Some(policy) = policy {
        let is_same = before
            .served()
            .is_some_and(|served| served.version == policy.version() && served.is_report_only == options.report_only);
        if !is_same {
            project.serve(policy, options.report_only, context.now());
        }
    }
    // Check the whole project, and name the changes for the audit.
    project.check().map_err(|error| usage(error.to_string()))?;
    Ok(Changes::default()
        .add("hosts", before.document_hosts.join(" "), project.document_hosts.join(" "))
        .add("third parties", before.third_parties.join(" "), project.third_parties.join(" "))
        .add("sensitive", before.sensitive_paths.join(" "), project.sensitive_paths.join(" "))
        .add("policy", served_before, text(project)))
}

async fn create(context: &Context, name: &ProjectName, options: &Options) -> anyhow::Result<()> {
    let policy = options.policy.as_deref().map(policy::read).transpose()?;
    if context.target.csp.project(name).await?.is_some() {
        anyhow::bail!("there is a project {name} already; change it with: levee csp project set {name}");
    }
    let mut project = Project::new(name.clone());
    // Write the audit, then the project.
    let changes = apply(&mut project, options, policy.as_ref(), context)?;
    let write = async { Ok(context.target.csp.put_project(&project, context.now()).await?) };
    let written = context.change("csp.project.create", name.as_str(), changes.sentence(), write).await?;
    let value = json!({ "created": true, "project": view(&written) });
    context.output.say(&value, || {
        format!("project {name} is created; print what its pages carry with: levee csp policy {name} --base-url URL")
    })
}

async fn set(context: &Context, name: &ProjectName, options: &Options) -> anyhow::Result<()> {
    let policy = options.policy.as_deref().map(policy::read).transpose()?;
    let mut project = find(context, name).await?;
    let changes = apply(&mut project, options, policy.as_ref(), context)?;
    // Nothing to do: say so, and write nothing.
    if changes.are_none() {
        return changes.tell(&context.output, "project", name.as_str(), None);
    }
    let write = async { Ok(context.target.csp.put_project(&project, context.now()).await?) };
    context.change("csp.project.set", name.as_str(), changes.sentence(), write).await?;
    changes.tell(&context.output, "project", name.as_str(), None)
}

async fn delete(context: &Context, name: &ProjectName, consent: &Consent) -> anyhow::Result<()> {
    let project = find(context, name).await?;
    consent.ask(&format!("Delete project {name} ({})?", project.document_hosts.join(" ")))?;
    let write = async { Ok(context.target.csp.delete_project(name).await?) };
    // The audit keeps the hosts, as the project is gone then.
    let detail = format!("hosts {}", project.document_hosts.join(" "));
    context.change("csp.project.delete", name.as_str(), detail, write).await?;
    let value = json!({ "project": name.as_str(), "deleted": true });
    context.output.say(&value, || format!("project {name} is deleted; its reports are counted under other"))
}
