//! The monitor: every minute it folds statistics, settles calls that never came to their end, judges recent errors and
//! where providers stand, raises alerts, and sends what waits to be sent.
//!
//! Folding, settling, raising and sending stand on their own: what one of them cannot do keeps the others from nothing, and none
//! needs the run before. Start reading at [`handle()`], then [`judge()`] (what is worth an alert) and
//! [`levee::limits::statistics`].

pub mod config;
mod handle;
pub mod judge;
mod report;
mod settle;

pub use config::{Config, State};
pub use handle::{Answer, Event, Failure, Summary, handle};
pub use judge::judge;
