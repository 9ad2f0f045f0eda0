//! Calls in flight: given back by the proxy when a call is over. One that is never given back ends by itself.

use std::time::Duration;

use crate::stores::redis::{Redis, Unavailable};

/// How long a call holds its place if nobody gives it back: the longest that API Gateway lets a streamed answer take
/// (<https://docs.aws.amazon.com/apigateway/latest/developerguide/response-transfer-mode.html>).
pub const LONGEST_CALL: Duration = Duration::from_secs(900);

/// Gives back what the call `id` holds in the sets `leases`. Giving back twice is no harm.
///
/// # Errors
/// When Redis cannot be asked; the call's places are then free when [`LONGEST_CALL`] is over.
pub async fn release(redis: &Redis, leases: &[String], id: &str) -> Result<(), Unavailable> {
    let mut commands = redis::pipe();
    for lease in leases {
        commands.cmd("ZREM").arg(lease).arg(id).ignore();
    }
    let commands = &commands;
    redis.run(async |mut connection| commands.query_async::<()>(&mut connection).await).await
}
