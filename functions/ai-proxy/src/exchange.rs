//! One call to a provider: whole, or up to the first content of a stream.

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::{HeaderMap, HeaderValue, StatusCode};
use lambda_http::Response;
use levee::clock::Timestamp;
use levee::http::Admitted;
use levee::http::anthropic::ErrorKind;
use levee::metering::{Call, Ledger, StreamReader, Usage};
use reqwest::RequestBuilder;
use tokio::time::{Instant, timeout_at};

use crate::answer::{Body, Failed};
use crate::config::State;
use crate::providers::response_headers;
use crate::pump::Pump;
use crate::timeouts::TimedOut;

/// The largest answer that is not streamed. Anthropic's own limit for a request is 32 MB.
const LARGEST_ANSWER: usize = 32 * 1024 * 1024;
/// The most that is held back of a stream before its first content.
const LARGEST_OVERTURE: usize = 1024 * 1024;

/// What is known about a call while it runs.
pub struct Exchange<'a> {
    /// The environment's state.
    pub state: &'a State,
    /// Who calls.
    pub caller: &'a Admitted,
    /// The gateway's request id.
    pub request_id: &'a str,
    /// The model that was asked for; `None` for calls that use no tokens.
    pub model: Option<String>,
    /// When it began.
    pub started_at: Timestamp,
    /// The same on the clock that measures durations.
    pub began: Instant,
    /// When it must have ended.
    pub deadline: Instant,
}

/// What is needed to write a call's usage once it is known.
pub struct Meter {
    ledger: Ledger,
    call: Call,
}

impl Meter {
    /// Writes the usage.
    pub async fn record(mut self, usage: Usage, estimated: bool) {
        self.call.usage = usage;
        self.call.estimated = estimated;
        self.ledger.record(&self.call).await;
    }
}

impl Exchange<'_> {
    fn meter(&self) -> Option<Meter> {
        let call = Call {
            request_id: self.request_id.to_owned(),
            account: self.caller.account.clone(),
            integration: self.caller.integration.clone(),
            provider: self.state.provider.name.clone(),
            model: self.model.clone()?,
            started_at: self.started_at.as_secs(),
            usage: Usage::default(),
            estimated: false,
        };
        Some(Meter { ledger: self.state.ledger.clone(), call })
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
    let sent = Instant::now();
    let deadline = exchange.deadline.min(sent + exchange.state.timeouts.whole_call);
    let (status, headers, body) = timeout_at(deadline, async {
        let answer = call.send().await.map_err(unreachable)?;
        let (status, headers) = (answer.status(), answer.headers().clone());
        Ok((status, headers, read_whole(answer, Bytes::new()).await?))
    })
    .await
    .map_err(|_| timed_out(TimedOut::WholeCall))??;
    let waited = sent.elapsed();

    refuse_our_own_fault(status)?;
    if status.is_success()
        && let Some(meter) = exchange.meter()
    {
        match Usage::of_message(&body) {
            Some(usage) => meter.record(usage, false).await,
            None => tracing::warn!(code = "metering.no_usage", request.id = exchange.request_id, "no usage reported"),
        }
    }
    Ok(respond(status, exchange.headers(&headers, waited), Body::Full(Some(body))))
}

/// Makes a call whose answer is passed on from its first content on. Until then nothing has been sent to the client, so
/// a failure is still an answer with a status of its own.
pub async fn stream(exchange: Exchange<'_>, call: RequestBuilder) -> Result<Response<Body>, Failed> {
    let sent = Instant::now();
    let first_token = exchange.deadline.min(sent + exchange.state.timeouts.first_token);
    let too_late = |_| timed_out(TimedOut::FirstToken);

    // Send the call; pass on an answer that is no stream.
    let mut answer = timeout_at(first_token, call.send()).await.map_err(too_late)?.map_err(unreachable)?;
    let (status, headers) = (answer.status(), answer.headers().clone());
    if !status.is_success() {
        refuse_our_own_fault(status)?;
        let body = timeout_at(first_token, read_whole(answer, Bytes::new())).await.map_err(too_late)??;
        return Ok(respond(status, exchange.headers(&headers, sent.elapsed()), Body::Full(Some(body))));
    }

    // Hold back what comes before the first content.
    let mut reader = StreamReader::default();
    let mut overture = BytesMut::new();
    while !(reader.progress().has_content || reader.progress().ended) && overture.len() < LARGEST_OVERTURE {
        let chunk = timeout_at(first_token, answer.chunk()).await.map_err(too_late)?.map_err(unreachable)?;
        let Some(chunk) = chunk else {
            return Err(Failed::upstream(
                ErrorKind::BadGateway,
                "The AI provider ended its answer before any content.",
            ));
        };
        reader.feed(&chunk);
        overture.extend_from_slice(&chunk);
    }

    let meter = exchange.meter();
    let headers = exchange.headers(&headers, sent.elapsed());
    let pump = Pump::new(
        answer,
        reader,
        overture,
        meter,
        exchange.state.timeouts.stream_gap,
        exchange.deadline,
        exchange.request_id.to_owned(),
    );
    Ok(respond(status, headers, Body::Stream(Box::pin(pump.into_stream()))))
}

async fn read_whole(mut answer: reqwest::Response, start: Bytes) -> Result<Bytes, Failed> {
    let mut body = BytesMut::from(start);
    while let Some(chunk) = answer.chunk().await.map_err(unreachable)? {
        if body.len() + chunk.len() > LARGEST_ANSWER {
            return Err(Failed::upstream(ErrorKind::BadGateway, "The AI provider's answer is too large."));
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body.freeze())
}

fn respond(status: StatusCode, headers: HeaderMap, body: Body) -> Response<Body> {
    let mut response = Response::new(body);
    *response.status_mut() = status;
    *response.headers_mut() = headers;
    response
}

/// What the client is told of a connection that failed. The cause is logged; it may name hosts that are nobody's
/// business.
fn unreachable(error: reqwest::Error) -> Failed {
    let error = error.without_url();
    let cause = std::error::Error::source(&error).map(ToString::to_string);
    tracing::error!(code = "provider.unreachable", %error, cause, "the provider cannot be reached");
    Failed::upstream(ErrorKind::BadGateway, "The AI provider cannot be reached.")
}

fn timed_out(which: TimedOut) -> Failed {
    tracing::error!(code = "provider.timeout", which = ?which, "the provider is too slow");
    Failed::upstream(ErrorKind::Timeout, which.to_string())
}

/// A provider's 401, 402 or 403 is about the platform's key or bill, not about the client's: passed on, it would send
/// the client looking for a mistake in a key that is fine.
fn refuse_our_own_fault(status: StatusCode) -> Result<(), Failed> {
    match status {
        StatusCode::UNAUTHORIZED | StatusCode::PAYMENT_REQUIRED | StatusCode::FORBIDDEN => {
            tracing::error!(code = "provider.refused", status = status.as_u16(), "the provider refuses the platform");
            let message = "The AI provider refuses the platform's credentials; its operators have been told.";
            Err(Failed { kind: ErrorKind::BadGateway, message: message.to_owned(), may_retry: false })
        }
        _ => Ok(()),
    }
}
