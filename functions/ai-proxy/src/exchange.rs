//! Sends one call to the providers until one of them serves it.
//!
//! [`serve`](fn@serve) tries providers until one has something for the client: a [`whole`] answer, or the first
//! content of a [`stream`]. Nothing has been sent to the client before that, so any failure up to then can fail over
//! to the next provider.

mod alternatives;
mod attempt;
mod failover;
mod failure;
mod prepared;
mod stream;
mod whole;

pub use failover::serve;

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method};
use levee::breaker::Affinity;
use levee::clock::Timestamp;
use levee::http::Caller;
use levee::metering::TokenState;
use tokio::sync::OnceCell;
use tokio::time::Instant;

use crate::cap::CapCheck;
use crate::config::ProxyState;
use crate::deadlines::ResponseMode;
use crate::in_flight::InFlight;
use crate::report::CallReport;

/// Message for the client after the connection to a provider was lost.
pub const CONNECTION_LOST: &str = "The connection to the AI provider was lost.";

/// State of a call while it runs.
pub struct Exchange<'a> {
    /// The environment's state.
    pub state: &'a ProxyState,
    /// The authorized caller.
    pub caller: &'a Caller,
    /// Id of the request, as the caller sees it.
    pub request_id: &'a str,
    /// The request to send to a provider.
    pub ask: Ask<'a>,
    /// Handle to the call's wide event.
    pub report: CallReport,
    /// The call's places in flight.
    pub in_flight: InFlight,
    /// Lambda's id of this invocation.
    pub invocation_id: String,
    /// The account's cap; `None` for a call that uses no tokens.
    pub spending: Option<CapCheck>,
    /// Start of the call, wall clock.
    pub started_at: Timestamp,
    /// Start of the call, monotonic clock.
    pub began: Instant,
    /// The moment at which the call must have ended.
    pub deadline: Instant,
    /// Total time spent waiting for providers.
    pub waited: Waited,
    /// True once an attempt that may have used tokens is in the ledger. Later attempts then do not count as another
    /// call.
    pub is_counted: AtomicBool,
    /// The account's position against its token cap, loaded on first use.
    pub token_state: OnceCell<Option<TokenState>>,
}

/// A request, independent of the provider that serves it.
pub struct Ask<'a> {
    /// HTTP method.
    pub method: Method,
    /// Path segments below a provider's base URL.
    pub segments: Vec<&'a str>,
    /// Query string.
    pub query: Option<&'a str>,
    /// The client's headers.
    pub headers: &'a HeaderMap,
    /// Body as the client sent it.
    pub body: Option<Bytes>,
    /// Estimated tokens of the prompt; 0 for a call that uses no tokens.
    pub prompt_tokens: u64,
    /// Model as the client wrote it; empty if there is none.
    pub model: String,
    /// Model name for logs and the ledger ([`display_model`](crate::report::display_model)).
    pub told_model: String,
    /// Part of the answer that the call waits for.
    pub awaited: ResponseMode,
    /// Latency class of the call.
    pub class: String,
    /// Session key, which keeps related calls at one provider.
    pub session: String,
    /// Key of this call alone. Equal to `session` if the call belongs to no session.
    pub call: String,
}

impl Ask<'_> {
    fn whose(&self) -> Affinity<'_> {
        Affinity { session: &self.session, call: &self.call }
    }
}

/// A duration that can be added to through a shared reference, in microseconds.
#[derive(Debug, Default)]
pub struct Waited(AtomicU64);

impl Waited {
    /// Adds `time` to the total.
    pub fn add(&self, time: Duration) {
        self.0.fetch_add(u64::try_from(time.as_micros()).unwrap_or(u64::MAX), Ordering::Relaxed);
    }

    fn total(&self) -> Duration {
        Duration::from_micros(self.0.load(Ordering::Relaxed))
    }
}

impl Exchange<'_> {
    /// Returns the moment by which the answer, or its first content, must have arrived.
    fn answer_by(&self) -> Instant {
        let timeouts = &self.state.timeouts;
        let longest = match self.ask.awaited {
            ResponseMode::FirstContent => timeouts.first_token,
            ResponseMode::Whole => timeouts.whole_call,
        };
        self.deadline.min(self.began + longest)
    }

    /// Returns the account's position against its token cap; `None` if it is unknown or the call uses no tokens.
    async fn token_state(&self) -> Option<TokenState> {
        let ask = async || match &self.spending {
            Some(spending) => spending.state().await,
            None => None,
        };
        *self.token_state.get_or_init(ask).await
    }

    /// Returns the response headers about the call as a whole: the number of attempts, the reason for a fallback, and
    /// the time spent in the proxy itself.
    fn headers(&self, attempts: u32, fallback: Option<&'static str>) -> Vec<(HeaderName, HeaderValue)> {
        let overhead = self.began.elapsed().saturating_sub(self.waited.total());
        let overhead = HeaderValue::from_str(&format!("{:.1}", overhead.as_secs_f64() * 1000.0)).ok();
        let name = HeaderName::from_static;
        let attempts = (name("x-levee-attempts"), HeaderValue::from(attempts));
        let fallback = fallback.map(|why| (name("x-levee-fallback-reason"), HeaderValue::from_static(why)));
        let overhead = overhead.map(|overhead| (name("x-levee-overhead-ms"), overhead));
        [Some(attempts), fallback, overhead].into_iter().flatten().collect()
    }
}
