//! The breaker's pure core: how much of the traffic a provider gets, and where a call goes.
//!
//! When a provider errors or slows, its share of the traffic falls by itself, others take over, and the share comes back
//! by steps. That is one function, [`step()`]: from what is decided ([`State`]) and what was seen since then ([`Evidence`])
//! to the next decision, or none.
//!
//! | mode | share | |
//! | --- | --- | --- |
//! | closed | all | as it should be |
//! | shed | a part | less than before, because too much was bad |
//! | open | none | until some moment |
//! | probe | single calls | to find out whether it is well again |
//! | ramp | a part | more than before, because everything was well |
//!
//! Start reading at [`step()`]; [`suspicion`] weighs evidence, [`protocol`] brings together what two stores hold,
//! [`routing`] orders the providers for one call, and [`room`] limits how much a provider is asked while no other one can
//! take its calls. The rules, their constants and their reasons are in docs/BREAKER.md.

pub mod config;
pub mod evidence;
pub mod local;
pub mod protocol;
pub mod room;
pub mod routing;
pub mod standing;
pub mod state;
mod step;
pub mod suspicion;

pub use config::BreakerConfig;
pub use evidence::{Evidence, Second};
pub use local::Local;
pub use room::{Answer, Room};
pub use routing::{Candidate, Detour, Entry, NoRoute, Route, Stop, Whose, route};
pub use standing::{Pause, Standing};
pub use state::{Forced, Mode, Penalty, Reason, Share, State};
pub use step::{floor, force, release, step};
