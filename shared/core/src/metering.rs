//! Reads providers' answers: [`sse`] splits a stream into events, and [`usage`] extracts the tokens that a call used.

pub mod sse;
pub mod usage;
