//! The monitor. Every minute it folds statistics, settles calls that never came to their end, judges recent errors and
//! the state of providers, raises alerts, and sends those that wait.
//!
//! Folding, settling, raising and sending are independent: a failure of one does not stop the others, and none depends
//! on the previous run. Start reading at [`handle()`], then [`judge()`] (the conditions of alerts) and
//! [`levee::statistics`].

pub mod config;
mod csp;
mod handle;
pub mod judge;
mod report;
mod settle;

pub use config::{MonitorConfig, MonitorState};
pub use handle::{MonitorEvent, RunAnswer, RunFailure, Summary, handle};
pub use judge::judge;
