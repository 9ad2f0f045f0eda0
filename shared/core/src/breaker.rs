//! The breaker's pure core: the share of traffic that a provider gets, and the providers that a call is sent to.
//!
//! If a provider errors or slows down, its share of the traffic falls automatically and other providers take over.
//! The share comes back in steps. One function decides this: [`step()`] takes the present decision ([`BreakerState`]) and
//! the evidence since then ([`Evidence`]), and returns the next decision, or none.
//!
//! | mode | share | |
//! | --- | --- | --- |
//! | closed | all | the normal mode |
//! | shed | a part | less than before, because too many results were bad |
//! | open | none | until a deadline |
//! | probe | single calls | half-open: tests if the provider has recovered |
//! | ramp | a part | more than before, because results were good |
//!
//! Start reading at [`step()`]. [`suspicion`] weighs evidence, [`protocol`] reconciles the two stores, [`routing`]
//! orders the providers for one call, and [`room`] limits the calls to a provider while no other one can take them.
//! The rules, their constants and their reasons are in docs/BREAKER.md.

pub mod config;
pub mod evidence;
pub mod local;
pub mod protocol;
pub mod provider_status;
pub mod room;
pub mod routing;
pub mod state;
mod step;
pub mod suspicion;

pub use config::BreakerConfig;
pub use evidence::{Evidence, SecondBucket};
pub use local::Local;
pub use provider_status::{Pause, ProviderStatus};
pub use room::{Answer, Room};
pub use routing::{Affinity, Candidate, Entry, FallbackReason, NoRoute, RoutePlan, Target, route};
pub use state::{BreakerState, Forced, Mode, Penalty, Reason, Share};
pub use step::{floor, force, release, step};
