//! Token metering: what each AI call used, from the provider's own figures, added up per account and month (UTC).
//!
//! [`usage`] reads the figures out of JSON answers and server-sent events and is pure; [`ledger`] writes them to
//! DynamoDB, each call once; [`months`] reads the sums.

pub mod ledger;
pub mod months;
pub mod sse;
pub mod usage;

pub use ledger::{Call, Ledger};
pub use months::Months;
pub use usage::{StreamError, StreamReader, Usage};
