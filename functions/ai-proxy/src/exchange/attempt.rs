//! One attempt at one provider: its state, and the steps that streamed and whole answers share.

use std::sync::atomic::Ordering;

use bytes::{Bytes, BytesMut};
use http::{HeaderMap, HeaderValue, StatusCode};
use lambda_http::Response;
use levee::breaker::{ProviderStatus, Share, Target};
use levee::headroom::Headroom;
use levee::http::anthropic::ErrorKind;
use levee::http::status::Named;
use levee::metering::usage::prompt_above;
use levee::metering::{Call, Part, Reading, Service, TokenState, Usage};
use reqwest::RequestBuilder;
use tokio::task::JoinHandle;
use tokio::time::Instant;

use super::alternatives::Alternatives;
use super::whole::is_message;
use super::{CONNECTION_LOST, Exchange};
use crate::answer::{ApiError, Body};
use crate::api_error::ProviderError;
use crate::cap;
use crate::deadlines::AttemptDeadlines;
use crate::gated_body::{Gate, Taken};
use crate::headers;
use crate::log_context::{LogContext, TooLarge, with_cause};
use crate::meter::Meter;
use crate::outcome::{Fault, Verdict};
use crate::platform_error::PlatformError;
use crate::provider_answer::{AnswerError, ProviderAnswer};
use crate::providers::Provider;
use crate::timeouts::TimedOut;
use crate::watch::{Blame, Watch};

/// Largest answer that is not streamed, in bytes. Anthropic's own limit for a request is 32 MB.
const LARGEST_ANSWER: usize = 32 * 1024 * 1024;
/// Largest answer with an error status, in bytes.
const LARGEST_ERROR: usize = 1024 * 1024;
/// Message for the client if the provider's answer is not one of its API.
pub(super) const NOT_UNDERSTOOD: &str = "The AI provider's answer cannot be understood.";

/// One attempt at one provider.
pub(super) struct Attempt<'a> {
    pub(super) exchange: &'a Exchange<'a>,
    pub(super) provider: &'a Provider,
    pub(super) about: LogContext,
    /// Reports to the breaker; `None` for calls that use no tokens, which say little about a provider.
    pub(super) watch: Option<Watch>,
    /// Number of the attempt within its call, from 1.
    number: u32,
    /// The moment at which the attempt is given up.
    pub(super) until: Instant,
    /// The moment at which a stream without content is passed on, if its provider is at work or no other one can help.
    pub(super) release_at: Instant,
    /// Other providers that may serve the call.
    others: Alternatives,
    /// Flag that tells if the provider may have the whole request.
    pub(super) taken: Taken,
    /// Task that raises an alert about the platform's account at the provider.
    telling: Option<JoinHandle<()>>,
}

/// A failed attempt that produced nothing for the client.
pub(super) struct AttemptFailure {
    /// Reason for the failure.
    pub(super) fault: Fault,
    /// True if the same provider may serve the call a moment later: the fault is transient, the provider set no time
    /// to retry, and the breaker did not open.
    pub(super) may_retry: bool,
    /// Report for the breaker. It is dropped if the call itself was at fault.
    pub(super) blame: Option<Blame>,
    /// Response for the client if no other provider serves the call.
    pub(super) answer: Box<Result<Response<Body>, ApiError>>,
}

/// An attempt that got no usable answer.
pub(super) struct NoAnswer {
    pub(super) verdict: Verdict,
    pub(super) failed: ApiError,
    /// True if the provider may have served the call, provided that it got the whole request.
    pub(super) was_sent: bool,
}

/// A provider's complete answer.
pub(super) struct Answered {
    pub(super) status: StatusCode,
    pub(super) headers: HeaderMap,
    pub(super) body: Bytes,
}

impl<'a> Attempt<'a> {
    /// Starts the attempt `number` of a call at the provider of `stop`, whose breaker stands at `standing`.
    pub(super) fn begin(
        exchange: &'a Exchange<'a>,
        stop: Target,
        number: u32,
        standing: &ProviderStatus,
        share: Share,
        patience: AttemptDeadlines,
        others: Alternatives,
    ) -> Self {
        let Exchange { state, caller, ask, .. } = exchange;
        let Target { provider: index, entry } = stop;
        let provider = &state.providers[index];
        exchange.report.attempt(&provider.name, share);
        // Set the deadlines. With another provider in reach, this one gets a part of the time.
        let now = Instant::now();
        let last = exchange.answer_by();
        let until = match others {
            Alternatives::Somebody => now + patience.within(last.saturating_duration_since(now)),
            Alternatives::Nobody | Alternatives::OnProbation => last,
        };
        // Watch the attempt for the breaker if it uses tokens.
        let watch = exchange.spending.is_some();
        let (account, by) = (&caller.account, entry.by(standing.has_room));
        let watch =
            watch.then(|| Watch::begin(&state.breakers, index, &ask.class, account, &standing.state, by, patience));
        let release_at = last.min(now + patience.within(last.saturating_duration_since(now)));
        let about = LogContext {
            request_id: exchange.request_id.to_owned(),
            account: caller.account.clone(),
            provider: provider.name.clone(),
        };
        Self {
            exchange,
            provider,
            about,
            watch,
            number,
            until,
            release_at,
            others,
            taken: Taken::default(),
            telling: None,
        }
    }

    /// Returns the meter of an attempt that must end by `deadline`; `None` for calls that use no tokens.
    pub(super) fn meter(&self, deadline: Instant) -> Option<Meter> {
        let exchange = self.exchange;
        let spending = exchange.spending.clone()?;
        let call = Call {
            id: exchange.invocation_id.clone(),
            attempt: self.number,
            request_id: exchange.request_id.to_owned(),
            account: exchange.caller.account.clone(),
            integration: exchange.caller.integration.clone(),
            kind: exchange.caller.kind,
            provider: self.provider.name.clone(),
            model: exchange.ask.told_model.clone(),
            started_at: exchange.started_at.as_secs(),
            deadline: exchange.started_at.plus(deadline.saturating_duration_since(exchange.began)).as_secs(),
            further: exchange.is_counted.load(Ordering::Relaxed),
        };
        // Until the provider reports its figures, expect the estimate of the prompt.
        let prompt = exchange.ask.prompt_tokens;
        let model = self.provider.sent_model(&exchange.ask.model).to_owned();
        let expected = Part {
            service: Service { model, prompt_above: prompt_above(prompt), ..Service::default() },
            usage: Usage { input: prompt, ..Usage::default() },
        };
        Some(Meter::new(&exchange.state.ledger, &exchange.report, spending, call, expected))
    }

    /// Opens the attempt's record, if it has one, then releases the request. Returns the moment of the release.
    pub(super) async fn open(&self, meter: Option<&Meter>, hold: Option<Gate>) -> Instant {
        if let Some(meter) = meter {
            meter.open().await;
        }
        drop(hold);
        if let Some(watch) = &self.watch {
            watch.sent();
        }
        Instant::now()
    }

    /// Stops the breaker's clock once the provider has answered or failed, so that time spent in our own stores does
    /// not make it late.
    pub(super) fn stop_the_clock(&self) {
        if let Some(watch) = &self.watch {
            watch.stop_the_clock();
        }
    }

    /// Returns true if no other provider can be expected to take the call.
    pub(super) fn is_last(&self) -> bool {
        self.others != Alternatives::Somebody
    }

    /// Resolves when the breaker gives this provider up and another one may take the call. Pends forever otherwise.
    pub(super) async fn wait_until_abandoned(&self) -> NoAnswer {
        match &self.watch {
            Some(watch) if self.others != Alternatives::Nobody && self.exchange.state.routing.is_enforced => {
                watch.wait_until_abandoned().await
            }
            _ => std::future::pending().await,
        }
        self.about.error("provider.timeout", &TimedOut::Hopeless, "a call moves on from a provider that is failing");
        NoAnswer {
            verdict: Fault::Slow.into(),
            failed: ApiError::upstream(ErrorKind::Timeout, TimedOut::Hopeless.to_string()),
            was_sent: true,
        }
    }

    /// Sends `call` and waits for the headers of its answer.
    pub(super) async fn send(&self, call: RequestBuilder) -> Result<ProviderAnswer, NoAnswer> {
        let answer = call.send().await.map_err(|error| {
            // The call itself may cause a lost connection while it is sent: it may be too large.
            let fault = if error.is_connect() { Fault::Unreachable } else { Fault::Lost };
            NoAnswer { verdict: fault.into(), failed: self.unreachable(error), was_sent: true }
        })?;
        // Keep the rate limits in the headers, then check the headers themselves.
        self.note_headroom(Headroom::read(answer.headers()));
        match headers::check(answer.headers()) {
            Ok(encoding) => Ok(ProviderAnswer::new(answer, encoding)),
            Err(odd) => {
                self.about.error("provider.nonsense", &odd, "the head of a provider's answer cannot be passed on");
                let failed = ApiError::upstream(ErrorKind::BadGateway, NOT_UNDERSTOOD);
                Err(NoAnswer { verdict: Fault::Error.into(), failed, was_sent: answer.status().is_success() })
            }
        }
    }

    /// Records the provider's remaining rate limits in the wide event, and in Redis in the background.
    fn note_headroom(&self, headroom: Headroom) {
        self.exchange.report.headroom(headroom);
        if let Some(watch) = &self.watch {
            let (headrooms, provider) = (self.exchange.state.headrooms.clone(), self.provider.name.clone());
            watch.beside(async move { headrooms.keep(&provider, headroom).await });
        }
    }

    /// Logs a failed connection and returns the error for the client. The cause stays in the log, because it may name
    /// internal hosts.
    fn unreachable(&self, error: reqwest::Error) -> ApiError {
        if error.is_connect() && error.is_timeout() {
            return self.timed_out(TimedOut::Connect);
        }
        self.about.error("provider.unreachable", &with_cause(error), "a provider cannot be reached");
        ApiError::upstream(ErrorKind::BadGateway, "The AI provider cannot be reached.")
    }

    /// Records an answer that broke off before any of it was passed on.
    pub(super) fn cut(&self, error: AnswerError, was_sent: bool) -> NoAnswer {
        self.about.error("provider.cut", &error, "an answer was cut");
        let failed = ApiError::upstream(ErrorKind::BadGateway, CONNECTION_LOST);
        NoAnswer { verdict: Fault::Cut.into(), failed, was_sent }
    }

    /// Records an answer with a success status that is not one of the API.
    pub(super) fn nonsense(&self, status: StatusCode, message: &'static str) -> NoAnswer {
        self.about.error("provider.nonsense", &Named(status), message);
        let failed = ApiError::upstream(ErrorKind::BadGateway, NOT_UNDERSTOOD);
        NoAnswer { verdict: Fault::Error.into(), failed, was_sent: true }
    }

    /// Records an answer of more than `most` bytes, the limit for it.
    pub(super) fn too_large(&self, most: usize, was_sent: bool) -> NoAnswer {
        self.about.error("provider.nonsense", &TooLarge(most), "a provider's answer is too large");
        let failed = ApiError::upstream(ErrorKind::BadGateway, "The AI provider's answer is too large.");
        NoAnswer { verdict: Fault::Error.into(), failed, was_sent }
    }

    /// Records an answer that did not arrive in time.
    pub(super) fn late(&self, which: TimedOut) -> NoAnswer {
        NoAnswer { verdict: Fault::Timeout.into(), failed: self.timed_out(which), was_sent: true }
    }

    fn timed_out(&self, which: TimedOut) -> ApiError {
        self.about.error("provider.timeout", &which, "a provider is too slow");
        ApiError::upstream(ErrorKind::Timeout, which.to_string())
    }

    /// Reads an answer to its end.
    pub(super) async fn read_whole(&self, mut answer: ProviderAnswer) -> Result<Answered, NoAnswer> {
        let (status, headers) = (answer.status(), answer.headers().clone());
        let was_sent = status.is_success();
        let most = if was_sent { LARGEST_ANSWER } else { LARGEST_ERROR };
        let mut body = BytesMut::new();
        // Collect the chunks up to the limit.
        while let Some(chunk) = answer.chunk().await.map_err(|error| self.cut(error, was_sent))? {
            if body.len() + chunk.len() > most {
                return Err(self.too_large(most, was_sent));
            }
            body.extend_from_slice(&chunk);
        }
        // An error of the API has a status of its own, also where the answer claims a success.
        let status = Some(&body)
            .filter(|body| was_sent && !is_message(body))
            .and_then(|body| ProviderError::parse(body))
            .map_or(status, |error| error.status());
        Ok(Answered { status, headers, body: body.freeze() })
    }

    /// Records a failed attempt with the breaker and decides whether it may be retried. Alerts operators if the
    /// platform's credentials or credit are at fault.
    pub(super) fn missed(
        &mut self,
        verdict: impl Into<Verdict>,
        answer: Result<Response<Body>, ApiError>,
    ) -> AttemptFailure {
        let verdict = verdict.into();
        // Alert operators to trouble that does not end by itself.
        if let Some(trouble) = PlatformError::from_fault(verdict.fault).and_then(|error| error.trouble) {
            self.telling = self.exchange.state.alarm.raise(&self.provider.name, trouble);
        }
        // Retry only after a transient fault, and not if the breaker has opened meanwhile.
        let is_open = self.watch.as_ref().is_some_and(Watch::is_open);
        let may_retry = verdict.fault.is_passing() && verdict.until.is_none() && !is_open;
        let blame = self.watch.as_ref().and_then(|watch| watch.failed(verdict));
        AttemptFailure { fault: verdict.fault, may_retry, blame, answer: Box::new(answer) }
    }

    /// Waits until the attempt's reports and alert are sent.
    pub(super) async fn finish(&mut self) {
        let telling = self.telling.take();
        let told = async {
            if let Some(telling) = telling {
                // The task logs its own failure.
                let _is_over = telling.await;
            }
        };
        let reported = async {
            if let Some(watch) = &self.watch {
                watch.finish().await;
            }
        };
        tokio::join!(told, reported);
    }

    /// Returns the response headers for an answer of this provider.
    pub(super) fn headers(&self, upstream: &HeaderMap, state: Option<TokenState>) -> HeaderMap {
        let mut headers = headers::for_client(upstream);
        if let Ok(name) = HeaderValue::from_str(&self.provider.name) {
            headers.insert("x-levee-provider", name);
        }
        headers.extend(state.and_then(cap::header));
        headers
    }

    /// Closes the record of an attempt without an answer with `known`, the usage known so far, and reports the
    /// failure.
    pub(super) async fn unanswered(&mut self, meter: Option<Meter>, none: NoAnswer, known: Reading) -> AttemptFailure {
        let NoAnswer { verdict, failed, was_sent } = none;
        let missed = self.missed(verdict, Err(failed));
        let (exchange, may_be_served) = (self.exchange, was_sent && self.taken.is_whole());
        let written = async {
            match meter {
                // The provider may have read the prompt, and bill it, although there is no answer.
                Some(mut meter) if may_be_served => {
                    exchange.is_counted.store(true, Ordering::Relaxed);
                    meter.close(known, true).await;
                }
                meter => void(meter).await,
            }
        };
        tokio::join!(written, self.finish());
        missed
    }
}

/// Writes that the attempt used nothing.
pub(super) async fn void(meter: Option<Meter>) {
    if let Some(mut meter) = meter {
        meter.void().await;
    }
}

pub(super) fn respond(status: StatusCode, headers: HeaderMap, body: Body) -> Response<Body> {
    let mut response = Response::new(body);
    *response.status_mut() = status;
    *response.headers_mut() = headers;
    response
}
