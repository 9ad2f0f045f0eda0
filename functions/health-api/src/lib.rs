//! The System Health board: what state the platform is in, for its admins, and `/health` for everyone.
//!
//! Invariants: the router, not the handlers, checks who may do what ([`routes`] is the table, [`gate`] the rule), so
//! that a new route cannot be left open; what changes anything comes from a form or a script of this board, of this
//! session; whatever an admin changes is written down before it is done, and not done where it cannot be written down,
//! but for signing out, which is done anyway. What the board cannot read it names, and shows the rest.
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
mod errors;
mod failed;
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

pub use config::{Config, State};
pub use handle::handle;
