//! Refund of the charge of a request that the platform failed, for every function that serves callers.

use http::header::RETRY_AFTER;
use http::{HeaderMap, HeaderName, HeaderValue};

use super::problem::SHOULD_RETRY_HEADER;
use crate::limits::Charged;
use crate::stores::redis::Redis;

/// Header of a response whose charge was refunded.
const REFUNDED_HEADER: HeaderName = HeaderName::from_static("x-levee-refunded");
/// Wait of a response that has no other, seconds.
const RETRY_AFTER_SECS: u64 = 1;

/// Refunds the rate-limit charge of a request that the platform failed. Sets `x-levee-refunded` in the response's
/// `headers` if anything was refunded, and a `Retry-After` if an SDK may retry and there is no other wait.
pub async fn refund(charged: &Charged, redis: &Redis, headers: &mut HeaderMap) {
    let is_final = headers.get(SHOULD_RETRY_HEADER).is_some_and(|value| value == "false");
    if !is_final {
        headers.entry(RETRY_AFTER).or_insert(HeaderValue::from(RETRY_AFTER_SECS));
    }
    // The Redis client logs its own outage.
    if charged.refund(redis).await.unwrap_or(false) {
        headers.insert(REFUNDED_HEADER, HeaderValue::from_static("true"));
    }
}
