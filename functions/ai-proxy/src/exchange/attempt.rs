//! One attempt at one provider.

use std::sync::atomic::Ordering;

use bytes::{Bytes, BytesMut};
use http::{HeaderMap, HeaderValue, StatusCode};
use lambda_http::Response;
use levee::breaker::{Entry, Mode, Share, Standing, Stop};
use levee::headroom::Headroom;
use levee::http::anthropic::ErrorKind;
use levee::http::status::Named;
use levee::metering::usage::prompt_above;
use levee::metering::{Call, Part, Reading, Service, TokenState, Usage};
use reqwest::RequestBuilder;
use tokio::task::JoinHandle;
use tokio::time::Instant;

use super::{CONNECTION_LOST, Exchange};
use crate::about::{About, TooLarge, with_cause};
use crate::alarm::Trouble;
use crate::answer::{Body, Failed};
use crate::cap;
use crate::headers;
use crate::held::{Hold, Taken, hold};
use crate::meter::Meter;
use crate::outcome::{Fault, Verdict};
use crate::patience::Patience;
use crate::providers::Provider;
use crate::timeouts::TimedOut;
use crate::watch::{Blame, Watch};

/// The largest answer that is not streamed. Anthropic's own limit for a request is 32 MB.
const LARGEST_ANSWER: usize = 32 * 1024 * 1024;
/// The largest answer that is no success.
const LARGEST_ERROR: usize = 1024 * 1024;
/// The sentence for a client whose provider answered nothing of its API.
pub(super) const NOT_UNDERSTOOD: &str = "The AI provider's answer cannot be understood.";

/// One attempt at one provider.
pub(super) struct Attempt<'a> {
    pub(super) exchange: &'a Exchange<'a>,
    pub(super) provider: &'a Provider,
    pub(super) about: About,
    /// The watch over it; `None` for calls that use no tokens, which say little about a provider.
    pub(super) watch: Option<Watch>,
    /// Which one of the call's attempts it is, from 1.
    number: u32,
    /// When it is given up.
    pub(super) until: Instant,
    /// The moment at which a stream without content is passed on, if its provider is at work or nobody else can help.
    pub(super) release_at: Instant,
    /// Who else may serve the call.
    others: Others,
    /// Knows whether the provider may have all of the call.
    pub(super) taken: Taken,
    /// An alert about the platform's account at the provider, while it is being raised.
    telling: Option<JoinHandle<()>>,
}

/// Who else may serve the call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Others {
    Nobody,
    /// Providers that take single calls, and may refuse this one: nobody is given up for them who is not failing.
    OnProbation,
    Somebody,
}

impl Others {
    /// Returns what the providers of `stops`, which stand as `standings` say, can do for the call.
    pub(super) fn of(stops: &[Stop], standings: &[Standing]) -> Self {
        let takes = |stop: &Stop| {
            let Standing { state, has_room, .. } = &standings[stop.provider];
            match stop.entry {
                Entry::Free => true,
                Entry::Room => *has_room && matches!(state.mode, Mode::Closed | Mode::Shed | Mode::Ramp),
                Entry::Probe | Entry::Pause | Entry::LastPause => false,
            }
        };
        match stops {
            [] => Self::Nobody,
            _ if stops.iter().any(takes) => Self::Somebody,
            _ => Self::OnProbation,
        }
    }
}

/// An attempt that gave the client nothing.
pub(super) struct Missed {
    /// Why.
    pub(super) fault: Fault,
    /// The same provider may serve the call a moment later: it did not say when to be asked again, and was not given up
    /// meanwhile.
    pub(super) may_retry: bool,
    /// The report for the breaker, which is not sent if the call itself was at fault.
    pub(super) blame: Option<Blame>,
    /// What the client gets if nobody else serves the call.
    pub(super) answer: Box<Result<Response<Body>, Failed>>,
}

/// An attempt that got no answer.
pub(super) struct Unanswered {
    pub(super) fault: Fault,
    pub(super) failed: Failed,
    /// The provider may have served the call as far as it knows, if it has got all of it.
    pub(super) was_sent: bool,
}

/// A provider's answer that is all there.
pub(super) struct Answered {
    pub(super) status: StatusCode,
    pub(super) headers: HeaderMap,
    pub(super) body: Bytes,
}

/// A request that is ready to be sent.
pub(super) struct Prepared {
    pub(super) request: RequestBuilder,
    /// Keeps the last byte of the body back, where there is one.
    pub(super) hold: Option<Hold>,
    /// Knows whether that byte was sent.
    pub(super) taken: Taken,
}

/// Prepares the request of an attempt at `provider`, before anything is recorded about it.
pub(super) fn prepare(exchange: &Exchange<'_>, provider: &Provider) -> Prepared {
    let ask = &exchange.ask;
    let request = provider.request(ask.method.clone(), &ask.segments, ask.query, ask.headers);
    match &ask.body {
        None => Prepared { request, hold: None, taken: Taken::default() },
        Some(body) => {
            let (body, hold, taken) = hold(provider.body(&ask.model, body));
            Prepared { request: request.body(body), hold: Some(hold), taken }
        }
    }
}

impl<'a> Attempt<'a> {
    /// Begins the attempt `number` of a call, at the provider of `stop`, which was let through under `decision`.
    pub(super) fn begin(
        exchange: &'a Exchange<'a>,
        stop: Stop,
        number: u32,
        standing: &Standing,
        share: Share,
        patience: Patience,
        others: Others,
    ) -> Self {
        let Exchange { state, caller, ask, .. } = exchange;
        let Stop { provider: index, entry } = stop;
        let provider = &state.providers[index];
        exchange.report.attempt(&provider.name, share);
        let now = Instant::now();
        let last = exchange.answer_by();
        let until = match others {
            Others::Somebody => now + patience.of(last.saturating_duration_since(now)),
            Others::Nobody | Others::OnProbation => last,
        };
        let watch = exchange.spending.is_some();
        let (account, by) = (&caller.account, entry.by(standing.has_room));
        let watch =
            watch.then(|| Watch::begin(&state.breakers, index, &ask.class, account, &standing.state, by, patience));
        let release_at = last.min(now + patience.of(last.saturating_duration_since(now)));
        let about = About {
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

    /// The meter of the attempt that must have ended by `deadline`; `None` for calls that use no tokens.
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
        let prompt = exchange.ask.prompt_tokens;
        let model = self.provider.sent_model(&exchange.ask.model).to_owned();
        let expected = Part {
            service: Service { model, prompt_above: prompt_above(prompt), ..Service::default() },
            usage: Usage { input: prompt, ..Usage::default() },
        };
        Some(Meter::new(&exchange.state.ledger, &exchange.report, spending, call, expected))
    }

    /// Opens the attempt's record, where it has one, and lets the request go; when that was.
    pub(super) async fn open(&self, meter: Option<&Meter>, hold: Option<Hold>) -> Instant {
        if let Some(meter) = meter {
            meter.open().await;
        }
        drop(hold);
        if let Some(watch) = &self.watch {
            watch.sent();
        }
        Instant::now()
    }

    /// The provider has answered, or will not: what our own stores take from now on makes it no later.
    pub(super) fn stop_the_clock(&self) {
        if let Some(watch) = &self.watch {
            watch.stop_the_clock();
        }
    }

    /// Returns whether no other provider can be expected to take the call.
    pub(super) fn is_last(&self) -> bool {
        self.others != Others::Somebody
    }

    /// Waits until waiting any longer is of no use, as far as another provider may serve the call.
    pub(super) async fn is_hopeless(&self) -> Unanswered {
        match &self.watch {
            Some(watch) if self.others != Others::Nobody && self.exchange.state.routing.is_enforced => {
                watch.is_hopeless().await
            }
            _ => std::future::pending().await,
        }
        self.about.error("provider.timeout", &TimedOut::Hopeless, "a call moves on from a provider that is failing");
        Unanswered {
            fault: Fault::Slow,
            failed: Failed::upstream(ErrorKind::Timeout, TimedOut::Hopeless.to_string()),
            was_sent: true,
        }
    }

    /// Sends `call` and waits for the head of its answer.
    pub(super) async fn send(&self, call: RequestBuilder) -> Result<reqwest::Response, Unanswered> {
        let answer = call.send().await.map_err(|error| {
            // A connection that is lost while the call goes out may be lost because of the call: one that is too large, say.
            let fault = if error.is_connect() { Fault::Unreachable } else { Fault::Lost };
            Unanswered { fault, failed: self.unreachable(error), was_sent: true }
        })?;
        self.note_headroom(Headroom::read(answer.headers()));
        match headers::check(answer.headers()) {
            Ok(()) => Ok(answer),
            Err(odd) => {
                self.about.error("provider.nonsense", &odd, "the head of a provider's answer cannot be passed on");
                let failed = Failed::upstream(ErrorKind::BadGateway, NOT_UNDERSTOOD);
                Err(Unanswered { fault: Fault::Error, failed, was_sent: answer.status().is_success() })
            }
        }
    }

    /// Records what the provider leaves of the platform's rate limits, beside whatever else is done.
    fn note_headroom(&self, headroom: Headroom) {
        self.exchange.report.headroom(headroom);
        if let Some(watch) = &self.watch {
            let (headrooms, provider) = (self.exchange.state.headrooms.clone(), self.provider.name.clone());
            watch.beside(async move { headrooms.keep(&provider, headroom).await });
        }
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

    /// An answer that broke off before anything of it was passed on.
    pub(super) fn cut(&self, error: reqwest::Error, was_sent: bool) -> Unanswered {
        self.about.error("provider.cut", &with_cause(error), "an answer was cut");
        let failed = Failed::upstream(ErrorKind::BadGateway, CONNECTION_LOST);
        Unanswered { fault: Fault::Cut, failed, was_sent }
    }

    /// An answer that says it is a success and is none.
    pub(super) fn nonsense(&self, status: StatusCode, message: &'static str) -> Unanswered {
        self.about.error("provider.nonsense", &Named(status), message);
        let failed = Failed::upstream(ErrorKind::BadGateway, NOT_UNDERSTOOD);
        Unanswered { fault: Fault::Error, failed, was_sent: true }
    }

    /// Records an answer of more than `most` bytes where it may have no more.
    pub(super) fn too_large(&self, most: usize, was_sent: bool) -> Unanswered {
        self.about.error("provider.nonsense", &TooLarge(most), "a provider's answer is too large");
        let failed = Failed::upstream(ErrorKind::BadGateway, "The AI provider's answer is too large.");
        Unanswered { fault: Fault::Error, failed, was_sent }
    }

    /// An answer that did not come in time.
    pub(super) fn late(&self, which: TimedOut) -> Unanswered {
        Unanswered { fault: Fault::Timeout, failed: self.timed_out(which), was_sent: true }
    }

    fn timed_out(&self, which: TimedOut) -> Failed {
        self.about.error("provider.timeout", &which, "a provider is too slow");
        Failed::upstream(ErrorKind::Timeout, which.to_string())
    }

    /// Reads an answer to its end.
    pub(super) async fn read_whole(&self, mut answer: reqwest::Response) -> Result<Answered, Unanswered> {
        let (status, headers) = (answer.status(), answer.headers().clone());
        let was_sent = status.is_success();
        let most = if was_sent { LARGEST_ANSWER } else { LARGEST_ERROR };
        let mut body = BytesMut::new();
        while let Some(chunk) = answer.chunk().await.map_err(|error| self.cut(error, was_sent))? {
            if body.len() + chunk.len() > most {
                return Err(self.too_large(most, was_sent));
            }
            body.extend_from_slice(&chunk);
        }
        Ok(Answered { status, headers, body: body.freeze() })
    }

    /// Records a failed attempt with the breaker and the operators, and decides whether it may be tried again.
    pub(super) fn missed(&mut self, verdict: impl Into<Verdict>, answer: Result<Response<Body>, Failed>) -> Missed {
        let verdict = verdict.into();
        let trouble = match verdict.fault {
            Fault::Refused => Some(Trouble::Credentials),
            Fault::Unpaid => Some(Trouble::Credit),
            _ => None,
        };
        if let Some(trouble) = trouble {
            self.telling = self.exchange.state.alarm.raise(&self.provider.name, trouble);
        }
        let is_open = self.watch.as_ref().is_some_and(Watch::is_open);
        let may_retry = verdict.fault.is_passing() && verdict.until.is_none() && !is_open;
        let blame = self.watch.as_ref().and_then(|watch| watch.failed(verdict));
        Missed { fault: verdict.fault, may_retry, blame, answer: Box::new(answer) }
    }

    /// Waits until what came of the attempt is reported, and told.
    pub(super) async fn finish(&mut self) {
        let telling = self.telling.take();
        let told = async {
            if let Some(telling) = telling {
                // What went wrong with it is logged where it did.
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

    /// Returns the headers of an answer that the provider gave.
    pub(super) fn headers(&self, upstream: &HeaderMap, state: Option<TokenState>) -> HeaderMap {
        let mut headers = headers::for_client(upstream);
        if let Ok(name) = HeaderValue::from_str(&self.provider.name) {
            headers.insert("x-levee-provider", name);
        }
        headers.extend(state.and_then(cap::header));
        headers
    }

    /// Ends the record of an attempt that got no answer, of which `known` is known.
    pub(super) async fn unanswered(&mut self, meter: Option<Meter>, none: Unanswered, known: Reading) -> Missed {
        let Unanswered { fault, failed, was_sent } = none;
        let missed = self.missed(fault, Err(failed));
        let (exchange, may_be_served) = (self.exchange, was_sent && self.taken.is_whole());
        let written = async {
            match meter {
                // The provider may have read the prompt, and bill it, whatever became of the answer.
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

/// Writes that an attempt used nothing.
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
