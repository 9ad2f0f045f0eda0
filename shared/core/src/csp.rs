//! Content security policy: the policy that pages carry, and the meaning of the reports that browsers send about it.
//!
//! Everything here is pure. A report's way is [`report::parse`], [`violation::Violation::new`] and
//! [`group::Group::new`]; the result is a group, a class and a clean example, which name no visitor. Invariants:
//!
//! - A report is written by a stranger. Its text is bounded and cleaned, and the policy inside it is never read.
//! - Query strings, fragments, user names, identifiers in paths, whole samples and user agents are dropped here, before
//!   anything is stored or logged.
//! - A report is classified, never dropped silently.
//! - Two reports with the same meaning have the same group, however their addresses and line numbers differ.
//!
//! Start reading at [`violation`].

pub mod address;
pub mod browser;
pub mod class;
pub mod directive;
pub mod group;
pub mod judge;
mod noise;
pub mod policy;
pub mod report;
pub mod violation;

pub use class::Class;
pub use directive::Directive;
pub use group::Group;
pub use judge::Judgement;
pub use policy::{Policy, Version};
pub use violation::Violation;
