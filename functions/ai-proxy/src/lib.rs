//! The Messages API proxy: takes an authorized AI call, sends it to a provider under the platform's key, and passes
//! the answer on while metering its tokens.
//!
//! Every answer is a stream on the wire, because a Lambda function streams all its answers or none. Invariants: the
//! client's key never goes upstream and the provider's never comes back; a stream's body cannot fail, so that no error
//! text of ours leaks into it; what a provider's stream breaks off with is a well-formed `event: error`.
//!
//! Start reading at [`handle()`]; [`demands`], [`guards`] and [`cap`] are what a call may cost, [`exchange`] is the call to whatever provider
//! serves it, [`outcome`] what an answer says about a provider, [`watch`] what the breaker is told, and [`pump`] a stream on
//! its way through.

mod about;
mod alarm;
mod answer;
mod api_error;
mod asked;
mod body;
mod cap;
pub mod config;
mod demands;
mod exchange;
mod guards;
mod handle;
mod headers;
mod held;
mod in_flight;
mod intake;
mod meter;
mod models;
mod outcome;
mod patience;
pub mod providers;
mod pump;
mod rename;
mod report;
pub mod routes;
mod timeouts;
mod watch;

pub use answer::Body;
pub use config::{Config, State};
pub use handle::handle;
