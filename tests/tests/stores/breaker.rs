//! The shared breaker with a real Redis and the DynamoDB emulator, separate for each test: the counts of its scripts,
//! the agreement of environments on one decision, and outages of a store.

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
