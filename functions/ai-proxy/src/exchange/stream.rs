//! An attempt whose answer is passed on from its first content on.

use http::header::CONTENT_TYPE;
use http::{HeaderMap, StatusCode};
use lambda_http::Response;
use levee::http::anthropic::ErrorKind;
use levee::metering::sse::Framer;
use levee::metering::{StreamError, StreamReader};
use tokio::time::{Instant, timeout_at};

use super::attempt::{Answered, Attempt, Missed, Unanswered, respond, void};
use crate::answer::{Body, Failed};
use crate::meter::Meter;
use crate::outcome::{Fault, of_stream_error};
use crate::patience::Awaited;
use crate::pump::Pump;
use crate::timeouts::TimedOut;

/// The most that is held back of a stream before its first content.
const LARGEST_OVERTURE: usize = 1024 * 1024;

/// How an answer begins.
enum Beginning {
    /// With content, or with its end, in a stream of events.
    Stream { status: StatusCode, headers: HeaderMap, answer: reqwest::Response },
    /// It is no success.
    Whole(Answered),
}

/// What has been received of a stream.
#[derive(Default)]
struct Overture {
    reader: StreamReader,
    framer: Framer,
}

/// Makes an attempt whose answer is passed on from its first content on.
pub(super) async fn stream(mut attempt: Attempt<'_>) -> Result<Response<Body>, Missed> {
    let exchange = attempt.exchange;
    let mut meter = attempt.meter(exchange.deadline);
    let mut overture = Overture::default();
    let (call, hold) = attempt.request()?;
    let beginning = async {
        let beginning = tokio::select! {
            beginning = begin(&attempt, call, &mut overture) => beginning,
            none = attempt.is_hopeless() => Err(none),
        };
        attempt.stop_the_clock();
        (beginning, Instant::now())
    };
    let opened = attempt.open(meter.as_ref(), hold);
    let ((beginning, answered_at), released_at, state) = tokio::join!(beginning, opened, exchange.token_state());
    let waited = answered_at.saturating_duration_since(released_at);
    exchange.waited.add(waited);
    let Overture { reader, framer } = overture;

    let (status, headers, answer) = match beginning {
        Ok(Beginning::Stream { status, headers, answer }) => (status, headers, answer),
        Ok(Beginning::Whole(answered)) => {
            let answer = attempt.failure(answered, state);
            tokio::join!(void(meter), attempt.finish());
            return answer;
        }
        Err(none) => {
            attempt.about.absurd(reader.progress().absurd);
            return Err(attempt.unanswered(meter, none, reader.estimate()).await);
        }
    };
    let progress = reader.progress();
    if !progress.has_content
        && let Some((error, fault)) = progress.error.and_then(|error| Some((error, of_stream_error(error)?)))
    {
        return Err(ended_by_error(&mut attempt, meter, &reader, error, fault).await);
    }
    if let (Some(meter), Some(figures), false) = (&mut meter, progress.figures, progress.ended) {
        meter.note(figures);
    }

    exchange.report.answered(status);
    match &attempt.watch {
        // A mistake of the caller's says nothing about the provider.
        Some(watch) if progress.error.is_some() && !progress.has_content => watch.said_nothing(),
        Some(watch) => watch.came(Awaited::FirstContent, waited),
        None => {}
    }
    if progress.has_content {
        exchange.report.first_content(waited);
    }
    let headers = attempt.headers(&headers, state);
    let Attempt { about, watch, .. } = attempt;
    let pump = Pump {
        answer,
        reader,
        framer,
        meter,
        watch,
        gap: exchange.state.timeouts.stream_gap,
        deadline: exchange.deadline,
        sent: released_at,
        about,
        report: exchange.report.clone(),
        in_flight: exchange.in_flight.clone(),
        settled_at: None,
        is_over: false,
    };
    Ok(respond(status, headers, Body::Stream(Box::pin(pump.into_stream()))))
}

/// Sends the call and holds back what comes before the first content.
async fn begin(
    attempt: &Attempt<'_>,
    call: reqwest::RequestBuilder,
    overture: &mut Overture,
) -> Result<Beginning, Unanswered> {
    let work = async {
        let mut answer = attempt.send(call).await?;
        let (status, headers) = (answer.status(), answer.headers().clone());
        if !status.is_success() {
            return attempt.read_whole(answer).await.map(Beginning::Whole);
        }
        if !is_event_stream(&headers) {
            return Err(attempt.nonsense(status, "a provider's answer is no stream"));
        }
        let Overture { reader, framer } = overture;
        while !(reader.progress().has_content || reader.progress().ended) && framer.held() < LARGEST_OVERTURE {
            let Some(chunk) = answer.chunk().await.map_err(|error| attempt.cut(error, true))? else {
                attempt.about.error("provider.cut", &"before any content", "a stream ended too early");
                let message = "The AI provider ended its answer before any content.";
                let failed = Failed::upstream(ErrorKind::BadGateway, message);
                return Err(Unanswered { fault: Fault::Cut, failed, was_sent: true });
            };
            reader.feed(&chunk);
            framer.push(&chunk);
        }
        Ok(Beginning::Stream { status, headers, answer })
    };
    timeout_at(attempt.until, work).await.map_err(|_| attempt.late(TimedOut::FirstToken)).flatten()
}

/// A stream that the provider ended with an error before any content. Nothing of it has been passed on, so it is an answer
/// with a status of its own.
async fn ended_by_error(
    attempt: &mut Attempt<'_>,
    meter: Option<Meter>,
    reader: &StreamReader,
    error: StreamError,
    fault: Fault,
) -> Missed {
    attempt.about.error("provider.failed", &error.name(), "a provider ended a stream with an error");
    attempt.about.absurd(reader.progress().absurd);
    let kind = match fault {
        Fault::Overloaded => ErrorKind::Overloaded,
        Fault::Throttled => ErrorKind::ProviderLimit,
        _ => ErrorKind::BadGateway,
    };
    let message = format!("The AI provider ended the stream with {}.", error.name());
    if reader.progress().is_refused() {
        let missed = attempt.missed(fault, Err(Failed::upstream(kind, message)));
        tokio::join!(void(meter), attempt.finish());
        return missed;
    }
    let none = Unanswered { fault, failed: Failed::upstream(kind, message), was_sent: true };
    attempt.unanswered(meter, none, reader.estimate()).await
}

fn is_event_stream(headers: &HeaderMap) -> bool {
    headers.get(CONTENT_TYPE).is_some_and(|value| value.as_bytes().starts_with(b"text/event-stream"))
}
