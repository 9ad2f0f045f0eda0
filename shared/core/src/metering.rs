//! Reads providers' answers: [`sse`] splits a stream into events, [`usage`] extracts the tokens that a call used, and
//! [`model`] defines valid names of models.

pub mod sse;
pub mod usage;
