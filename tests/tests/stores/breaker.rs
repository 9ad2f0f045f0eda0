//! The shared breaker on a real Redis and the DynamoDB emulator, which each test has to itself: what its scripts count, how
//! environments come to one decision, and what becomes of it when a store is away.

mod bench;
mod deciding;
mod latencies;
mod meeting;
mod model;
mod outages;
mod room;
mod script;
mod turns;
mod words;
