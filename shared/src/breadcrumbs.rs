//! Breadcrumbs: a rolling record of recent errors, read newest first.
//!
//! Each error that a function logs, and each warning with a `code`, becomes a breadcrumb. [`Trail`] takes it from
//! the tracing event, masks it, and writes it before the request's response ends. Equal errors of one minute share
//! one row with a count, so that a storm of errors writes a bounded number of rows.
//!
//! - **No secret is stored.** Every text passes [`mask`](mask::mask) before it is kept anywhere.
//! - **A repeat only adds to a count.** An environment writes the first of equal errors at once, and the count of
//!   the repeats when their minute is over.
//! - **Nothing is counted twice**, however often a write is repeated: see [`table`].
//! - **During an outage of DynamoDB, one flush every few seconds uses up its budget; all others cost nothing.**
//!   Unwritten breadcrumbs wait in the buffer. No distinct error is lost while at most 256 different errors wait.
//! - **A slow write outlasts its flush.** It continues in the background while the environment lives, and the
//!   shutdown of the environment waits for it.
//!
//! Start reading at [`trail`]; [`buffer`] is its pure core.

mod buffer;
mod cursor;
mod fingerprint;
mod layer;
mod mask;
mod page;
pub mod table;
pub mod trail;

pub use cursor::Cursor;
pub use layer::TrailLayer;
pub use mask::mask;
pub use page::{BreadcrumbPage, Filter};
pub use table::{BreadcrumbTable, BreadcrumbTableError, KEPT, KEPT_DAYS};
pub use trail::Trail;

use serde::{Deserialize, Serialize};

/// Severity of a breadcrumb.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// A problem that did not stop the request.
    Warning,
    /// A failed request or lost data.
    Error,
}

impl Severity {
    /// Returns the name that is stored and shown: `warning` or `error`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Warning => "warning",
            Self::Error => "error",
        }
    }
}

/// One error, with the number of times it happened within its minute.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Breadcrumb {
    /// First occurrence within the minute, in Unix milliseconds.
    pub first_at: u64,
    /// Last occurrence within the minute, in Unix milliseconds.
    pub last_at: u64,
    /// Function that logged the error, such as `ai-proxy`.
    pub function: String,
    /// Severity of the error.
    pub severity: Severity,
    /// Stable machine-readable reason, such as `provider.unreachable`.
    pub code: String,
    /// Masked message of at most 500 characters.
    pub message: String,
    /// Id of the first request with this error.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request_id: Option<String>,
    /// Ids of the latest other requests with this error, at most 4, the newest last. If several environments have
    /// the error in the same minute, the last write replaces the list. Requests of a repeat are written together
    /// with its count.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub more_request_ids: Vec<String>,
    /// Account whose request had the error.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub account: Option<String>,
    /// Provider or connection that the error is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub connection: Option<String>,
    /// Number of occurrences.
    pub count: u64,
}
