//! One call to a provider: [`whole`](fn@whole), or a [`stream`](fn@stream) up to its first content.

mod stream;
mod whole;

pub use stream::stream;
pub use whole::whole;

use std::fmt::Display;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::{HeaderMap, HeaderValue, StatusCode};
use lambda_http::Response;
use levee::clock::Timestamp;
use levee::http::Admitted;
use levee::http::anthropic::ErrorKind;
use levee::metering::{Call, Figures, TokenState};
use reqwest::RequestBuilder;
use serde::Deserialize;
use tokio::time::Instant;

use crate::answer::{Body, Failed};
use crate::cap::{self, Spending};
use crate::config::State;
use crate::held::{Hold, hold};
use crate::in_flight::InFlight;
use crate::meter::Meter;
use crate::providers::response_headers;
use crate::report::Report;
use crate::timeouts::TimedOut;

/// The largest answer that is not streamed. Anthropic's own limit for a request is 32 MB.
const LARGEST_ANSWER: usize = 32 * 1024 * 1024;
/// What the client is told of a provider's connection that was lost.
pub const CONNECTION_LOST: &str = "The connection to the AI provider was lost.";

/// What is known about a call while it runs.
pub struct Exchange<'a> {
    /// The environment's state.
    pub state: &'a State,
    /// Who calls.
    pub caller: &'a Admitted,
    /// What log lines about the call name.
    pub about: About,
    /// The wide event.
    pub report: Report,
    /// What the call holds.
    pub in_flight: InFlight,
    /// Lambda's id of this invocation.
    pub invocation_id: String,
    /// The model that was asked for, as it is told, and the account's cap; `None` for calls that use no tokens.
    pub metered: Option<(String, Spending)>,
    /// When it began.
    pub started_at: Timestamp,
    /// The same on the clock that measures durations.
    pub began: Instant,
    /// When it must have ended.
    pub deadline: Instant,
}

/// A request on its way to a provider.
pub struct Outgoing {
    /// Everything but its body.
    pub request: RequestBuilder,
    /// Its body, where it has one.
    pub body: Option<Bytes>,
}

/// A call that got no answer.
struct Unanswered {
    failed: Failed,
    /// The provider may have got the call, and served it as far as it knows.
    was_sent: bool,
}

impl Outgoing {
    /// The request whose body waits for its end until the hold is dropped.
    fn held(self) -> (RequestBuilder, Option<Hold>) {
        let Self { request, body } = self;
        match body {
            Some(body) => {
                let (body, hold) = hold(body);
                (request.body(body), Some(hold))
            }
            None => (request, None),
        }
    }
}

/// More than so many bytes.
#[derive(Debug, thiserror::Error)]
#[error("more than {0} bytes")]
pub struct TooLarge(pub usize);

/// What every log line about a call names.
#[derive(Debug, Clone)]
pub struct About {
    /// The id by which the request is named to its caller.
    pub request_id: String,
    /// Who calls.
    pub account: String,
    /// Who is called.
    pub provider: String,
}

impl About {
    /// Logs what went wrong. `error` is the cause; it must not hold what a caller or a provider sent.
    pub fn error(&self, code: &'static str, error: &dyn Display, message: &'static str) {
        let Self { request_id, account, provider } = self;
        tracing::error!(code, request.id = request_id, account.id = account, provider, %error, "{message}");
    }

    /// Logs, once an answer, the first field in which the provider reported what can be no count, where there is one.
    pub fn absurd(&self, field: Option<&'static str>) {
        let Self { request_id, account, provider } = self;
        if let Some(field) = field {
            tracing::warn!(
                code = "metering.absurd",
                request.id = request_id,
                account.id = account,
                provider,
                field,
                "a provider reported an absurd token count"
            );
        }
    }
}

impl Exchange<'_> {
    /// The meter of the attempt that must have ended by `deadline`; `None` for calls that use no tokens.
    fn meter(&self, deadline: Instant) -> Option<Meter> {
        let (model, spending) = self.metered.clone()?;
        let left = deadline.saturating_duration_since(self.began);
        let call = Call {
            id: self.invocation_id.clone(),
            attempt: 1,
            request_id: self.about.request_id.clone(),
            account: self.caller.account.clone(),
            integration: self.caller.integration.clone(),
            kind: self.caller.kind,
            provider: self.state.provider.name.clone(),
            model,
            started_at: self.started_at.as_secs(),
            deadline: self.started_at.plus(left).as_secs(),
        };
        Some(Meter::new(&self.state.ledger, &self.report, spending, call))
    }

    /// Opens the attempt's record, where it has one, and lets the request go; when that was.
    async fn open(&self, meter: Option<&Meter>, hold: Option<Hold>) -> Instant {
        if let Some(meter) = meter {
            meter.open().await;
        }
        drop(hold);
        Instant::now()
    }

    /// Notes that the call is sent now.
    fn attempt(&self) -> Instant {
        self.report.attempt(&self.about.provider, self.state.provider.share);
        Instant::now()
    }

    /// Sends `call` and waits for the head of its answer.
    async fn send(&self, call: RequestBuilder) -> Result<reqwest::Response, Unanswered> {
        call.send().await.map_err(|error| {
            let was_sent = !error.is_connect();
            Unanswered { failed: self.unreachable(error), was_sent }
        })
    }

    /// What the client is told of a connection that failed. The cause is logged; it may name hosts that are nobody's
    /// business.
    fn unreachable(&self, error: reqwest::Error) -> Failed {
        if error.is_connect() && error.is_timeout() {
            return self.timed_out(TimedOut::Connect);
        }
        self.about.error("provider.unreachable", &with_cause(error), "a provider cannot be reached");
        Failed::upstream(ErrorKind::BadGateway, "The AI provider cannot be reached.")
    }

    /// What the client is told of an answer that broke off before anything of it was passed on.
    fn cut(&self, error: reqwest::Error) -> Failed {
        self.about.error("provider.cut", &with_cause(error), "an answer was cut");
        Failed::upstream(ErrorKind::BadGateway, CONNECTION_LOST)
    }

    fn timed_out(&self, which: TimedOut) -> Failed {
        self.about.error("provider.timeout", &which, "a provider is too slow");
        Failed::upstream(ErrorKind::Timeout, which.to_string())
    }

    /// Reads an answer to its end.
    async fn read_whole(&self, mut answer: reqwest::Response) -> Result<Bytes, Failed> {
        let mut body = BytesMut::new();
        while let Some(chunk) = answer.chunk().await.map_err(|error| self.cut(error))? {
            if body.len() + chunk.len() > LARGEST_ANSWER {
                self.about.error("provider.nonsense", &TooLarge(LARGEST_ANSWER), "a provider's answer is too large");
                return Err(Failed::upstream(ErrorKind::BadGateway, "The AI provider's answer is too large."));
            }
            body.extend_from_slice(&chunk);
        }
        Ok(body.freeze())
    }

    /// A provider's answer that is no success, as the client gets it: the provider's own errors as they are, anything
    /// else in Anthropic's envelope.
    fn failure(&self, status: StatusCode, headers: HeaderMap, body: Bytes) -> Result<Response<Body>, Failed> {
        #[derive(Deserialize)]
        struct Envelope<'a> {
            r#type: &'a str,
        }
        let is_error = serde_json::from_slice(&body).is_ok_and(|envelope: Envelope<'_>| envelope.r#type == "error");
        match status {
            // These are about the platform's key or bill, not about the client's: passed on, they would send the client
            // looking for a mistake in a key that is fine.
            StatusCode::UNAUTHORIZED | StatusCode::PAYMENT_REQUIRED | StatusCode::FORBIDDEN => {
                self.about.error("provider.refused", &status, "a provider refuses the platform's credentials");
                let message = "The AI provider refuses the platform's credentials.".to_owned();
                Err(Failed { may_retry: false, ..Failed::upstream(ErrorKind::BadGateway, message) })
            }
            _ if is_error => {
                if status.is_server_error() {
                    self.about.error("provider.failed", &status, "a provider failed");
                } else if status == StatusCode::TOO_MANY_REQUESTS {
                    self.about.error("provider.limited", &status, "a provider limits the platform");
                }
                self.report.answered(status);
                Ok(respond(status, headers, Body::Full(Some(body))))
            }
            _ => {
                self.about.error("provider.nonsense", &status, "a provider's answer is no error of its API");
                Err(Failed::upstream(ErrorKind::BadGateway, "The AI provider's answer cannot be understood."))
            }
        }
    }

    /// How far the account has come within its token cap; `None` where that is not known, and for calls that use no
    /// tokens.
    async fn token_state(&self) -> Option<TokenState> {
        let (_, spending) = self.metered.as_ref()?;
        spending.state().await
    }

    /// The headers of an answer that the provider gave, for which we waited for `waited`.
    fn headers(&self, upstream: &HeaderMap, waited: Duration, state: Option<TokenState>) -> HeaderMap {
        let overhead = self.began.elapsed().saturating_sub(waited);
        let mut headers = response_headers(upstream);
        for (name, value) in [
            ("x-levee-provider", self.state.provider.name.clone()),
            ("x-levee-attempts", "1".to_owned()),
            ("x-levee-overhead-ms", format!("{:.1}", overhead.as_secs_f64() * 1000.0)),
        ] {
            if let Ok(value) = HeaderValue::from_str(&value) {
                headers.insert(name, value);
            }
        }
        headers.extend(state.and_then(cap::header));
        headers
    }
}

/// The error with its cause, without the address that was called.
pub fn with_cause(error: reqwest::Error) -> String {
    let error = error.without_url();
    let cause = std::error::Error::source(&error).map(|cause| format!(": {cause}"));
    format!("{error}{}", cause.unwrap_or_default())
}

/// Ends the record of an attempt that got no answer, of which `figures` are known; what the client is told.
async fn unanswered(meter: Option<Meter>, Unanswered { failed, was_sent }: Unanswered, figures: Figures) -> Failed {
    match meter {
        // What it used is known as far as the provider has said; that it was sent is known.
        Some(mut meter) if was_sent => meter.close(figures, true).await,
        meter => void(meter).await,
    }
    failed
}

/// Writes that an attempt used nothing.
async fn void(meter: Option<Meter>) {
    if let Some(mut meter) = meter {
        meter.void().await;
    }
}

fn respond(status: StatusCode, headers: HeaderMap, body: Body) -> Response<Body> {
    let mut response = Response::new(body);
    *response.status_mut() = status;
    *response.headers_mut() = headers;
    response
}
