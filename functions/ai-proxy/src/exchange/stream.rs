//! An attempt whose answer is passed on from its first content on.
//!
//! Events before the first content are held back, so that a failure up to then can fail over to the next provider.
//! [`Pump`] passes on the rest.

use std::time::Duration;

use http::header::CONTENT_TYPE;
use http::{HeaderMap, HeaderValue, StatusCode};
use lambda_http::Response;
use levee::http::anthropic::ErrorKind;
use levee::metering::sse::Framer;
use levee::metering::{StreamError, StreamReader};
use tokio::time::{Instant, sleep_until, timeout_at};

use super::attempt::{Answered, Attempt, AttemptFailure, NoAnswer, respond, void};
use super::prepared::Prepared;
use crate::answer::{ApiError, Body};
use crate::deadlines::ResponseMode;
use crate::headers::EVENT_STREAM;
use crate::intake;
use crate::meter::Meter;
use crate::outcome::{Fault, Verdict, of_stream_error};
use crate::platform_error::event_instead;
use crate::provider_answer::ProviderAnswer;
use crate::pump::Pump;
use crate::timeouts::TimedOut;

/// Largest beginning of a stream before its first content, in bytes. Streams of the API are smaller.
const LARGEST_OVERTURE: usize = 1024 * 1024;

/// Time after the first event in which a ping only opens the stream, and is no sign of work.
const OPENING: Duration = Duration::from_secs(1);
/// Number of pings that show that a provider is at work, if the last one is recent.
const STEADY: u32 = 2;

/// The beginning of an answer.
enum Beginning {
    /// A stream of events that has begun with content, has ended, or is kept alive by pings.
    Stream { status: StatusCode, headers: HeaderMap, answer: ProviderAnswer },
    /// A complete answer with an error status.
    Whole(Answered),
}

/// Everything received of a stream before it is passed on.
#[derive(Default)]
struct Preamble {
    reader: StreamReader,
    framer: Framer,
    /// The moment of the first event. Comments are not events.
    began_at: Option<Instant>,
    /// Number of pings, without one that opens the stream.
    pings: u32,
    /// The moment of the last ping that counts.
    last_ping: Option<Instant>,
}

impl Preamble {
    /// Feeds the next chunk to the reader and the framer, and counts pings.
    fn feed(&mut self, chunk: &[u8], instead: impl Fn(&StreamReader) -> Option<String>) {
        let (events, before, now) = (self.reader.events(), self.reader.pings(), Instant::now());
        intake::take(&mut self.reader, &mut self.framer, chunk, instead);
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

    /// Returns true if the provider pings steadily and is therefore at work: at least [`STEADY`] pings, the last one
    /// `within` this time.
    fn is_steady(&self, within: Duration) -> bool {
        self.pings >= STEADY && self.last_ping.is_some_and(|at| at.elapsed() <= within)
    }
}

/// Makes an attempt whose answer is passed on from its first content on.
pub(super) async fn stream(mut attempt: Attempt<'_>, call: Prepared) -> Result<Response<Body>, AttemptFailure> {
    let exchange = attempt.exchange;
    let mut meter = attempt.meter(exchange.deadline);
    let mut overture = Preamble::default();
    let Prepared { request: call, hold, taken } = call;
    attempt.taken = taken;
    // Wait for the first content, an error, or a reason to pass the stream on before that.
    let beginning = async {
        let beginning = begin(&attempt, call, &mut overture).await;
        let progress = overture.reader.progress();
        // A stream that is passed on before its first content may still become late or slow.
        if progress.has_content || progress.ended || !matches!(beginning, Ok(Beginning::Stream { .. })) {
            attempt.stop_the_clock();
        }
        (beginning, Instant::now())
    };
    // Send the request while the record is being opened and the cap's figure is being read.
    let opened = attempt.open(meter.as_ref(), hold);
    let ((beginning, answered_at), released_at, state) = tokio::join!(beginning, opened, exchange.token_state());
    let waited = answered_at.saturating_duration_since(released_at);
    exchange.waited.add(waited);
    let Preamble { reader, framer, .. } = overture;

    // Fail over unless a stream has begun.
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
    // An `error` event before any content is a failed attempt, unless the caller made a mistake.
    let progress = reader.progress();
    if !progress.has_content
        && let Some(error) = progress.error
        && let Some(verdict) = of_stream_error(error, &reader, exchange.state.clock.now())
    {
        return Err(ended_by_error(&mut attempt, meter, &reader, error, verdict).await);
    }
    // Add the reported input to the open record, in case this environment is killed.
    if let (Some(meter), true, false) = (&mut meter, progress.figures.is_some(), progress.ended) {
        meter.note(reader.reading().0);
    }

    // Report the beginning of the stream.
    exchange.report.answered(status);
    match &attempt.watch {
        // A caller's mistake says nothing about the provider.
        Some(watch) if progress.error.is_some() && !progress.has_content => watch.said_nothing(),
        Some(watch) if progress.has_content || progress.ended => watch.came(ResponseMode::FirstContent, waited),
        // The stream is passed on before its first content. The pump reports the result.
        Some(_) | None => {}
    }
    if progress.has_content {
        exchange.report.first_content(waited);
    }
    let mut headers = attempt.headers(&headers, state);
    // The header is missing if the provider's was not well formed.
    headers.entry(CONTENT_TYPE).or_insert(HeaderValue::from_static(EVENT_STREAM));
    // Hand the stream to the pump.
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
        alarm: exchange.state.alarm.clone(),
        sent: released_at,
        about,
        report: exchange.report.clone(),
        in_flight: exchange.in_flight.clone(),
        settled_at: None,
        is_over: false,
    };
    Ok(respond(status, headers, Body::Stream(Box::pin(pump.into_stream()))))
}

/// Sends the call and holds back all events before the first content, as long as another provider may take the call.
async fn begin(
    attempt: &Attempt<'_>,
    call: reqwest::RequestBuilder,
    overture: &mut Preamble,
) -> Result<Beginning, NoAnswer> {
    let timeouts = &attempt.exchange.state.timeouts;
    let given_up = attempt.wait_until_abandoned();
    tokio::pin!(given_up);
    // Wait for the headers. An error answer is read whole, and a success must be a stream of events.
    let head = async {
        let answer = attempt.send(call).await?;
        let (status, headers) = (answer.status(), answer.headers().clone());
        if !status.is_success() {
            return attempt.read_whole(answer).await.map(Beginning::Whole);
        }
        if !is_event_stream(&headers) {
            // It may be an error all the same.
            let answered = attempt.read_whole(answer).await?;
            if !answered.status.is_success() {
                return Ok(Beginning::Whole(answered));
            }
            return Err(attempt.nonsense(status, "a provider's answer is no stream"));
        }
        Ok(Beginning::Stream { status, headers, answer })
    };
    let head = tokio::select! {
        head = timeout_at(attempt.until, head) => head.map_err(|_| attempt.late(TimedOut::FirstToken)).flatten()?,
        none = &mut given_up => return Err(none),
    };
    let Beginning::Stream { status, headers, mut answer } = head else { return Ok(head) };

    // Read events until the stream has content or has ended.
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
        // Keep a stream whose provider pings steadily, or one that has begun if no other provider can take the call.
        // The client sees its failures from here on.
        let is_steady = overture.is_steady(timeouts.failover);
        let is_kept = is_steady || (attempt.is_last() && overture.began_at.is_some());
        if is_kept && (is_given_up.is_some() || Instant::now() >= release_at) {
            break;
        }
        // Otherwise give it up if the breaker did, or if another provider can take the call and time is up.
        if let Some(none) = is_given_up.take() {
            return Err(none);
        }
        if Instant::now() >= release_at && !attempt.is_last() {
            return Err(attempt.late(TimedOut::FirstToken));
        }
        tokio::select! {
            chunk = answer.chunk() => match chunk.map_err(|error| attempt.cut(error, true))? {
                Some(chunk) => overture.feed(&chunk, |reader| {
                    event_instead(reader, attempt.exchange.state.clock.now(), &attempt.about.request_id)
                }),
                None => {
                    attempt.about.error("provider.cut", &"before any content", "a stream ended too early");
                    let message = "The AI provider ended its answer before any content.";
                    let failed = ApiError::upstream(ErrorKind::BadGateway, message);
                    return Err(NoAnswer { verdict: Fault::Cut.into(), failed, was_sent: true });
                }
            },
            none = &mut given_up, if !is_steady => is_given_up = Some(none),
            // Decide again at that moment.
            () = sleep_until(release_at), if Instant::now() < release_at => {}
            () = sleep_until(attempt.until), if overture.began_at.is_none() => {
                return Err(attempt.late(TimedOut::FirstToken));
            }
        }
    }
    let progress = overture.reader.progress();
    if progress.ended && progress.figures.is_none() && progress.error.is_none() && !progress.has_content {
        return Err(attempt.nonsense(status, "a provider's stream has no message"));
    }
    Ok(Beginning::Stream { status, headers, answer })
}

/// Records a stream that the provider ended with an error before any content. Nothing of it has been passed on, so the
/// error becomes an answer with a status of its own.
async fn ended_by_error(
    attempt: &mut Attempt<'_>,
    meter: Option<Meter>,
    reader: &StreamReader,
    error: StreamError,
    verdict: Verdict,
) -> AttemptFailure {
    let fault = verdict.fault;
    attempt.about.absurd(reader.progress().absurd);
    let failed = attempt.about_the_platform(fault, &error.name()).unwrap_or_else(|| {
        attempt.about.error("provider.failed", &error.name(), "a provider ended a stream with an error");
        let kind = match fault {
            Fault::Overloaded => ErrorKind::Overloaded,
            Fault::Throttled => ErrorKind::ProviderLimit,
            _ => ErrorKind::BadGateway,
        };
        ApiError::upstream(kind, format!("The AI provider ended the stream with {}.", error.name()))
    });
    // An error that opens the stream means that nothing was used. After `message_start`, the input counts.
    if reader.progress().is_refused() {
        let missed = attempt.missed(verdict, Err(failed));
        tokio::join!(void(meter), attempt.finish());
        return missed;
    }
    let none = NoAnswer { verdict, failed, was_sent: true };
    attempt.unanswered(meter, none, reader.reading().0).await
}

/// Returns true if the media type is that of a stream of events, in any case (RFC 9110, section 8.3.1).
fn is_event_stream(headers: &HeaderMap) -> bool {
    let media_type = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()?.split(';').next());
    media_type.is_some_and(|media_type| media_type.trim().eq_ignore_ascii_case(EVENT_STREAM))
}
