//! Groups: reports that mean the same.

use serde::{Deserialize, Serialize};

use super::address::Blocked;
use super::policy::short_hash;
use super::{Class, Directive, Violation};

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
    /// Host and path template of the page; empty for noise, which does not depend on the page.
    pub document: String,
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
            false => format!("{}{}", violation.document_host, violation.document_path),
        };
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

    /// Returns the identifier, a hash of the meaning.
    pub fn id(&self) -> GroupId {
        let Self { project, directive, class, blocked, document } = self;
        short_hash(&format!("{project}\n{directive}\n{}\n{blocked}\n{document}", class.name()))
    }
}
