//! Breadcrumbs: a rolling record of recent errors, read newest first.
//!
//! Every error that a function logs, and every warning with a `code`, becomes a breadcrumb: [`Trail`] takes it from the
//! tracing event, masks it, and writes it before the request's answer ends. Equal errors of a minute are one row with a
//! count, so that a storm of errors writes a bounded number of rows.
//!
//! - **Nothing that should stay secret is stored.** Every text passes [`mask`](mask::mask) before it is kept anywhere.
//! - **A repeat costs nothing but a count.** An environment writes the first of equal errors at once and how often they
//!   came when their minute is over.
//! - **Nothing is counted twice**, however often a write is repeated: see [`table`].
//! - **An outage of DynamoDB costs a request every few seconds a flush's budget, and all others nothing.** What could
//!   not be written waits, and nothing distinct is lost while no more than 256 different errors wait.
//! - **A slow write outlasts its flush.** It goes on by itself while the environment lives, and an environment's end waits
//!   for it.
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
pub use page::{Filter, Page};
pub use table::{BreadcrumbTable, KEPT, TableError};
pub use trail::Trail;

use serde::{Deserialize, Serialize};

/// How bad it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// Something was not as it should be, and the request went on.
    Warning,
    /// A request failed, or something was lost.
    Error,
}

impl Severity {
    /// As it is stored and shown: `warning` or `error`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Warning => "warning",
            Self::Error => "error",
        }
    }
}

/// One error, with how often it happened within its minute.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Breadcrumb {
    /// When it first happened within its minute, Unix milliseconds.
    pub first_at: u64,
    /// When it last happened within its minute, Unix milliseconds.
    pub last_at: u64,
    /// The function that logged it, such as `ai-proxy`.
    pub function: String,
    /// How bad it is.
    pub severity: Severity,
    /// Stable machine-readable reason, such as `provider.unreachable`.
    pub code: String,
    /// What happened, masked, at most 500 characters.
    pub message: String,
    /// The first request that it happened to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request_id: Option<String>,
    /// The latest other requests that it happened to, at most 4, the newest last. Of environments that meet the error in
    /// the same minute, the one that writes last decides them; requests of a repeat are written with its count.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub more_request_ids: Vec<String>,
    /// The account that it happened to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub account: Option<String>,
    /// The provider or connection that it is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub connection: Option<String>,
    /// How often it happened.
    pub count: u64,
}
