//! Library of all Levee functions: one module for each defence, and the code that they share.
//!
//! Start reading at the defence of interest:
//!
//! - [`accounts`] identifies callers, [`limits`] decides if they may call now, and [`metering`] counts the cost of
//!   their AI calls.
//! - [`quotas`] lets accounts see their limits and request higher ones, from the [`statistics`] of their calls.
//! - [`breaker`] decides which provider serves a call; [`headroom`] reads the remaining limits of the providers.
//! - [`catalogs`] serves the lists that all accounts read, through the read-through [`cache`].
//! - [`csp`] understands browsers' reports about the content security policies of pages.
//! - [`breadcrumbs`], [`alerts`] and [`story`] show operators the errors; [`admins`] identifies the operators.
//! - [`http`] is the layer between the authorizer and the functions behind it; [`web`] serves pages on top of it.
//!
//! [`function`] is the common frame of every function, and [`telemetry`] writes its logs and metrics. [`stores`] holds
//! the clients of external services, [`clock`] the only code that reads the system's clock.

pub mod accounts;
pub mod admins;
pub mod alerts;
pub mod breadcrumbs;
pub mod breaker;
pub mod cache;
pub mod catalogs;
pub mod clock;
pub mod config;
pub mod csp;
pub mod function;
pub mod headroom;
pub mod http;
pub mod limits;
pub mod metering;
pub mod quotas;
pub mod scope;
pub mod session_token;
pub mod statistics;
pub mod stores;
pub mod story;
pub mod sync;
pub mod telemetry;
pub mod text;
pub mod web;

pub use levee_core::models;
