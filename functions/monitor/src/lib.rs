//! The monitor: every minute it judges recent errors, raises alerts, and sends what waits to be sent.
//!
//! Raising and sending stand on their own: what one of them cannot do keeps the other from nothing, and neither needs
//! the run before. Start reading at [`handle()`], then [`judge()`] (what is worth an alert).

pub mod config;
mod handle;
pub mod judge;
mod report;

pub use config::{Config, State};
pub use handle::{Event, Failure, Summary, handle};
pub use judge::judge;
