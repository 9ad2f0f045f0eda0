//! Connections to what lies outside the function: Redis, DynamoDB and Secrets Manager.
//!
//! Nothing here connects before it is used, and nothing waits without a bound: [`redis::Redis`] gives each decision one
//! budget and a guard that makes an outage cost one caller, not all; [`dynamodb`] bounds each call, retries included.

pub mod aws;
pub mod dynamodb;
pub mod logs;
pub mod redis;
pub mod secrets;
