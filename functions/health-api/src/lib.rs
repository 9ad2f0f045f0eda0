//! The System Health board for the platform's admins, and `/health` for everyone.
//!
//! Invariants:
//! - The router checks access, not the handlers: [`routes`] is the table, [`gate`] the rule. So a new route cannot be
//!   left open by mistake.
//! - A request that changes anything must come from this board's own origin and carry the token of its session.
//! - Every action of an admin is written to the audit before it is taken. If the audit cannot be written, the action
//!   is refused. Signing out is the exception: it is done anyway.
//! - A part of the board that cannot be read is named, and the rest is shown.
//!
//! Start reading at [`handle()`].

mod accounts;
mod answer;
mod audit;
mod board;
mod breakers;
mod call;
pub mod config;
mod cookies;
mod error;
mod errors;
mod gate;
mod handle;
mod health;
mod layout;
mod login;
pub mod not_offered;
pub mod preflight;
mod report;
mod requests;
pub mod routes;
pub mod snapshot;
mod usage;

pub use config::{BoardState, HealthApiConfig};
pub use handle::handle;
