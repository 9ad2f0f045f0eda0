//! A call whose answer is passed on from its first content on. Until then nothing has been sent to the client, so a
//! failure is still an answer with a status of its own.

use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::{HeaderMap, StatusCode};
use lambda_http::Response;
use levee::http::anthropic::ErrorKind;
use levee::metering::StreamReader;
use levee::metering::sse::Framer;
use tokio::time::{Instant, timeout_at};

use super::{Exchange, Outgoing, Unanswered, respond, unanswered, void};
use crate::answer::{Body, Failed};
use crate::pump::Pump;
use crate::timeouts::TimedOut;

/// The most that is held back of a stream before its first content.
const LARGEST_OVERTURE: usize = 1024 * 1024;

/// How an answer begins.
enum Beginning {
    /// With content, or with its end, in a stream of events.
    Stream { status: StatusCode, headers: HeaderMap, answer: reqwest::Response },
    /// It is no stream.
    Whole { status: StatusCode, headers: HeaderMap, body: Bytes },
}

/// What has been received of a stream.
#[derive(Default)]
struct Overture {
    reader: StreamReader,
    framer: Framer,
}

/// Makes a call whose answer is passed on from its first content on.
pub async fn stream(exchange: Exchange<'_>, outgoing: Outgoing) -> Result<Response<Body>, Failed> {
    let sent = exchange.attempt();
    let first_token = exchange.deadline.min(sent + exchange.state.timeouts.first_token);
    let mut meter = exchange.meter(exchange.deadline);
    let mut overture = Overture::default();
    let (call, hold) = outgoing.held();
    let beginning = async { (begin(&exchange, call, &mut overture, first_token).await, Instant::now()) };
    let opened = exchange.open(meter.as_ref(), hold);
    let ((beginning, answered_at), released_at, state) = tokio::join!(beginning, opened, exchange.token_state());
    let waited = answered_at.saturating_duration_since(released_at);
    let Overture { reader, framer } = overture;

    let (status, headers, answer) = match beginning {
        Ok(Beginning::Stream { status, headers, answer }) => (status, headers, answer),
        Ok(Beginning::Whole { status, headers, body }) => {
            void(meter).await;
            return exchange.failure(status, exchange.headers(&headers, waited, state), body);
        }
        Err(none) => {
            exchange.about.absurd(reader.progress().absurd);
            return Err(unanswered(meter, none, reader.estimate()).await);
        }
    };
    if let (Some(meter), Some(figures), false) = (&mut meter, reader.progress().figures, reader.progress().ended) {
        meter.note(figures);
    }

    exchange.report.answered(status);
    if reader.progress().has_content {
        exchange.report.first_content(waited);
    }
    let pump = Pump {
        answer,
        reader,
        framer,
        meter,
        gap: exchange.state.timeouts.stream_gap,
        deadline: exchange.deadline,
        sent: released_at,
        about: exchange.about.clone(),
        report: exchange.report.clone(),
        in_flight: exchange.in_flight.clone(),
        settled_at: None,
        is_over: false,
    };
    Ok(respond(status, exchange.headers(&headers, waited, state), Body::Stream(Box::pin(pump.into_stream()))))
}

/// Sends the call and holds back what comes before the first content.
async fn begin(
    exchange: &Exchange<'_>,
    call: reqwest::RequestBuilder,
    overture: &mut Overture,
    until: Instant,
) -> Result<Beginning, Unanswered> {
    let lost = |failed| Unanswered { failed, was_sent: true };
    let work = async {
        let mut answer = exchange.send(call).await?;
        let (status, headers) = (answer.status(), answer.headers().clone());
        if !status.is_success() || !is_event_stream(&headers) {
            let lost = |failed| Unanswered { failed, was_sent: status.is_success() };
            let body = exchange.read_whole(answer).await.map_err(lost)?;
            return Ok(Beginning::Whole { status, headers, body });
        }
        let Overture { reader, framer } = overture;
        while !(reader.progress().has_content || reader.progress().ended) && framer.held() < LARGEST_OVERTURE {
            let Some(chunk) = answer.chunk().await.map_err(|error| lost(exchange.cut(error)))? else {
                exchange.about.error("provider.cut", &"before any content", "a stream ended too early");
                let message = "The AI provider ended its answer before any content.";
                return Err(lost(Failed::upstream(ErrorKind::BadGateway, message)));
            };
            reader.feed(&chunk);
            framer.push(&chunk);
        }
        Ok(Beginning::Stream { status, headers, answer })
    };
    timeout_at(until, work).await.map_err(|_| lost(exchange.timed_out(TimedOut::FirstToken))).flatten()
}

fn is_event_stream(headers: &HeaderMap) -> bool {
    headers.get(CONTENT_TYPE).is_some_and(|value| value.as_bytes().starts_with(b"text/event-stream"))
}
