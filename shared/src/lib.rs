//! The library that every Levee function stands on: one module per defence, plus what they all share.
//!
//! Start reading at the defence you came for: [`accounts`] says who is calling, [`limits`] whether they may call now,
//! [`metering`] what their AI calls cost. [`http`] is the seam between the authorizer and the functions behind it.
//! [`stores`] holds the only code that opens connections; [`clock`] the only code that asks what time it is.

pub mod accounts;
pub mod clock;
pub mod config;
pub mod http;
pub mod limits;
pub mod metering;
pub mod stores;
mod sync;
pub mod telemetry;
