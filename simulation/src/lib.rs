//! A provider that fails in one of many ways, callers who come at random, and environments that serve one call at a
//! time, as Lambda's do: event by event, in virtual time, from a seed.
//!
//! It drives the breaker as it is ([`levee_core::breaker::step`]) beside three other [`designs`], and says how many calls each
//! of them let a sick provider spoil. Start reading at [`world::run`].
//!
//! There the backup is always well, and a call has one latency; that it is *slow* is known when it has run for
//! [`provider::SLOW`] seconds, to those designs that look. [`goodput`] is the other half: several providers that fail
//! together, and how many calls are served all the same.

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
