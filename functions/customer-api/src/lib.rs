//! The customers' API, by which an account reads its own quota, usage and the catalogs, and asks for higher limits.
//!
//! Invariants: the account comes from the authorizer and never from the request. An unknown parameter is refused,
//! because the answer would not be the one that was asked for. Errors are RFC 9457 problems.
//!
//! Start reading at [`handle()`]. [`routes`] lists every route.

mod cached;
mod catalogs;
pub mod config;
mod handle;
mod parameters;
mod quota;
mod report;
pub mod requests;
pub mod routes;
mod usage;

pub use config::{CustomerApiConfig, CustomerApiState};
pub use handle::handle;
