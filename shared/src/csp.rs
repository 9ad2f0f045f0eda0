//! Content security policy at work: reports are counted in Redis, and folded into rows of DynamoDB every minute.
//!
//! The meaning of a report is pure and lives in `levee_core::csp`, which is re-exported here. [`Counter`] counts the
//! reports of one request in one round trip, [`Folder`] moves the counts of a minute into the [`CspTable`], and
//! [`project`] is a web property with its policies. The rules are in docs/CSP.md.
//!
//! Invariants:
//!
//! - A flood leaves a bounded number of keys and rows: the rest of its reports is counted in one group for each class
//!   and directive.
//! - The counts of a minute are folded once. If Redis loses them, at most the last minutes are lost.
//! - Senders are counted by a keyed pseudonym of their network that changes every day. No address is stored.
//!
//! Start reading at [`counter`].

pub mod counter;
pub mod fold;
pub mod project;
pub mod table;

pub use levee_core::csp::*;

pub use counter::{BatchTally, Counter};
pub use fold::{FoldedCsp, Folder};
pub use project::{Project, ProjectName, Projects};
pub use table::{CspTable, CspTableError, GroupRow, GroupState};
