//! The whole stack, started as `cargo xtask up` starts it: one module for each defence, and for each way to use them.
//!
//! Each test starts a stack of its own.

mod accounts;
mod alerts;
mod availability;
mod board;
mod breadcrumbs;
mod browser;
mod call;
mod callers;
mod caps;
mod catalogs;
mod changes;
mod cli;
mod cors;
mod csp;
mod events;
mod failover;
mod fairness;
mod faults;
mod gateway;
mod in_flight;
mod limits;
mod local_stack;
mod logs;
mod metering;
mod metering_storm;
mod outages;
mod providers;
mod quotas;
mod refunds;
mod refusals;
mod runtime_host;
mod scenes;
mod sdk;
mod settling;
mod statistics;
mod story;
mod usage;
