//! The customers' API: what an account may know about itself.
//!
//! Invariants: whose records are read is what the authorizer says, and nothing in the request; a parameter that is not
//! known is refused, because an answer to another question would be taken for the right one; errors are RFC 9457
//! problems.
//!
//! Start reading at [`handle()`]; [`routes`] is every route.

mod cached;
pub mod config;
mod handle;
mod report;
pub mod routes;
mod usage;

pub use config::{Config, State};
pub use handle::handle;
