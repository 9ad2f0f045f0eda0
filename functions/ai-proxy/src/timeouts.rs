//! Time-outs of the proxy's waits for providers. Each one has a name, a variable and an error of its own.
//!
//! API Gateway closes a connection on which nothing was sent for 5 minutes
//! (<https://docs.aws.amazon.com/apigateway/latest/developerguide/response-transfer-mode.html>), so every wait with
//! nothing to send stays below that. The function's own time-out of 900 s bounds the whole call.

use std::time::Duration;

use levee::config::Reader;

/// Time-outs of a call to providers.
#[derive(Debug, Clone, Copy)]
pub struct Timeouts {
    /// `AI_CONNECT_TIMEOUT_MS`: time to open a connection. Default 2,000, 50 to 30,000.
    pub connect: Duration,
    /// `AI_FIRST_TOKEN_TIMEOUT_MS`: time from the start of a streamed call to the first event of its stream, over all
    /// providers that it is sent to. Default 120,000, 50 to 285,000.
    pub first_token: Duration,
    /// `AI_FAILOVER_AFTER_MS`: the part of `first_token` that one provider gets while another one may serve the call.
    /// It is longer for calls whose first content usually takes nearly as long. Also the limit for a call that uses no
    /// tokens. Default 20,000, 50 to 285,000.
    pub failover: Duration,
    /// `AI_STREAM_GAP_TIMEOUT_MS`: time between two events of a stream that has begun. A ping is an event, a comment
    /// is not. Default 60,000, 50 to 285,000.
    pub stream_gap: Duration,
    /// `AI_PING_TIMEOUT_MS`: time during which a stream may send nothing but pings, before or after its first content.
    /// Default 300,000, 50 to 840,000.
    pub ping: Duration,
    /// `AI_CALL_TIMEOUT_MS`: time for a whole call that is not streamed, over all providers that it is sent to.
    /// Default 285,000, 50 to 285,000.
    pub whole_call: Duration,
}

impl Timeouts {
    /// Reads the variables named at the fields.
    pub fn read(reader: &mut Reader<'_>) -> Self {
        Self {
            connect: reader.millis("AI_CONNECT_TIMEOUT_MS", 2_000, 50..=30_000),
            first_token: reader.millis("AI_FIRST_TOKEN_TIMEOUT_MS", 120_000, 50..=285_000),
            failover: reader.millis("AI_FAILOVER_AFTER_MS", 20_000, 50..=285_000),
            stream_gap: reader.millis("AI_STREAM_GAP_TIMEOUT_MS", 60_000, 50..=285_000),
            ping: reader.millis("AI_PING_TIMEOUT_MS", 300_000, 50..=840_000),
            whole_call: reader.millis("AI_CALL_TIMEOUT_MS", 285_000, 50..=285_000),
        }
    }
}

/// A time-out that expired. The text is public.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TimedOut {
    /// [`Timeouts::connect`].
    #[error("The AI provider did not accept a connection in time.")]
    Connect,
    /// [`Timeouts::first_token`].
    #[error("The AI provider sent no content in time.")]
    FirstToken,
    /// [`Timeouts::stream_gap`].
    #[error("The AI provider stopped sending.")]
    StreamGap,
    /// [`Timeouts::ping`].
    #[error("The AI provider sent nothing but signs of life for too long.")]
    OnlyPings,
    /// [`Timeouts::whole_call`].
    #[error("The AI provider did not answer in time.")]
    WholeCall,
    /// The breaker gave the provider up while the call waited for it.
    #[error("The AI provider is failing.")]
    Hopeless,
    /// The function's own deadline was reached.
    #[error("The call reached the longest time that a call may take.")]
    Deadline,
}
