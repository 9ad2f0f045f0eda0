//! One call to a provider: whole, or up to the first content of a stream.

use std::fmt::Display;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::header::CONTENT_TYPE;
use http::{HeaderMap, HeaderValue, StatusCode};
use lambda_http::Response;
use levee::clock::Timestamp;
use levee::http::Admitted;
use levee::http::anthropic::ErrorKind;
use levee::metering::sse::Framer;
use levee::metering::{Call, Ledger, StreamReader, Usage};
use reqwest::RequestBuilder;
use serde::Deserialize;
use tokio::time::{Instant, timeout_at};

use crate::answer::{Body, Failed};
use crate::config::State;
use crate::in_flight::InFlight;
use crate::providers::response_headers;
use crate::pump::Pump;
use crate::report::Report;
use crate::timeouts::TimedOut;

/// The largest answer that is not streamed. Anthropic's own limit for a request is 32 MB.
const LARGEST_ANSWER: usize = 32 * 1024 * 1024;
/// What the client is told of a provider's connection that was lost.
pub const CONNECTION_LOST: &str = "The connection to the AI provider was lost.";
/// The most that is held back of a stream before its first content.
const LARGEST_OVERTURE: usize = 1024 * 1024;

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
    /// The model that was asked for; `None` for calls that use no tokens.
    pub model: Option<String>,
    /// When it began.
    pub started_at: Timestamp,
    /// The same on the clock that measures durations.
    pub began: Instant,
    /// When it must have ended.
    pub deadline: Instant,
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
}

/// What is needed to write a call's usage once it is known. Dropped before that, it leaves a log line.
pub struct Meter {
    ledger: Ledger,
    report: Report,
    call: Option<Call>,
}

impl Meter {
    /// Writes the usage; `estimated` when it is not the provider's final word.
    pub async fn record(&mut self, usage: Usage, estimated: bool) {
        if let Some(call) = &mut self.call {
            (call.usage, call.estimated) = (usage, estimated);
            let began = Instant::now();
            self.ledger.record(call).await;
            self.report.metered(&call.usage, estimated, began.elapsed());
        }
        self.call = None;
    }

    /// Nothing was used.
    fn forget(&mut self) {
        self.call = None;
    }
}

impl Drop for Meter {
    fn drop(&mut self) {
        if let Some(call) = &self.call {
            tracing::error!(
                code = "usage.lost_track",
                request.id = call.request_id,
                account.id = call.account,
                provider = call.provider,
                "a call was cut off before its usage was known"
            );
        }
    }
}

impl Exchange<'_> {
    fn meter(&self) -> Option<Meter> {
        let call = Call {
            id: self.invocation_id.clone(),
            request_id: self.about.request_id.clone(),
            account: self.caller.account.clone(),
            integration: self.caller.integration.clone(),
            provider: self.state.provider.name.clone(),
            model: self.model.clone()?,
            started_at: self.started_at.as_secs(),
            usage: Usage::default(),
            estimated: false,
        };
        Some(Meter { ledger: self.state.ledger.clone(), report: self.report.clone(), call: Some(call) })
    }

    /// Notes that the call is sent now.
    fn attempt(&self) -> Instant {
        self.report.attempt(&self.about.provider, self.state.provider.share);
        Instant::now()
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
                Err(Failed { kind: ErrorKind::BadGateway, message, may_retry: false })
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

    /// The headers of an answer that the provider gave, for which we waited for `waited`.
    fn headers(&self, upstream: &HeaderMap, waited: Duration) -> HeaderMap {
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
        headers
    }
}

/// Makes a call whose answer is passed on when it is whole.
pub async fn whole(exchange: Exchange<'_>, call: RequestBuilder) -> Result<Response<Body>, Failed> {
    let sent = exchange.attempt();
    let deadline = exchange.deadline.min(sent + exchange.state.timeouts.whole_call);
    let (status, headers, body) = timeout_at(deadline, async {
        let answer = call.send().await.map_err(|error| exchange.unreachable(error))?;
        let (status, headers) = (answer.status(), answer.headers().clone());
        Ok((status, headers, exchange.read_whole(answer).await?))
    })
    .await
    .map_err(|_| exchange.timed_out(TimedOut::WholeCall))??;
    let waited = sent.elapsed();
    exchange.report.provider_took(waited);

    if !status.is_success() {
        return exchange.failure(status, exchange.headers(&headers, waited), body);
    }
    if let Some(mut meter) = exchange.meter() {
        let usage = Usage::of_message(&body);
        if usage.is_none() {
            exchange.about.error("metering.no_usage", &status, "an answer reported no usage");
        }
        let metered = meter.record(usage.unwrap_or_default(), usage.is_none());
        tokio::join!(metered, exchange.in_flight.give_back());
    }
    exchange.report.answered(status);
    Ok(respond(status, exchange.headers(&headers, waited), Body::Full(Some(body))))
}

/// Makes a call whose answer is passed on from its first content on. Until then nothing has been sent to the client, so
/// a failure is still an answer with a status of its own.
pub async fn stream(exchange: Exchange<'_>, call: RequestBuilder) -> Result<Response<Body>, Failed> {
    let sent = exchange.attempt();
    let first_token = exchange.deadline.min(sent + exchange.state.timeouts.first_token);
    let too_late = |_| exchange.timed_out(TimedOut::FirstToken);

    // Send the call; pass on an answer that is no stream.
    let answer = timeout_at(first_token, call.send()).await.map_err(too_late)?;
    let mut answer = answer.map_err(|error| exchange.unreachable(error))?;
    let (status, headers) = (answer.status(), answer.headers().clone());
    if !status.is_success() || !is_event_stream(&headers) {
        let body = timeout_at(first_token, exchange.read_whole(answer)).await.map_err(too_late)??;
        return exchange.failure(status, exchange.headers(&headers, sent.elapsed()), body);
    }

    // Hold back what comes before the first content.
    let mut meter = exchange.meter();
    let mut reader = StreamReader::default();
    let mut framer = Framer::default();
    let outcome = timeout_at(first_token, async {
        while !(reader.progress().has_content || reader.progress().ended) && framer.held() < LARGEST_OVERTURE {
            let Some(chunk) = answer.chunk().await.map_err(|error| exchange.cut(error))? else {
                let message = "The AI provider ended its answer before any content.";
                exchange.about.error("provider.cut", &"before any content", "a stream ended too early");
                return Err(Failed::upstream(ErrorKind::BadGateway, message));
            };
            reader.feed(&chunk);
            framer.push(&chunk);
        }
        Ok(())
    })
    .await;
    if let Err(failed) = outcome.map_err(too_late).flatten() {
        // What the provider took in before it failed is billed.
        if let Some(meter) = &mut meter {
            match reader.progress().usage {
                Some(usage) => meter.record(usage, true).await,
                None => meter.forget(),
            }
        }
        return Err(failed);
    }

    let pump = Pump {
        answer,
        reader,
        framer,
        meter,
        gap: exchange.state.timeouts.stream_gap,
        deadline: exchange.deadline,
        sent,
        about: exchange.about.clone(),
        report: exchange.report.clone(),
        in_flight: exchange.in_flight.clone(),
        is_over: false,
    };
    exchange.report.answered(status);
    if pump.reader.progress().has_content {
        exchange.report.first_content(sent.elapsed());
    }
    let headers = exchange.headers(&headers, sent.elapsed());
    Ok(respond(status, headers, Body::Stream(Box::pin(pump.into_stream()))))
}

/// The error with its cause, without the address that was called.
pub fn with_cause(error: reqwest::Error) -> String {
    let error = error.without_url();
    let cause = std::error::Error::source(&error).map(|cause| format!(": {cause}"));
    format!("{error}{}", cause.unwrap_or_default())
}

fn is_event_stream(headers: &HeaderMap) -> bool {
    headers.get(CONTENT_TYPE).is_some_and(|value| value.as_bytes().starts_with(b"text/event-stream"))
}

fn respond(status: StatusCode, headers: HeaderMap, body: Body) -> Response<Body> {
    let mut response = Response::new(body);
    *response.status_mut() = status;
    *response.headers_mut() = headers;
    response
}
