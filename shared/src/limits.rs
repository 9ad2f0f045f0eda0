//! Limits: may this call go on, given what was used before?
//!
//! A [`Policy`] is one limit: a number of calls per fixed window for one subject (an account, an integration, a client
//! address, or everyone). A call is checked against all its policies at once by one Redis script
//! ([`Limiter::check`], `limits/check.lua`), in one round trip, all or nothing: a refused call moves no counter.
//! [`decide()`] turns the script's reply into a [`Decision`] and is pure; [`headers`] turns that into header values.
//!
//! Invariant: while Redis cannot be asked, every call passes and says so ([`Decision::Unchecked`]).

mod check;
mod decide;
pub mod headers;
mod policy;

pub use check::Limiter;
pub use decide::{Decision, Reading, Refusal, decide};
pub use policy::{Charge, LimitsConfig, Policy, Scope, Subject};
