//! Projects: web properties with their own policy.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use levee_core::csp::policy::{Policy, Version};
use levee_core::csp::violation;
use serde::{Deserialize, Serialize};
use tokio::sync::Mutex;
use tokio::time::Instant;

use super::table::CspTable;
use crate::clock::Timestamp;

/// Name of the project of Levee's own pages. It need not be created.
pub const OWN_PROJECT: &str = "levee";
/// Time for which an environment keeps the projects in memory.
const CACHED: Duration = Duration::from_secs(60);
/// The same for a report that names an unknown project or version, which may have been set a moment ago. It bounds the
/// reads that invented names cause.
const CACHED_IF_UNKNOWN: Duration = Duration::from_secs(5);
/// Largest number of projects.
pub const MOST_PROJECTS: usize = 100;
/// Largest number of policy versions that a project keeps; the oldest one is dropped for a new one.
pub const MOST_VERSIONS: usize = 10;
/// Largest number of hosts or paths in one list of a project.
pub const MOST_HOSTS: usize = 50;

/// Name of a project: 1 to 40 lower-case letters, digits and hyphens. It stands in addresses and keys.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ProjectName(String);

/// Mistakes in a project's name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "a project's name has 1 to 40 lower-case letters, digits and hyphens, such as shop-frontend, and is not `other`"
)]
pub struct InvalidProjectName;

impl ProjectName {
    /// Name under which reports of no or an unknown project are counted.
    pub fn other() -> Self {
        Self("other".to_owned())
    }

    /// Returns the name's text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for ProjectName {
    type Err = InvalidProjectName;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let is_plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
        let is_valid = (1..=40).contains(&text.len()) && text.bytes().all(is_plain) && text != "other";
        if is_valid { Ok(Self(text.to_owned())) } else { Err(InvalidProjectName) }
    }
}

impl TryFrom<String> for ProjectName {
    type Error = InvalidProjectName;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<ProjectName> for String {
    fn from(name: ProjectName) -> Self {
        name.0
    }
}

impl fmt::Display for ProjectName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A web property with its own policy, as it is stored.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Project {
    /// Name.
    pub name: ProjectName,
    /// Hosts of its pages. A leading `*.` covers every name below. At least one.
    pub document_hosts: Vec<String>,
    /// Hosts of third parties that its owner knows.
    #[serde(default)]
    pub third_parties: Vec<String>,
    /// Beginnings of paths on which a single violation matters more, such as `/checkout`.
    #[serde(default)]
    pub sensitive_paths: Vec<String>,
    /// Policies that are or were served, the newest last.
    #[serde(default)]
    pub policies: Vec<ServedPolicy>,
    /// Number of changes, the condition of the next one.
    #[serde(default)]
    pub revision: u64,
    /// Time of the last change, in Unix seconds.
    #[serde(default)]
    pub changed_at: u64,
}

/// A policy of a project.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServedPolicy {
    /// Version, a hash of the text.
    pub version: Version,
    /// Text without the directives about reports.
    pub text: String,
    /// True if browsers are to report violations only.
    pub is_report_only: bool,
    /// Time when it was set, in Unix seconds.
    pub since: u64,
}

/// Mistakes in a project.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidProject {
    /// No document host.
    #[error("a project needs at least one document host, such as --host shop.example.com")]
    NoHost,
    /// A host with another form.
    #[error("{0:?} is not a host such as shop.example.com or *.example.com, without scheme, port and path")]
    Host(String),
    /// A path with another form.
    #[error("{0:?} is not the beginning of a path such as /checkout")]
    Path(String),
    /// A list that is too long.
    #[error("a list of a project has at most {MOST_HOSTS} entries")]
    TooMany,
}

impl Project {
    /// Creates a project without hosts and policies.
    pub fn new(name: ProjectName) -> Self {
        Self {
            name,
            document_hosts: Vec::new(),
            third_parties: Vec::new(),
            sensitive_paths: Vec::new(),
            policies: Vec::new(),
            revision: 0,
            changed_at: 0,
        }
    }

    /// Adds the project of Levee's own pages to `projects`, unless operators have created it.
    pub fn with_own(mut projects: Vec<Self>) -> Vec<Self> {
        let own = ProjectName(OWN_PROJECT.to_owned());
        if projects.iter().all(|project| project.name != own) {
            projects.push(Self::new(own));
        }
        projects
    }

    /// Checks the lists of a project.
    ///
    /// # Errors
    /// [`InvalidProject`] names the first mistake.
    pub fn check(&self) -> Result<(), InvalidProject> {
        // Reports of pages without a host of the project would all be foreign.
        if self.document_hosts.is_empty() {
            return Err(InvalidProject::NoHost);
        }
        if [&self.document_hosts, &self.third_parties, &self.sensitive_paths].iter().any(|list| list.len() > MOST_HOSTS)
        {
            return Err(InvalidProject::TooMany);
        }
        if let Some(bad) = self.document_hosts.iter().chain(&self.third_parties).find(|host| !is_host(host)) {
            return Err(InvalidProject::Host(bad.clone()));
        }
        let is_path = |path: &String| {
            path.starts_with('/')
                && path.len() <= 100
                && path.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'?')
        };
        match self.sensitive_paths.iter().find(|path| !is_path(path)) {
            Some(bad) => Err(InvalidProject::Path(bad.clone())),
            None => Ok(()),
        }
    }

    /// Returns the policy that is served now.
    pub fn served(&self) -> Option<&ServedPolicy> {
        self.policies.last()
    }

    /// Adds a policy as the one that is served now. A version that was served before moves to the end.
    pub fn serve(&mut self, policy: &Policy, is_report_only: bool, now: Timestamp) {
        let version = policy.version();
        self.policies.retain(|served| served.version != version);
        self.policies.push(ServedPolicy { version, text: policy.to_string(), is_report_only, since: now.as_secs() });
        // Drop the oldest versions beyond the bound.
        let beyond = self.policies.len().saturating_sub(MOST_VERSIONS);
        self.policies.drain(..beyond);
    }

    /// Returns true if a page's path is one on which a single violation matters more.
    pub fn is_sensitive(&self, path: &str) -> bool {
        self.sensitive_paths.iter().any(|begin| path.starts_with(begin.as_str()))
    }

    /// Returns the part that reports are judged by. A policy that cannot be parsed any more is left out.
    pub fn to_rules(&self) -> violation::Project {
        let parse = |served: &ServedPolicy| Some((served.version.clone(), Policy::parse(&served.text).ok()?));
        violation::Project {
            document_hosts: self.document_hosts.clone(),
            third_parties: self.third_parties.clone(),
            policies: self.policies.iter().filter_map(parse).collect(),
        }
    }
}

fn is_host(host: &str) -> bool {
    let name = host.strip_prefix("*.").unwrap_or(host);
    let is_label = |label: &str| {
        (1..=63).contains(&label.len())
            && label.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-')
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    name.len() <= 253 && name.split('.').all(is_label)
}

/// The projects as an environment of the report function keeps them. All are read at once, so that invented names of
/// projects cost no reads.
pub struct Projects {
    table: CspTable,
    cached: Mutex<Option<(Instant, Rules)>>,
}

/// Rules of all projects.
type Rules = std::sync::Arc<std::collections::HashMap<ProjectName, violation::Project>>;

impl Projects {
    /// Creates the cache. Does not read yet.
    pub fn new(table: CspTable) -> Self {
        Self { table, cached: Mutex::new(None) }
    }

    /// Returns the rules of all projects for a report that names this project and version: at most a minute old, or 5 s
    /// if they do not know the two. If the table cannot be read, returns the last ones that were read; `None` if there
    /// are none.
    pub async fn rules(&self, project: Option<&ProjectName>, version: Option<&Version>) -> Option<Rules> {
        let is_known = |rules: &Rules| {
            let found = project.map(|name| rules.get(name));
            found.is_none_or(|found| found.is_some_and(|rules| version.is_none_or(|it| knows(rules, it))))
        };
        // Use what is in memory while it is young enough; else read all projects again.
        let mut cached = self.cached.lock().await;
        if let Some((read_at, rules)) = cached.as_ref()
            && read_at.elapsed() < if is_known(rules) { CACHED } else { CACHED_IF_UNKNOWN }
        {
            return Some(rules.clone());
        }
        match self.table.projects().await {
            Ok(projects) => {
                let rules =
                    Project::with_own(projects).into_iter().map(|project| (project.name.clone(), project.to_rules()));
                let rules: Rules = std::sync::Arc::new(rules.collect());
                *cached = Some((Instant::now(), rules.clone()));
                Some(rules)
            }
            Err(error) => {
                tracing::error!(code = "csp.projects_unread", %error, "projects could not be read; reports use the last ones");
                // Try again after a minute, so that an outage does not slow every report.
                let (read_at, rules) = cached.as_mut()?;
                *read_at = Instant::now();
                Some(rules.clone())
            }
        }
    }
}

fn knows(rules: &violation::Project, version: &Version) -> bool {
    rules.policies.iter().any(|(known, _)| known == version)
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    fn project() -> Project {
        Project {
            name: "shop".parse().unwrap(),
            document_hosts: vec!["shop.example".to_owned()],
            third_parties: vec![],
            sensitive_paths: vec!["/checkout".to_owned()],
            policies: vec![],
            revision: 0,
            changed_at: 0,
        }
    }

    #[rstest]
    #[case("shop", true)]
    #[case("shop-2", true)]
    #[case("other", false)]
    #[case("", false)]
    #[case("Shop", false)]
    #[case("a|b", false)]
    #[case("a/b", false)]
    #[case("0123456789012345678901234567890123456789x", false)]
    fn a_name_is_short_and_plain(#[case] text: &str, #[case] is_valid: bool) {
        assert_eq!(text.parse::<ProjectName>().is_ok(), is_valid);
    }

    #[rstest]
    #[case("shop.example", true)]
    #[case("*.shop.example", true)]
    #[case("localhost", true)]
    #[case("https://shop.example", false)]
    #[case("shop.example/", false)]
    #[case("shop.example:8443", false)]
    #[case("*", false)]
    #[case("a.*.example", false)]
    #[case("Shop.example", false)]
    #[case("-a.example", false)]
    #[case("", false)]
    fn a_host_has_no_scheme_port_or_path(#[case] host: &str, #[case] is_valid: bool) {
        let project = Project { document_hosts: vec![host.to_owned()], ..project() };
        assert_eq!(project.check().is_ok(), is_valid, "{:?}", project.check());
    }

    #[test]
    fn mistakes_in_the_lists_are_named() {
        assert_eq!(Project { document_hosts: vec![], ..project() }.check(), Err(InvalidProject::NoHost));
        let many = vec!["a.example".to_owned(); MOST_HOSTS + 1];
        assert_eq!(Project { third_parties: many, ..project() }.check(), Err(InvalidProject::TooMany));
        let path = vec!["checkout".to_owned()];
        assert_eq!(
            Project { sensitive_paths: path, ..project() }.check(),
            Err(InvalidProject::Path("checkout".to_owned()))
        );
    }

    #[test]
    fn a_project_keeps_its_newest_policies_once_each() {
        let mut project = project();
        for index in 0..MOST_VERSIONS + 3 {
            let policy = Policy::parse(&format!("img-src a{index}.example")).unwrap();
            project.serve(&policy, false, Timestamp::from_secs(index as u64));
        }
        assert_eq!(project.policies.len(), MOST_VERSIONS);
        let first = Policy::parse(&project.policies[0].text).unwrap();
        project.serve(&first, true, Timestamp::from_secs(99));
        assert_eq!(project.policies.len(), MOST_VERSIONS);
        assert_eq!(project.served().unwrap().version, first.version());
        assert!(project.served().unwrap().is_report_only);
        assert_eq!(project.to_rules().policies.len(), MOST_VERSIONS);
    }
}
