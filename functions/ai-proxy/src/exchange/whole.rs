//! An attempt whose answer is passed on when it is whole.

use http::HeaderValue;
use http::header::CONTENT_TYPE;
use lambda_http::Response;
use levee::http::status::Named;
use levee::metering::Reading;
use serde::Deserialize;
use tokio::time::{Instant, timeout_at};

use super::attempt::{Answered, Attempt, Missed, Prepared, respond, void};
use crate::answer::Body;
use crate::patience::Awaited;
use crate::timeouts::TimedOut;

/// Makes an attempt whose answer is passed on when it is whole.
pub(super) async fn whole(mut attempt: Attempt<'_>, call: Prepared) -> Result<Response<Body>, Missed> {
    let exchange = attempt.exchange;
    let meter = attempt.meter(attempt.until);
    let Prepared { request: call, hold } = call;
    let answer = async {
        let answer = async {
            let answer = attempt.read_whole(attempt.send(call).await?).await?;
            if is_understood(&answer, meter.is_some()) {
                return Ok(answer);
            }
            Err(attempt.nonsense(answer.status, "a provider's answer is no message"))
        };
        let in_time =
            async { timeout_at(attempt.until, answer).await.map_err(|_| attempt.late(TimedOut::WholeCall)).flatten() };
        let answer = tokio::select! {
            answer = in_time => answer,
            none = attempt.is_hopeless() => Err(none),
        };
        attempt.stop_the_clock();
        (answer, Instant::now())
    };
    let opened = attempt.open(meter.as_ref(), hold);
    let ((answer, answered_at), released_at, state) = tokio::join!(answer, opened, exchange.token_state());
    let waited = answered_at.saturating_duration_since(released_at);
    exchange.waited.add(waited);
    let answered = match answer {
        Ok(answer) => answer,
        Err(none) => return Err(attempt.unanswered(meter, none, Reading::default()).await),
    };
    exchange.report.provider_took(waited);

    if !answered.status.is_success() {
        let answer = attempt.failure(answered, state);
        tokio::join!(void(meter), attempt.finish());
        return answer;
    }
    let Answered { status, headers, body } = answered;
    if let Some(watch) = &attempt.watch {
        watch.came(Awaited::Whole, waited);
    }
    if let Some(mut meter) = meter {
        let reading = Reading::of_message(&body);
        if reading.is_none() {
            attempt.about.error("metering.no_usage", &Named(status), "an answer reported no usage");
        }
        let is_estimated = reading.as_ref().is_none_or(|reading| reading.figures.is_absurd);
        let reading = reading.unwrap_or_else(|| Reading::of_unmetered(&body));
        attempt.about.absurd(reading.absurd);
        let metered = meter.close(reading, is_estimated);
        tokio::join!(metered, exchange.in_flight.give_back(), attempt.finish());
    }
    exchange.report.answered(status);
    let mut headers = attempt.headers(&headers, state);
    // One that is not well formed did not pass.
    headers.entry(CONTENT_TYPE).or_insert(HeaderValue::from_static("application/json"));
    Ok(respond(status, headers, Body::Full(Some(body))))
}

/// Whether an answer that says it is a success is one: an object that is no error. What is no message is passed on as it is.
fn is_understood(answer: &Answered, is_message: bool) -> bool {
    #[derive(Deserialize)]
    struct Kind {
        r#type: Option<String>,
    }
    let is_no_error = |kind: Kind| kind.r#type.as_deref() != Some("error");
    !is_message || !answer.status.is_success() || serde_json::from_slice(&answer.body).is_ok_and(is_no_error)
}
