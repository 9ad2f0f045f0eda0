//! A report in the form that is kept: cleaned, classified, and free of anything that names a visitor.

use url::Url;

use super::Directive;
use super::address::{Blocked, host_of_origin, origin_of, path_template};
use super::browser::Browser;
use super::class::{Class, Facts};
use super::judge::Question;
use super::policy::{Policy, Version};
use super::report::RawReport;
use crate::clock::Timestamp;

/// Longest sample that is kept, in characters; browsers send no more.
const MAX_SAMPLE_CHARS: usize = 40;

/// A web property with its own policy, as far as reports are judged by it.
#[derive(Debug, Clone, Default)]
pub struct Project {
    /// Hosts of its pages. A leading `*.` covers every name below.
    pub document_hosts: Vec<String>,
    /// Hosts of third parties that its owner knows.
    pub third_parties: Vec<String>,
    /// Policies that were served, by version.
    pub policies: Vec<(Version, Policy)>,
}

/// A report, cleaned and classified.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation {
    /// Time of the violation: the receipt less the report's age.
    pub at: Timestamp,
    /// Directive that blocked it.
    pub directive: Directive,
    /// Blocked resource.
    pub blocked: Blocked,
    /// Path template of the blocked resource, if its address was complete.
    pub blocked_path: Option<String>,
    /// Host of the page.
    pub document_host: String,
    /// Origin of the page; empty for a page without one, such as a file.
    pub document_origin: String,
    /// Path template of the page.
    pub document_path: String,
    /// Origin and path template of the script that caused it.
    pub source: Option<String>,
    /// Beginning of the inline code, cleaned.
    pub sample: Option<String>,
    /// Family of the browser.
    pub browser: Browser,
    /// True if the policy was only reporting.
    pub is_report_only: bool,
    /// Version of the policy; `None` if the report named none or an unknown one.
    pub version: Option<Version>,
    /// Class of the report.
    pub class: Class,
}

/// Reasons for which a report is only counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Unusable {
    /// Its directive is not known.
    Directive,
    /// The address of its page is none.
    Document,
}

impl Violation {
    /// Reads a report that was received at `now` under `version`. `user_agent` is the request's, for reports without
    /// their own.
    pub fn new(
        raw: &RawReport,
        project: &Project,
        version: Option<&Version>,
        user_agent: &str,
        now: Timestamp,
    ) -> Result<Self, Unusable> {
        let directive = Directive::parse(&raw.directive).ok_or(Unusable::Directive)?;
        let document = Url::parse(raw.document.trim()).map_err(|_| Unusable::Document)?;
        let document_host = document.host_str().unwrap_or_default().to_owned();
        // Read the addresses.
        let (blocked, address) = Blocked::parse(&raw.blocked, &document);
        let source = raw.source.as_deref().map(|source| Blocked::parse(source, &document));
        let (source_scheme, source_host) = match &source {
            Some((Blocked::Scheme(scheme), _)) => (Some(*scheme), None),
            Some((Blocked::Origin(origin), _)) => (None, Some(host_of_origin(origin))),
            _ => (None, None),
        };
        // Judge the report by the policy that was served, not by the one that it quotes.
        let policy = version.and_then(|version| project.policies.iter().find(|(known, _)| known == version));
        let question = Question { directive, blocked: &blocked, address: address.as_ref(), document: &document };
        let judgement = policy.map(|(_, policy)| policy.judge(&question));
        // Clean what is kept of the code and of the browser.
        let sample = raw.sample.as_deref().map(clean_sample).filter(|sample| !sample.is_empty());
        let (browser, is_outdated_browser) = Browser::parse(raw.user_agent.as_deref().unwrap_or(user_agent));
        // Classify by all facts together.
        let class = Class::classify(&Facts {
            blocked: &blocked,
            directive,
            document_host: &document_host,
            source_scheme,
            source_host,
            sample: sample.as_deref(),
            is_outdated_browser,
            judgement,
            document_hosts: &project.document_hosts,
            third_parties: &project.third_parties,
        });
        let source =
            source.as_ref().map(|(blocked, address)| match address.as_ref().filter(|it| origin_of(it).is_some()) {
                Some(address) => format!("{blocked}{}", path_template(address.path())),
                None => blocked.to_string(),
            });
        Ok(Self {
            at: now.minus(raw.age),
            directive,
            blocked_path: address.filter(|it| origin_of(it).is_some()).map(|it| path_template(it.path())),
            blocked,
            document_origin: origin_of(&document).unwrap_or_default(),
            document_host,
            document_path: path_template(document.path()),
            source,
            sample,
            browser,
            is_report_only: raw.is_report_only.unwrap_or(false),
            version: policy.map(|(version, _)| version.clone()),
            class,
        })
    }
}

/// Cleans the beginning of inline code: at most [`MAX_SAMPLE_CHARS`] characters, without what cannot be seen, and with
/// digits and the text of strings blanked, as these hold names, addresses and tokens.
fn clean_sample(sample: &str) -> String {
    let mut cleaned = String::new();
    let mut quote = None;
    for it in sample.trim().chars().take(MAX_SAMPLE_CHARS) {
        match quote {
            Some(open) if it == open => quote = None,
            // The text of a string is dropped, and its quotes show where it was.
            Some(_) => continue,
            None if matches!(it, '"' | '\'' | '`') => quote = Some(it),
            None => {}
        }
        cleaned.push(match it {
            it if it.is_ascii_digit() => '0',
            ' '..='~' => it,
            _ => '\u{fffd}',
        });
    }
    cleaned
}

#[cfg(test)]
mod tests;
