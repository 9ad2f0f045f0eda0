//! An attempt whose answer is passed on from its first content on.

use std::time::Duration;

use http::header::CONTENT_TYPE;
use http::{HeaderMap, HeaderValue, StatusCode};
use lambda_http::Response;
use levee::http::anthropic::ErrorKind;
use levee::metering::sse::Framer;
use levee::metering::{StreamError, StreamReader};
use tokio::time::{Instant, sleep_until, timeout_at};

use super::attempt::{Answered, Attempt, Missed, Prepared, Unanswered, respond, void};
use crate::answer::{Body, Failed};
use crate::headers::EVENT_STREAM;
use crate::intake;
use crate::meter::Meter;
use crate::outcome::{Fault, Verdict, of_stream_error};
use crate::patience::Awaited;
use crate::pump::Pump;
use crate::timeouts::TimedOut;

/// The largest beginning of a stream, before its first content. One that is larger is no stream of the API.
const LARGEST_OVERTURE: usize = 1024 * 1024;

/// The time after `message_start` in which a ping only opens the stream, and is no sign of the provider's work.
const OPENING: Duration = Duration::from_secs(1);
/// So many pings show that a provider is at work, if the last of them is not too old.
const STEADY: u32 = 2;

/// How an answer begins.
enum Beginning {
    /// With content, with its end, or with nothing but signs of life, in a stream of events.
    Stream { status: StatusCode, headers: HeaderMap, answer: reqwest::Response },
    /// It is no success.
    Whole(Answered),
}

/// What has been received of a stream.
#[derive(Default)]
struct Overture {
    reader: StreamReader,
    framer: Framer,
    /// The moment at which an event came first. Comments are none.
    began_at: Option<Instant>,
    pings: u32,
    last_ping: Option<Instant>,
}

impl Overture {
    /// Takes the next chunk.
    fn feed(&mut self, chunk: &[u8]) {
        let (events, before, now) = (self.reader.events(), self.reader.pings(), Instant::now());
        intake::take(&mut self.reader, &mut self.framer, chunk);
        if self.reader.events() > events {
            self.began_at.get_or_insert(now);
        }
        let is_opening = before == 0 && self.began_at.is_some_and(|began_at| now < began_at + OPENING);
        let pings = (self.reader.pings() - before).saturating_sub(is_opening.into());
        if pings > 0 {
            self.pings += pings;
            self.last_ping = Some(now);
        }
    }

    /// Returns whether the provider pings steadily: it is alive, and at work.
    fn is_steady(&self, within: Duration) -> bool {
        self.pings >= STEADY && self.last_ping.is_some_and(|at| at.elapsed() <= within)
    }
}

/// Makes an attempt whose answer is passed on from its first content on.
pub(super) async fn stream(mut attempt: Attempt<'_>, call: Prepared) -> Result<Response<Body>, Missed> {
    let exchange = attempt.exchange;
    let mut meter = attempt.meter(exchange.deadline);
    let mut overture = Overture::default();
    let Prepared { request: call, hold, taken } = call;
    attempt.taken = taken;
    let beginning = async {
        let beginning = begin(&attempt, call, &mut overture).await;
        let progress = overture.reader.progress();
        // One that is passed on before its first content may still be late and slow.
        if progress.has_content || progress.ended || !matches!(beginning, Ok(Beginning::Stream { .. })) {
            attempt.stop_the_clock();
        }
        (beginning, Instant::now())
    };
    let opened = attempt.open(meter.as_ref(), hold);
    let ((beginning, answered_at), released_at, state) = tokio::join!(beginning, opened, exchange.token_state());
    let waited = answered_at.saturating_duration_since(released_at);
    exchange.waited.add(waited);
    let Overture { reader, framer, .. } = overture;

    let (status, headers, answer) = match beginning {
        Ok(Beginning::Stream { status, headers, answer }) => (status, headers, answer),
        Ok(Beginning::Whole(answered)) => {
            let answer = attempt.failure(answered, state);
            tokio::join!(void(meter), attempt.finish());
            return answer;
        }
        Err(none) => {
            attempt.about.absurd(reader.progress().absurd);
            return Err(attempt.unanswered(meter, none, reader.reading().0).await);
        }
    };
    let progress = reader.progress();
    if !progress.has_content
        && let Some(error) = progress.error
        && let Some(verdict) = of_stream_error(error, &reader, exchange.state.clock.now())
    {
        return Err(ended_by_error(&mut attempt, meter, &reader, error, verdict).await);
    }
    if let (Some(meter), true, false) = (&mut meter, progress.figures.is_some(), progress.ended) {
        meter.note(reader.reading().0);
    }

    exchange.report.answered(status);
    match &attempt.watch {
        // A mistake of the caller's says nothing about the provider.
        Some(watch) if progress.error.is_some() && !progress.has_content => watch.said_nothing(),
        Some(watch) if progress.has_content || progress.ended => watch.came(Awaited::FirstContent, waited),
        // It is passed on before its first content: the pump says what comes of it.
        Some(_) | None => {}
    }
    if progress.has_content {
        exchange.report.first_content(waited);
    }
    let mut headers = attempt.headers(&headers, state);
    // One that is not well formed did not pass.
    headers.entry(CONTENT_TYPE).or_insert(HeaderValue::from_static(EVENT_STREAM));
    let Attempt { about, watch, .. } = attempt;
    let pump = Pump {
        answer,
        reader,
        framer,
        meter,
        watch,
        gap: exchange.state.timeouts.stream_gap,
        ping: exchange.state.timeouts.ping,
        content_at: Instant::now(),
        silent_since: None,
        has_content: progress.has_content || progress.ended,
        deadline: exchange.deadline,
        clock: exchange.state.clock.clone(),
        sent: released_at,
        about,
        report: exchange.report.clone(),
        in_flight: exchange.in_flight.clone(),
        settled_at: None,
        is_over: false,
    };
    Ok(respond(status, headers, Body::Stream(Box::pin(pump.into_stream()))))
}

/// Sends the call and holds back what comes before the first content, as long as another provider may take the call.
async fn begin(
    attempt: &Attempt<'_>,
    call: reqwest::RequestBuilder,
    overture: &mut Overture,
) -> Result<Beginning, Unanswered> {
    let timeouts = &attempt.exchange.state.timeouts;
    let given_up = attempt.is_hopeless();
    tokio::pin!(given_up);
    let head = async {
        let answer = attempt.send(call).await?;
        let (status, headers) = (answer.status(), answer.headers().clone());
        if !status.is_success() {
            return attempt.read_whole(answer).await.map(Beginning::Whole);
        }
        if !is_event_stream(&headers) {
            return Err(attempt.nonsense(status, "a provider's answer is no stream"));
        }
        Ok(Beginning::Stream { status, headers, answer })
    };
    let head = tokio::select! {
        head = timeout_at(attempt.until, head) => head.map_err(|_| attempt.late(TimedOut::FirstToken)).flatten()?,
        none = &mut given_up => return Err(none),
    };
    let Beginning::Stream { status, headers, mut answer } = head else { return Ok(head) };

    let mut is_given_up = None;
    let release_at = attempt.release_at;
    loop {
        let progress = overture.reader.progress();
        if progress.has_content || progress.ended {
            break;
        }
        if overture.framer.held() > LARGEST_OVERTURE {
            return Err(attempt.too_large(LARGEST_OVERTURE, true));
        }
        // A provider that pings is alive; and a stream that has begun is kept where nobody else can take the call. From here
        // on the client sees what becomes of it.
        let is_steady = overture.is_steady(timeouts.failover);
        let is_kept = is_steady || (attempt.is_last() && overture.began_at.is_some());
        if is_kept && (is_given_up.is_some() || Instant::now() >= release_at) {
            break;
        }
        if let Some(none) = is_given_up.take() {
            return Err(none);
        }
        if Instant::now() >= release_at && !attempt.is_last() {
            return Err(attempt.late(TimedOut::FirstToken));
        }
        tokio::select! {
            chunk = answer.chunk() => match chunk.map_err(|error| attempt.cut(error, true))? {
                Some(chunk) => overture.feed(&chunk),
                None => {
                    attempt.about.error("provider.cut", &"before any content", "a stream ended too early");
                    let message = "The AI provider ended its answer before any content.";
                    let failed = Failed::upstream(ErrorKind::BadGateway, message);
                    return Err(Unanswered { fault: Fault::Cut, failed, was_sent: true });
                }
            },
            none = &mut given_up, if !is_steady => is_given_up = Some(none),
            // The time has come to decide again.
            () = sleep_until(release_at), if Instant::now() < release_at => {}
            () = sleep_until(attempt.until), if overture.began_at.is_none() => {
                return Err(attempt.late(TimedOut::FirstToken));
            }
        }
    }
    Ok(Beginning::Stream { status, headers, answer })
}

/// A stream that the provider ended with an error before any content. Nothing of it has been passed on, so it is an answer
/// with a status of its own.
async fn ended_by_error(
    attempt: &mut Attempt<'_>,
    meter: Option<Meter>,
    reader: &StreamReader,
    error: StreamError,
    verdict: Verdict,
) -> Missed {
    let fault = verdict.fault;
    attempt.about.absurd(reader.progress().absurd);
    let failed = attempt.about_the_platform(fault, &error.name()).unwrap_or_else(|| {
        attempt.about.error("provider.failed", &error.name(), "a provider ended a stream with an error");
        let kind = match fault {
            Fault::Overloaded => ErrorKind::Overloaded,
            Fault::Throttled => ErrorKind::ProviderLimit,
            _ => ErrorKind::BadGateway,
        };
        Failed::upstream(kind, format!("The AI provider ended the stream with {}.", error.name()))
    });
    if reader.progress().is_refused() {
        let missed = attempt.missed(verdict, Err(failed));
        tokio::join!(void(meter), attempt.finish());
        return missed;
    }
    let none = Unanswered { fault, failed, was_sent: true };
    attempt.unanswered(meter, none, reader.reading().0).await
}

/// Returns whether the answer is a stream of events by its media type, which is read in any case (RFC 9110, section 8.3.1).
fn is_event_stream(headers: &HeaderMap) -> bool {
    let media_type = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()?.split(';').next());
    media_type.is_some_and(|media_type| media_type.trim().eq_ignore_ascii_case(EVENT_STREAM))
}
