//! The breaker at work, shared by all environments.
//!
//! The decisions themselves are pure and live in `levee_core::breaker`, which is found here too: [`step()`] is the next
//! decision about a provider, [`route`] the order of providers for one call, [`Room`] a limit on how much a provider is
//! asked where nobody else is left. [`Breakers`] joins them with the stores: what environments see goes to Redis
//! ([`mirror`]), what is decided to DynamoDB ([`table`]), and [`protocol`] brings the two together. Admins overrule it by
//! [`word`], and are shown [`mod@peek`]. The rules, their constants and their reasons are in docs/BREAKER.md.

mod breakers;
pub mod mirror;
pub mod peek;
pub mod table;
pub mod transition;
pub mod word;

pub use levee_core::breaker::*;

pub use breakers::Breakers;
pub use mirror::Seen;
pub use peek::{Peek, peek};
pub use table::{BreakersTable, TableError, Wrote};
pub use transition::{Grounds, Transition};
pub use word::{Unsaid, Word, say};
