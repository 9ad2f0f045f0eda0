//! Reads what providers answer: [`sse`] splits a stream into its events, [`usage`] finds the tokens that a call used.

pub mod sse;
pub mod usage;
