//! Reads what providers answer: [`sse`] splits a stream into its events, [`usage`] finds the tokens that a call used;
//! [`model`] says of what models' names consist.

pub mod model;
pub mod sse;
pub mod usage;
