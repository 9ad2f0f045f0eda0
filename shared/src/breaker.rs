//! The breaker: how much of the traffic a provider gets.
//!
//! When a provider errors or slows, its share of the traffic falls by itself, others take over, and the share comes back
//! by steps. The core is one pure function, [`step()`]: from what is decided ([`State`]) and what was seen since then
//! ([`Evidence`]) to the next decision, or none. Everything else is plumbing.
//!
//! | mode | share | |
//! | --- | --- | --- |
//! | closed | all | as it should be |
//! | shed | a part | less than before, because too much was bad |
//! | open | none | until some moment |
//! | probe | single calls | to find out whether it is well again |
//! | ramp | a part | more than before, because everything was well |
//!
//! Start reading at [`step()`]; [`suspicion`] is how evidence is weighed. [`Breakers`] is that at work: what environments see
//! goes to Redis ([`mirror`]), what is decided to DynamoDB ([`table`]), and [`protocol`] is how the two come together;
//! [`routing`] says where a call goes. What admins do about it is [`word`], what they are shown [`mod@peek`]. The rules, their
//! constants and their reasons are in docs/BREAKER.md.

mod breakers;
pub mod config;
pub mod evidence;
pub mod local;
pub mod mirror;
pub mod peek;
pub mod protocol;
pub mod room;
pub mod routing;
pub mod state;
mod step;
mod suspicion;
pub mod table;
pub mod transition;
pub mod word;

pub use breakers::{Breakers, Pause, Standing};
pub use config::BreakerConfig;
pub use evidence::{Evidence, Second};
pub use local::Local;
pub use mirror::Seen;
pub use peek::{Peek, peek};
pub use room::{Answer, Room};
pub use routing::{Candidate, Detour, Entry, NoRoute, Route, Stop, Whose, route};
pub use state::{Forced, Mode, Penalty, Reason, Share, State};
pub use step::{floor, force, release, step};
pub use table::{BreakersTable, TableError, Wrote};
pub use transition::{Grounds, Transition};
pub use word::{Unsaid, Word, say};
