//! The shared breaker on a real Redis and the DynamoDB emulator, which each test has to itself: what its scripts count, how
//! environments come to one decision, and what becomes of it when a store is away.

#![expect(clippy::panic, clippy::unwrap_used, reason = "helpers of tests are tests")]

mod bench;
mod deciding;
mod latencies;
mod meeting;
mod model;
mod outages;
mod script;
#[path = "../limiter/server.rs"]
#[expect(dead_code, reason = "what is for limiters is used there")]
mod server;
mod turns;
mod words;
