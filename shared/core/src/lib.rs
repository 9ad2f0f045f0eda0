//! Levee's pure core: decisions and readers that do no I/O and know no store, no clock and no runtime.
//!
//! It is a crate of its own so that a change here is tested within a second or two, without the AWS SDK, and so that
//! the simulation and the fuzz targets are built from it alone. The library `levee` passes all of it on under the same
//! names (`levee::breaker`, `levee::clock`, `levee::metering`), and functions use it from there.

pub mod breaker;
pub mod clock;
pub mod metering;
