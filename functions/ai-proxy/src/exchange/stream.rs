//! A call whose answer is passed on from its first content on. Until then nothing has been sent to the client, so a
//! failure is still an answer with a status of its own.

use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::{HeaderMap, StatusCode};
use lambda_http::Response;
use levee::http::anthropic::ErrorKind;
use levee::metering::StreamReader;
use levee::metering::sse::Framer;
use reqwest::RequestBuilder;
use tokio::time::{Instant, timeout_at};

use super::whole::void;
use super::{Exchange, opened, respond};
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
    /// It does not come to that.
    Failed(Failed),
}

/// What has been received of a stream.
#[derive(Default)]
struct Overture {
    reader: StreamReader,
    framer: Framer,
}

/// Makes a call whose answer is passed on from its first content on.
pub async fn stream(exchange: Exchange<'_>, call: RequestBuilder) -> Result<Response<Body>, Failed> {
    let sent = exchange.attempt();
    let first_token = exchange.deadline.min(sent + exchange.state.timeouts.first_token);
    let mut meter = exchange.meter(exchange.deadline);
    let mut overture = Overture::default();
    let beginning = async { (begin(&exchange, call, &mut overture, first_token).await, sent.elapsed()) };
    let ((beginning, waited), ()) = tokio::join!(beginning, opened(meter.as_ref()));
    let Overture { reader, framer } = overture;

    let (status, headers, answer) = match beginning {
        Beginning::Stream { status, headers, answer } => (status, headers, answer),
        Beginning::Whole { status, headers, body } => {
            void(meter).await;
            return exchange.failure(status, exchange.headers(&headers, waited), body);
        }
        Beginning::Failed(failed) => {
            match &mut meter {
                // What the provider took in before it failed is billed.
                Some(meter) if reader.progress().figures.is_some() => meter.close(reader.estimate(), true).await,
                Some(meter) => meter.void().await,
                None => {}
            }
            return Err(failed);
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
        sent,
        about: exchange.about.clone(),
        report: exchange.report.clone(),
        in_flight: exchange.in_flight.clone(),
        is_over: false,
    };
    Ok(respond(status, exchange.headers(&headers, waited), Body::Stream(Box::pin(pump.into_stream()))))
}

/// Sends the call and holds back what comes before the first content.
async fn begin(exchange: &Exchange<'_>, call: RequestBuilder, overture: &mut Overture, until: Instant) -> Beginning {
    let work = async {
        let mut answer = match call.send().await {
            Ok(answer) => answer,
            Err(error) => return Beginning::Failed(exchange.unreachable(error)),
        };
        let (status, headers) = (answer.status(), answer.headers().clone());
        if !status.is_success() || !is_event_stream(&headers) {
            return match exchange.read_whole(answer).await {
                Ok(body) => Beginning::Whole { status, headers, body },
                Err(failed) => Beginning::Failed(failed),
            };
        }
        let Overture { reader, framer } = overture;
        while !(reader.progress().has_content || reader.progress().ended) && framer.held() < LARGEST_OVERTURE {
            match answer.chunk().await {
                Ok(Some(chunk)) => {
                    reader.feed(&chunk);
                    framer.push(&chunk);
                }
                Ok(None) => {
                    exchange.about.error("provider.cut", &"before any content", "a stream ended too early");
                    let message = "The AI provider ended its answer before any content.";
                    return Beginning::Failed(Failed::upstream(ErrorKind::BadGateway, message));
                }
                Err(error) => return Beginning::Failed(exchange.cut(error)),
            }
        }
        Beginning::Stream { status, headers, answer }
    };
    match timeout_at(until, work).await {
        Ok(beginning) => beginning,
        Err(_) => Beginning::Failed(exchange.timed_out(TimedOut::FirstToken)),
    }
}

fn is_event_stream(headers: &HeaderMap) -> bool {
    headers.get(CONTENT_TYPE).is_some_and(|value| value.as_bytes().starts_with(b"text/event-stream"))
}
