//! Groups: reports that mean the same.

use serde::{Deserialize, Serialize};
use url::Url;

use super::address::Blocked;
use super::judge::Question;
use super::policy::{Policy, short_hash};
use super::{Class, Directive, Judgement, Violation};

/// The meaning of a report: reports with the same one are counted together.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Group {
    /// Project that the report's address names.
    pub project: String,
    /// Directive that blocked the resource.
    pub directive: Directive,
    /// Class of the reports.
    pub class: Class,
    /// Blocked origin, scheme or keyword; empty in a group for everything beyond a bound.
    pub blocked: String,
    /// Origin and path template of the page, without `https://`; empty for noise, which does not depend on the page.
    pub document: String,
}

/// Answer to the question which sources would allow a group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Allowance {
    /// Text for the policy, or what to do instead.
    pub text: String,
    /// True if allowing it would take much of the policy's protection.
    pub is_risky: bool,
}

/// Identifier of a group, 16 characters that need no escape in an address.
pub type GroupId = String;

impl Group {
    /// Returns the group of a report.
    pub fn new(project: &str, violation: &Violation) -> Self {
        // Extensions, adware and forged reports name any page and any host. What they block would make a group each,
        // and say nothing.
        let is_noise = violation.class.is_noise() && violation.class != Class::Contradicted;
        let document = match is_noise {
            true => String::new(),
            false => {
                let origin = violation.document_origin.as_str();
                format!("{}{}", origin.strip_prefix("https://").unwrap_or(origin), violation.document_path)
            }
        };
        // Foreign pages and translators name any resource.
        let blocked = match violation.class {
            Class::ForeignDocument | Class::Translator => String::new(),
            _ => violation.blocked.to_string(),
        };
        Self { project: project.to_owned(), directive: violation.directive, class: violation.class, blocked, document }
    }

    /// Returns the group that takes reports beyond the number of groups that a project may have: one for each class.
    pub fn overflow(&self) -> Self {
        Self { blocked: String::new(), document: String::new(), ..self.clone() }
    }

    /// Returns true if this is a group for everything beyond a bound.
    pub fn is_overflow(&self) -> bool {
        self.blocked.is_empty() && self.document.is_empty() && !self.class.is_noise()
    }

    /// Returns the blocked resource.
    pub fn blocked(&self) -> Blocked {
        Blocked::from_key(&self.blocked)
    }

    /// Returns the origin of the page without `https://`, and its path template.
    pub fn split_document(&self) -> (&str, &str) {
        let host = self.document.find("://").map_or(0, |scheme| scheme + 3);
        let path =
            self.document.get(host..).and_then(|rest| rest.find('/')).map_or(self.document.len(), |at| host + at);
        self.document.split_at(path)
    }

    /// Returns the judgement of a policy about this group, as far as the group keeps what its reports said. `None` for
    /// noise and overflow, which keep no page.
    pub fn judge(&self, policy: &Policy) -> Option<Judgement> {
        let (origin, _) = self.split_document();
        let document = if origin.contains("://") { origin.to_owned() } else { format!("https://{origin}") };
        let document = Url::parse(&document).ok().filter(|_| !origin.is_empty() && !self.is_overflow())?;
        let blocked = self.blocked();
        Some(policy.judge(&Question {
            directive: self.directive,
            blocked: &blocked,
            address: None,
            document: &document,
        }))
    }

    /// Returns what a policy would have to say to allow this group.
    pub fn allowance(&self) -> Allowance {
        let directive = self.directive;
        let (text, is_risky) = match self.blocked() {
            _ if self.is_overflow() || self.blocked.is_empty() => {
                ("nothing: this group holds reports of many resources".to_owned(), true)
            }
            Blocked::Inline => (format!("{directive} with a nonce or a hash of the code, not 'unsafe-inline'"), true),
            Blocked::Eval => ("script-src 'unsafe-eval', which runs any text; better remove the eval".to_owned(), true),
            Blocked::WasmEval => ("script-src 'wasm-unsafe-eval'".to_owned(), false),
            Blocked::TrustedTypesPolicy | Blocked::TrustedTypesSink => {
                ("trusted-types with the name of a policy that the page creates".to_owned(), true)
            }
            Blocked::Scheme(scheme) => (format!("{directive} {scheme}:"), directive.is_script_like()),
            Blocked::Origin(origin) => (format!("{directive} {origin}"), directive.is_script_like()),
        };
        Allowance { text, is_risky }
    }

    /// Returns the identifier, a hash of the meaning.
    pub fn id(&self) -> GroupId {
        let Self { project, directive, class, blocked, document } = self;
        short_hash(&format!("{project}\n{directive}\n{}\n{blocked}\n{document}", class.name()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn group(directive: &str, class: Class, blocked: &str, document: &str) -> Group {
        let directive = Directive::parse(directive).unwrap();
        Group {
            project: "shop".to_owned(),
            directive,
            class,
            blocked: blocked.to_owned(),
            document: document.to_owned(),
        }
    }

    #[test]
    fn a_document_is_split_after_its_origin() {
        let split = |document: &str| {
            let group = group("img-src", Class::External, "https://a.example", document);
            let (origin, path) = group.split_document();
            (origin.to_owned(), path.to_owned())
        };
        let expected = |origin: &str, path: &str| (origin.to_owned(), path.to_owned());
        assert_eq!(split("shop.example/cart/{n}"), expected("shop.example", "/cart/{n}"));
        assert_eq!(split("shop.example:8443/"), expected("shop.example:8443", "/"));
        assert_eq!(split("http://shop.example/cart"), expected("http://shop.example", "/cart"));
        assert_eq!(split(""), expected("", ""));
    }

    #[test]
    fn a_stored_group_is_judged_by_what_it_keeps() {
        let policy = Policy::parse("default-src 'self'; img-src https://a.example/x/ https://b.example").unwrap();
        let judged =
            |blocked: &str, document: &str| group("img-src", Class::External, blocked, document).judge(&policy);
        assert_eq!(judged("https://a.example", "shop.example/"), Some(Judgement::Unknown));
        assert_eq!(judged("https://b.example", "shop.example/"), Some(Judgement::NotBlocked));
        assert_eq!(judged("https://c.example", "shop.example/"), Some(Judgement::Blocked));
        assert_eq!(judged("https://c.example", ""), None);
        let own = group("font-src", Class::SameOrigin, "http://shop.example", "http://shop.example/cart");
        assert_eq!(own.judge(&policy), Some(Judgement::NotBlocked));
    }

    #[test]
    fn what_would_allow_a_group_is_named_with_its_risk() {
        let allowance = |directive, blocked| group(directive, Class::External, blocked, "shop.example/").allowance();
        let expected = |text: &str, is_risky| Allowance { text: text.to_owned(), is_risky };
        assert_eq!(allowance("img-src", "https://a.example"), expected("img-src https://a.example", false));
        assert_eq!(
            allowance("script-src-elem", "https://a.example"),
            expected("script-src-elem https://a.example", true)
        );
        assert_eq!(allowance("img-src", "data:"), expected("img-src data:", false));
        assert!(allowance("script-src-elem", "inline").is_risky);
    }
}
