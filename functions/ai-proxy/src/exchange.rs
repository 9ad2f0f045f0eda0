//! One call to whatever provider serves it.
//!
//! [`serve`](fn@serve) tries providers until one of them has something for the client: a [`whole`] answer, or a [`stream`]'s
//! first content. Until then nothing has been sent to the client, so whatever a provider does wrong is another one's turn.

mod attempt;
mod failover;
mod failure;
mod stream;
mod whole;

pub use failover::serve;

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method};
use levee::breaker::Whose;
use levee::clock::Timestamp;
use levee::http::Admitted;
use levee::metering::TokenState;
use tokio::sync::OnceCell;
use tokio::time::Instant;

use crate::cap::Spending;
use crate::config::State;
use crate::in_flight::InFlight;
use crate::patience::Awaited;
use crate::report::Report;

/// What the client is told of a provider's connection that was lost.
pub const CONNECTION_LOST: &str = "The connection to the AI provider was lost.";

/// What is known about a call while it runs.
pub struct Exchange<'a> {
    /// The environment's state.
    pub state: &'a State,
    /// Who calls.
    pub caller: &'a Admitted,
    /// The id by which the request is named to its caller.
    pub request_id: &'a str,
    /// What is asked for.
    pub ask: Ask<'a>,
    /// The wide event.
    pub report: Report,
    /// What the call holds.
    pub in_flight: InFlight,
    /// Lambda's id of this invocation.
    pub invocation_id: String,
    /// The account's cap, for a call that uses tokens.
    pub spending: Option<Spending>,
    /// When it began.
    pub started_at: Timestamp,
    /// The same on the clock that measures durations.
    pub began: Instant,
    /// When it must have ended.
    pub deadline: Instant,
    /// How long providers were waited for.
    pub waited: Waited,
    /// True once an attempt that may have used tokens is in the ledger, so that the call is counted.
    pub is_counted: AtomicBool,
    /// How far the account has come within its token cap, once that is known.
    pub token_state: OnceCell<Option<TokenState>>,
}

/// What is asked of whatever provider serves it.
pub struct Ask<'a> {
    /// The method.
    pub method: Method,
    /// The path below a provider's base URL.
    pub segments: Vec<&'a str>,
    /// The query.
    pub query: Option<&'a str>,
    /// The client's headers.
    pub headers: &'a HeaderMap,
    /// The body, as the client sent it.
    pub body: Option<Bytes>,
    /// The estimated tokens of the prompt; 0 for a call that uses none.
    pub prompt_tokens: u64,
    /// The model, as the client wrote it; empty where there is none.
    pub model: String,
    /// The model, as it may be told.
    pub told_model: String,
    /// What is waited for.
    pub awaited: Awaited,
    /// The class of its latency.
    pub class: String,
    /// What keeps calls that belong together at one provider.
    pub session: String,
    /// The call itself, named as a session that it may be alone in.
    pub call: String,
}

impl Ask<'_> {
    fn whose(&self) -> Whose<'_> {
        Whose { session: &self.session, call: &self.call }
    }
}

/// A time that adds up.
#[derive(Debug, Default)]
pub struct Waited(AtomicU64);

impl Waited {
    /// Adds `time`.
    pub fn add(&self, time: Duration) {
        self.0.fetch_add(u64::try_from(time.as_micros()).unwrap_or(u64::MAX), Ordering::Relaxed);
    }

    fn total(&self) -> Duration {
        Duration::from_micros(self.0.load(Ordering::Relaxed))
    }
}

impl Exchange<'_> {
    /// When the answer, or its first content, must be there.
    fn answer_by(&self) -> Instant {
        let timeouts = &self.state.timeouts;
        let longest = match self.ask.awaited {
            Awaited::FirstContent => timeouts.first_token,
            Awaited::Whole => timeouts.whole_call,
        };
        self.deadline.min(self.began + longest)
    }

    /// How far the account has come within its token cap; `None` where that is not known, and for calls that use no
    /// tokens.
    async fn token_state(&self) -> Option<TokenState> {
        let ask = async || match &self.spending {
            Some(spending) => spending.state().await,
            None => None,
        };
        *self.token_state.get_or_init(ask).await
    }

    /// The headers that say what it took to answer, whoever did: how many attempts, why not the provider that is preferred,
    /// and how much of the time was ours.
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
