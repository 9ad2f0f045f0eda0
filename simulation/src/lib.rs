//! Simulates a provider that fails in one of many ways, callers with random arrivals, and environments that serve one
//! call at a time, as Lambda's do. It runs event by event, in virtual time, from a seed.
//!
//! It drives the real breaker ([`levee_core::breaker::step`]) beside three other [`designs`], and counts the calls
//! that a sick provider spoils with each of them. Start reading at [`world::run`].
//!
//! In that world the backup is always well, and each call has a single latency. Designs that look for slow calls
//! learn that a call is slow after [`provider::SLOW`] seconds. [`goodput`] is the second simulation: several
//! providers fail together, and the calls that are still served are counted.

pub mod design;
pub mod designs;
pub mod goodput;
mod plan;
pub mod provider;
mod rate;
mod store;
pub mod world;

pub use design::{Design, Result, Ticket};
pub use provider::Scenario;
pub use world::{Faults, Outcome, Settings, run};
