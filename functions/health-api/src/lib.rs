//! The System Health board for the platform's admins, and `/health` for everyone.
//!
//! Invariants:
//! - Access is checked before any handler runs: [`routes`] is the table, [`levee::web`] the rule.
//! - Every action of an admin is written to the audit before it is taken. If the audit cannot be written, the action
//!   is refused. Signing out is the exception: it is done anyway.
//! - A part of the board that cannot be read is named, and the rest is shown.
//!
//! Start reading at [`handle()`].

mod accounts;
mod audit;
mod board;
mod breakers;
pub mod config;
mod csp;
mod error;
mod errors;
mod handle;
mod health;
mod layout;
mod login;
pub mod not_offered;
pub mod preflight;
mod report;
mod requests;
pub mod routes;
mod site;
pub mod snapshot;
mod usage;

pub use config::{BoardState, HealthApiConfig};
pub use handle::handle;
