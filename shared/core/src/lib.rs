//! Levee's pure core: decisions and parsers that do no I/O and depend on no store, clock or runtime.
//!
//! It is a crate of its own, so that a change is tested within a second or two, without the AWS SDK, and so that the
//! simulation and the fuzz targets can be built from it alone. The library `levee` re-exports all of it under the same
//! names (`levee::breaker`, `levee::clock`, `levee::csp`, `levee::metering`, `levee::models`), and the functions use it from there.

pub mod breaker;
pub mod clock;
pub mod csp;
pub mod metering;
pub mod models;
