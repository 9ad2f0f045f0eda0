//! The library that every Levee function stands on: one module per defence, plus what they all share.
//!
//! Start reading at the defence you came for: [`accounts`] says who is calling, [`limits`] whether they may call now,
//! [`metering`] what their AI calls cost; [`headroom`] what the AI providers leave the platform. [`breadcrumbs`], [`alerts`] and [`story`] tell operators what went wrong,
//! [`admins`] says who these are. [`http`] is the seam between the authorizer and the functions behind it.
//! [`function`] is what every function does around its handler, [`telemetry`] what it says of itself. [`stores`] holds
//! the only code that opens connections; [`clock`] the only code that asks what time it is.

pub mod accounts;
pub mod admins;
pub mod alerts;
pub mod breadcrumbs;
pub mod breaker;
pub mod clock;
pub mod config;
pub mod function;
pub mod headroom;
pub mod http;
pub mod limits;
pub mod metering;
pub mod pages;
pub mod stores;
pub mod story;
pub mod sync;
pub mod telemetry;
pub mod text;
