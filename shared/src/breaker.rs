//! The breaker at work, shared by all environments.
//!
//! The decisions themselves are pure and live in `levee_core::breaker`, which is re-exported here: [`step()`] returns
//! the next decision about a provider, [`route`] orders the providers for one call, and [`Room`] limits the calls to
//! a provider that no other one can take. [`Breakers`] connects them with the stores: results go to Redis
//! ([`mirror`]), decisions to DynamoDB ([`table`]), and [`protocol`] reconciles the two. Admins override decisions
//! with [`manual_override`], and [`mod@peek`] shows them recent results. The rules, their constants and their reasons are in
//! docs/BREAKER.md.
//!
//! Start reading at [`Breakers`].

mod breakers;
pub mod manual_override;
pub mod mirror;
pub mod peek;
pub mod table;
pub mod transition;

pub use levee_core::breaker::*;

pub use breakers::Breakers;
pub use manual_override::{ManualOverride, OverrideError, apply};
pub use mirror::Observation;
pub use peek::{Peek, peek};
pub use table::{BreakersTable, BreakersTableError, Wrote};
pub use transition::{Grounds, Transition};
