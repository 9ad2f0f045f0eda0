//! Tests of the library with its stores: a real Redis and the DynamoDB emulator, without a stack around them.

#![expect(clippy::panic, clippy::unwrap_used, reason = "helpers of tests are tests")]

mod accounts_table;
mod admins;
mod breaker;
mod cache;
mod catalogs;
mod csp;
mod emulator;
mod ledger;
mod limiter;
mod redis_errors;
mod redis_server;
