//! A content security policy as pages carry it: built, parsed, and known by its version.

use std::fmt;

use content_security_policy as csp;
use csp::{HashAlgorithm, PolicyDisposition, PolicySource};
use serde::{Deserialize, Serialize};

use super::Judgement;
use super::judge::{Question, judge};

/// Longest policy, in bytes. Browsers and servers bound a header line at 8 KiB, and CloudFront a policy at less.
pub const MAX_POLICY_BYTES: usize = 4096;

/// Name of the endpoint that `report-to` names.
pub const ENDPOINT: &str = "csp";

/// A parsed policy, without the directives about its reports.
#[derive(Debug, Clone)]
pub struct Policy {
    parsed: csp::Policy,
}

/// The version of a policy: a hash of its directives, with nonces blanked and without the directives about reports.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Version(String);

impl Version {
    /// Version of reports that name none or an unknown one.
    pub const OTHER: &str = "other";

    const LENGTH: usize = 16;

    /// Parses a version as a report's address carries it.
    pub fn parse(text: &str) -> Option<Self> {
        let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
        (text.len() == Self::LENGTH && text.bytes().all(is_plain)).then(|| Self(text.to_owned()))
    }

    /// Returns the version's text, 16 characters that need no escape in an address.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Mistakes in the text of a policy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PolicyError {
    /// Longer than [`MAX_POLICY_BYTES`].
    TooLong(usize),
    /// A character that no header may have.
    BadCharacter(char),
    /// A comma, which separates policies: a project has one.
    Comma,
    /// No directive.
    Empty,
    /// A directive that browsers do not know.
    UnknownDirective(String),
    /// A directive that stands twice. Browsers take the first one.
    Twice(String),
}

impl fmt::Display for PolicyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooLong(bytes) => {
                write!(
                    f,
                    "the policy has {bytes} bytes; it may have {MAX_POLICY_BYTES}, which every server and CDN passes"
                )
            }
            Self::BadCharacter(it) => write!(f, "the policy contains {it:?}, which a header may not contain"),
            Self::Comma => write!(f, "the policy contains a comma, which separates policies; a project has one policy"),
            Self::Empty => write!(f, "the policy has no directive; write one such as default-src 'self'"),
            Self::UnknownDirective(name) => write!(f, "{name} is no directive that browsers know"),
            Self::Twice(name) => write!(f, "{name} stands twice; browsers would ignore the second one"),
        }
    }
}

impl std::error::Error for PolicyError {}

impl Policy {
    /// Parses a policy as it stands in a header. Directives about reports are dropped, since Levee adds its own.
    pub fn parse(text: &str) -> Result<Self, PolicyError> {
        /// Directives without a violation of their own.
        const SILENT: [&str; 3] = ["report-to", "report-uri", "upgrade-insecure-requests"];

        if text.len() > MAX_POLICY_BYTES {
            return Err(PolicyError::TooLong(text.len()));
        }
        // A line break in a file stands for a space.
        let text: String = text.chars().map(|it| if matches!(it, '\n' | '\r' | '\t') { ' ' } else { it }).collect();
        if let Some(bad) = text.chars().find(|it| !matches!(it, ' '..='~')) {
            return Err(PolicyError::BadCharacter(bad));
        }
        if text.contains(',') {
            return Err(PolicyError::Comma);
        }
        // Names are checked before the parser reads the text, as it drops repeated directives like browsers do.
        let mut names: Vec<String> = Vec::new();
        for directive in text.split(';').map(str::trim).filter(|it| !it.is_empty()) {
            let name = directive.split(' ').next().unwrap_or_default().to_ascii_lowercase();
            let is_known = super::Directive::parse(&name).is_some() || SILENT.contains(&name.as_str());
            if !is_known {
                return Err(PolicyError::UnknownDirective(name));
            }
            if names.contains(&name) {
                return Err(PolicyError::Twice(name));
            }
            names.push(name);
        }
        // Parse as browsers do, and drop the directives about reports.
        let mut parsed = csp::Policy::parse(&text, PolicySource::Header, PolicyDisposition::Enforce);
        parsed.directive_set.retain(|directive| !matches!(directive.name.as_str(), "report-to" | "report-uri"));
        if parsed.directive_set.is_empty() {
            return Err(PolicyError::Empty);
        }
        Ok(Self { parsed })
    }

    /// Returns the policy that allows nothing: `default-src 'none'`.
    pub fn nothing() -> Self {
        Self { parsed: csp::Policy::parse("default-src 'none'", PolicySource::Header, PolicyDisposition::Enforce) }
    }

    /// Returns the version: the same for the same directives in the same order, whatever nonces they hold.
    pub fn version(&self) -> Version {
        // Write the directives in their order, with nonces blanked.
        let mut text = String::new();
        for directive in &self.parsed.directive_set {
            text.push_str(&directive.name);
            for source in &directive.value {
                text.push(' ');
                let is_nonce = source.get(..7).is_some_and(|begin| begin.eq_ignore_ascii_case("'nonce-"));
                text.push_str(if is_nonce { "'nonce-'" } else { source });
            }
            text.push(';');
        }
        Version(short_hash(&text))
    }

    /// Returns the judgement of this policy about a report.
    pub fn judge(&self, question: &Question<'_>) -> Judgement {
        judge(&self.parsed, question)
    }

    /// Returns the names and values of the directives.
    pub fn directives(&self) -> impl Iterator<Item = (&str, &[String])> {
        self.parsed.directive_set.iter().map(|directive| (directive.name.as_str(), directive.value.as_slice()))
    }

    /// Returns the names of directives in which `self` is stricter than `served`: those that govern something that
    /// `served` leaves to a more lenient directive, or that lack a source that `served` has. Violations of these were
    /// never reported.
    pub fn stricter_than(&self, served: &Self) -> Vec<&str> {
        // Compare each directive of the proposal with the one that governs the same in the served policy.
        let governing = |policy: &'_ Self, name: &str| -> Option<Vec<String>> {
            let directive = super::Directive::parse(name)?;
            directive.fallbacks().iter().find_map(|fallback| {
                policy.directives().find(|(name, _)| name == fallback).map(|(_, sources)| sources.to_vec())
            })
        };
        let is_stricter = |name: &str, sources: &[String]| match governing(served, name) {
            None => true,
            Some(before) => before.iter().any(|it| {
                it != "'none'" && !it.starts_with("'nonce-") && it != "'report-sample'" && !sources.contains(it)
            }),
        };
        self.directives().filter(|(name, sources)| is_stricter(name, sources)).map(|(name, _)| name).collect()
    }
}

/// The policy's text, without the directives about reports.
impl fmt::Display for Policy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, (name, sources)) in self.directives().enumerate() {
            if index > 0 {
                f.write_str("; ")?;
            }
            f.write_str(name)?;
            for source in sources {
                write!(f, " {source}")?;
            }
        }
        Ok(())
    }
}

/// The header lines that carry a policy and name the place for its reports.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HeaderLines(pub Vec<(&'static str, String)>);

impl Policy {
    /// Returns the header lines of this policy. `reports` is the address of the report endpoint without its version,
    /// such as `https://api.example.com/csp-reports/shop`.
    ///
    /// Both ways to report are named, as browsers without the Reporting API read `report-uri` only.
    pub fn header_lines(&self, reports: &str, is_report_only: bool) -> HeaderLines {
        // The version in the address says later which policy a report is about.
        let address = format!("{reports}?v={}", self.version());
        let name = match is_report_only {
            true => "content-security-policy-report-only",
            false => "content-security-policy",
        };
        HeaderLines(vec![
            ("reporting-endpoints", format!("{ENDPOINT}=\"{address}\"")),
            (name, format!("{self}; report-uri {address}; report-to {ENDPOINT}")),
        ])
    }
}

/// Returns 96 bits of the SHA-256 of a text, as 16 characters that need no escape in an address.
pub(super) fn short_hash(text: &str) -> String {
    let hash = HashAlgorithm::Sha256.apply(text);
    let safe = |it: char| match it {
        '+' => '-',
        '/' => '_',
        it => it,
    };
    hash.chars().take(Version::LENGTH).map(safe).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Policy {
        Policy::parse(text).unwrap()
    }

    #[test]
    fn a_version_ignores_nonces_spaces_and_the_directives_about_reports() {
        let version = parse("default-src 'self'; script-src 'nonce-abc'").version();
        assert_eq!(
            parse("default-src  'self' ;script-src 'nonce-xyz'; report-uri /r; report-to csp;").version(),
            version
        );
        assert_ne!(parse("default-src 'self'; script-src 'nonce-abc' 'strict-dynamic'").version(), version);
        assert_eq!(Version::parse(version.as_str()), Some(version));
    }

    #[test]
    fn a_version_has_sixteen_plain_characters() {
        for text in ["", "0123456789abcde", "0123456789abcdef0", "0123456789abcde/", "0123456789abcdé"] {
            assert_eq!(Version::parse(text), None, "{text}");
        }
    }

    #[test]
    fn mistakes_are_named() {
        let error = |text: &str| Policy::parse(text).map(|_| ()).unwrap_err();
        assert_eq!(error(" ; "), PolicyError::Empty);
        assert_eq!(error("report-uri /r"), PolicyError::Empty);
        assert_eq!(error("default-src 'self', img-src *"), PolicyError::Comma);
        assert_eq!(error("defaultsrc 'self'"), PolicyError::UnknownDirective("defaultsrc".to_owned()));
        assert_eq!(error("img-src a.example; IMG-SRC b.example"), PolicyError::Twice("img-src".to_owned()));
        assert_eq!(error("img-src \u{1b}[1m"), PolicyError::BadCharacter('\u{1b}'));
        assert_eq!(error(&format!("img-src {}", "a".repeat(5000))), PolicyError::TooLong(5008));
    }

    #[test]
    fn header_lines_name_both_ways_to_report_under_the_version() {
        let policy = parse("default-src 'none'");
        let version = policy.version();
        let HeaderLines(lines) = policy.header_lines("https://l.example/csp-reports/shop", true);
        assert_eq!(lines[0].1, format!("csp=\"https://l.example/csp-reports/shop?v={version}\""));
        assert_eq!(lines[1].0, "content-security-policy-report-only");
        assert_eq!(
            lines[1].1,
            format!("default-src 'none'; report-uri https://l.example/csp-reports/shop?v={version}; report-to csp")
        );
        // What is served reads back as the same policy.
        assert_eq!(parse(&lines[1].1).version(), version);
    }

    #[test]
    fn a_proposal_is_stricter_where_it_lacks_a_source_or_governs_more() {
        let served = parse("default-src 'self'; img-src *; script-src 'nonce-a' https://cdn.example");
        let proposal = parse(
            "default-src 'self'; img-src 'self'; script-src 'nonce-b' https://cdn.example; object-src 'none'; form-action 'self'",
        );
        assert_eq!(proposal.stricter_than(&served), ["img-src", "object-src", "form-action"]);
        assert!(served.stricter_than(&served).is_empty());
    }
}
