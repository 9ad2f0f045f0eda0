//! Limits: may this call go on, given what was used before?
//!
//! A [`Policy`] is one limit for one subject: an account, an integration, a key, a client address, or everyone. What
//! applies to a call follows from the [configuration](LimitsConfig) and from what an admin [changed](Overrides) for its
//! caller ([`LimitsConfig::charges`]). A call is checked against all its policies at once by one Redis script
//! ([`Limiter::check`], `limits/check.lua`), in one round trip, all or nothing: a refused call moves no counter.
//! [`decide()`] turns the script's reply into a [`Decision`] and is pure; [`headers`] turns that into header values.
//! The same script notices that a record was [changed elsewhere](markers), and [tallies](tally) for the
//! [statistics].
//!
//! Invariants: while Redis cannot be asked, every call passes and says so ([`Decision::Unchecked`]), unless the stack is
//! configured to count locally; counters count calls that passed, so that a raised limit holds at once.

mod charges;
mod check;
mod config;
mod decide;
mod degraded;
pub mod headers;
pub mod leases;
pub mod markers;
mod overrides;
mod policy;
pub mod refund;
mod spared;
pub mod statistics;
pub mod tally;
mod window;

pub use charges::{Asked, Party};
pub use check::{Ask, Limiter};
pub use config::{DegradedMode, LARGEST_LIMIT, LimitsConfig, MOST_POLICIES, StackMode, built_in_policies};
pub use decide::{Decision, Reading, Refusal, decide};
pub use overrides::{Level, MOST_OVERRIDES, Override, Overrides};
pub use policy::{Algorithm, Charge, Class, Mode, Policy, Scope, Subject, counter_key, is_policy_name};
pub use refund::Charged;
pub use spared::REMEMBERED;
pub use window::Window;
