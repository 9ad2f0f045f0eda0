//! Takes in browsers' reports about violations of content security policies.
//!
//! Invariants:
//!
//! - Every request is answered 204. A browser that gets anything else keeps its reports and sends them again.
//! - Nothing of a report is logged. A report is written by a stranger.
//! - A request costs at most one round trip to Redis, and a read of the projects once a minute.
//!
//! Start reading at [`handle()`]. The meaning of reports is in [`levee::csp`].

pub mod config;
mod handle;
mod report;
pub mod routes;

pub use config::{CspReportConfig, CspReportState};
pub use handle::handle;
