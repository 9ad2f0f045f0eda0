//! Limits: decides if a call may pass, given the calls counted before it.
//!
//! A [`Policy`] is one limit for one subject: an account, an integration, a key, a client address, or the platform.
//! The charges of a call follow from the [configuration](LimitsConfig) and from the [overrides](Overrides) that an
//! admin has set for its caller ([`LimitsConfig::charges`]). One Redis script ([`Limiter::check`],
//! `limits/check.lua`) checks a call against all its policies in one round trip, all or nothing: a refused call moves
//! no counter. [`decide()`] is pure and turns the script's reply into a [`Decision`], and [`headers`] turns that into
//! header values. The same script notices [changed records](versions) and writes the [tallies](tally) for the
//! [statistics](crate::statistics). [`routes`] says which class of limits a route belongs to.
//!
//! Invariants: while Redis cannot be reached, every call passes and is marked as unchecked ([`Decision::Unchecked`]),
//! unless the stack is configured to count locally. Counters hold the calls that passed, independent of the limit, so
//! that a raised limit takes effect at once.
//!
//! Start reading at [`LimitsConfig::charges`], then [`Limiter::check`].

mod applied;
mod charges;
mod check;
mod config;
mod decide;
mod degraded;
pub mod headers;
pub mod leases;
mod overrides;
mod policy;
pub mod refund;
mod refusal_cache;
pub mod routes;
pub mod tally;
pub mod versions;
mod window;

pub use applied::{AppliedLimit, present};
pub use charges::{ChargedCall, LimitSource, Party};
pub use check::{Ask, Limiter};
pub use config::{DegradedMode, LARGEST_LIMIT, LimitsConfig, MOST_POLICIES, StackMode, built_in_policies};
pub use decide::{Decision, Reading, Refusal, decide};
pub use overrides::{Grant, Level, MOST_OVERRIDES, Override, Overrides};
pub use policy::{Algorithm, Charge, Class, Mode, Policy, PolicyScope, Subject, counter_key, is_policy_name};
pub use refund::Charged;
pub use refusal_cache::REMEMBERED;
pub use routes::Route;
pub use window::{LONGEST_WINDOW_SECS, Window};
