//! How long the proxy waits for a provider: each wait has a name, a limit and an error of its own.
//!
//! API Gateway ends a connection on which nothing was sent for 5 minutes
//! (<https://docs.aws.amazon.com/apigateway/latest/developerguide/response-transfer-mode.html>), so every wait with nothing
//! to send stays below that; the function's own time-out of 900 s bounds the whole.

use std::time::Duration;

use levee::config::Reader;

/// The waits.
#[derive(Debug, Clone, Copy)]
pub struct Timeouts {
    /// `AI_CONNECT_TIMEOUT_MS`: opening a connection. Default 2,000, 50 to 30,000.
    pub connect: Duration,
    /// `AI_FIRST_TOKEN_TIMEOUT_MS`: from a streamed call's beginning until a provider has sent an event of its stream,
    /// whatever providers it is sent to. Default 120,000, 50 to 285,000.
    pub first_token: Duration,
    /// `AI_FAILOVER_AFTER_MS`: how much of that one provider gets while another one may serve the call; more where first
    /// content usually takes nearly as long. A call that uses no tokens gets as much. Default 20,000, 50 to 285,000.
    pub failover: Duration,
    /// `AI_STREAM_GAP_TIMEOUT_MS`: between two events of a stream that has begun; a ping is one, a comment is none. Default
    /// 60,000, 50 to 285,000.
    pub stream_gap: Duration,
    /// `AI_PING_TIMEOUT_MS`: how long a stream may only ping, before its first content or after it. Default 300,000, 50 to
    /// 840,000.
    pub ping: Duration,
    /// `AI_CALL_TIMEOUT_MS`: a whole call that is not streamed, whatever providers it is sent to. Default 285,000, 50 to 285,000.
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

/// A wait that was too long. The text is public.
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
    /// The provider was found to be failing meanwhile.
    #[error("The AI provider is failing.")]
    Hopeless,
    /// The function's own deadline.
    #[error("The call reached the longest time that a call may take.")]
    Deadline,
}
