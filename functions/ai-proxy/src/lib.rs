//! The Messages API proxy: takes an authorized AI call, sends it to a provider under the platform's key, and passes
//! the answer on while metering its tokens.
//!
//! Every answer is a stream on the wire, because a Lambda function streams all its answers or none.
//!
//! Invariants:
//!
//! - The client's key never goes upstream, and the provider's key never comes back.
//! - A stream's body cannot fail, so the runtime never writes an error's text into it.
//! - A stream that a provider breaks off ends in a well-formed `event: error`.
//!
//! Start reading at [`handle()`]. [`demands`], [`guards`] and [`cap`] limit the cost of a call. [`exchange`] sends the
//! call to a provider, and to the next one if that fails. [`outcome`] judges a provider by its answer, [`watch`]
//! reports to the breaker, and [`pump`] passes a stream on.

mod answer;
mod api_error;
mod asked;
mod body;
mod cap;
pub mod config;
mod deadlines;
mod decode;
mod demands;
mod exchange;
mod gated_body;
mod guards;
mod handle;
mod headers;
mod in_flight;
mod intake;
mod log_context;
mod meter;
mod models;
mod outcome;
mod platform_alert;
mod platform_error;
mod provider_answer;
pub mod providers;
mod public_error;
mod pump;
mod releases;
mod rename;
mod report;
pub mod routes;
mod timeouts;
mod watch;

pub use answer::Body;
pub use config::{AiProxyConfig, ProxyState};
pub use handle::handle;
pub use platform_alert::ALERT_KEYS;
