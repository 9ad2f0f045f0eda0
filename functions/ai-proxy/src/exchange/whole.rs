//! An attempt whose answer is passed on once it is complete.

use http::HeaderValue;
use http::header::CONTENT_TYPE;
use lambda_http::Response;
use levee::http::status::Named;
use levee::metering::Reading;
use serde::Deserialize;
use serde::de::IgnoredAny;
use tokio::time::{Instant, timeout_at};

use super::attempt::{Answered, Attempt, AttemptFailure, respond, void};
use super::prepared::Prepared;
use crate::answer::Body;
use crate::deadlines::ResponseMode;
use crate::timeouts::TimedOut;

/// Makes an attempt whose answer is passed on once it is complete.
pub(super) async fn whole(mut attempt: Attempt<'_>, call: Prepared) -> Result<Response<Body>, AttemptFailure> {
    let exchange = attempt.exchange;
    let meter = attempt.meter(attempt.until);
    let Prepared { request: call, hold, taken } = call;
    attempt.taken = taken;
    // Wait for the answer, up to the deadline or until the breaker gives the provider up.
    let answer = async {
        let answer = async {
            let answer = attempt.read_whole(attempt.send(call).await?).await?;
            let is_understood = if meter.is_some() { is_message } else { is_object };
            if !answer.status.is_success() || is_understood(&answer.body) {
                return Ok(answer);
            }
            Err(attempt.nonsense(answer.status, "a provider's answer is not the object that was asked for"))
        };
        let in_time =
            async { timeout_at(attempt.until, answer).await.map_err(|_| attempt.late(TimedOut::WholeCall)).flatten() };
        let answer = tokio::select! {
            answer = in_time => answer,
            none = attempt.wait_until_abandoned() => Err(none),
        };
        attempt.stop_the_clock();
        (answer, Instant::now())
    };
    // Send the request while the record is being opened and the cap's figure is being read.
    let opened = attempt.open(meter.as_ref(), hold);
    let ((answer, answered_at), released_at, state) = tokio::join!(answer, opened, exchange.token_state());
    let waited = answered_at.saturating_duration_since(released_at);
    exchange.waited.add(waited);
    let answered = match answer {
        Ok(answer) => answer,
        Err(none) => return Err(attempt.unanswered(meter, none, Reading::default()).await),
    };
    exchange.report.provider_took(waited);

    // An error status goes to the client or to the next provider. Either way nothing was used.
    if !answered.status.is_success() {
        let answer = attempt.failure(answered, state);
        tokio::join!(void(meter), attempt.finish());
        return answer;
    }
    let Answered { status, headers, body } = answered;
    // Report the success to the breaker.
    if let Some(watch) = &attempt.watch {
        watch.came(ResponseMode::Whole, waited);
    }
    // Write the usage and release the places in flight before the answer is returned.
    if let Some(mut meter) = meter {
        let reading = Reading::of_message(&body);
        if reading.is_none() {
            attempt.about.error("metering.no_usage", &Named(status), "an answer reported no usage");
        }
        let is_estimated = reading.as_ref().is_none_or(|reading| !reading.is_whole() || reading.figures.is_absurd);
        let reading = reading.unwrap_or_else(|| Reading::of_unmetered(&body));
        attempt.about.absurd(reading.absurd);
        let metered = meter.close(reading, is_estimated);
        tokio::join!(metered, exchange.in_flight.give_back(), attempt.finish());
    }
    exchange.report.answered(status);
    let mut headers = attempt.headers(&headers, state);
    // The header is missing if the provider's was not well formed.
    headers.entry(CONTENT_TYPE).or_insert(HeaderValue::from_static("application/json"));
    Ok(respond(status, headers, Body::Full(Some(body))))
}

/// Returns true if the body of a success is a message: an object whose `type` is `message`.
pub(super) fn is_message(body: &[u8]) -> bool {
    #[derive(Deserialize)]
    struct Typed {
        r#type: String,
    }
    let is_object = body.trim_ascii_start().starts_with(b"{");
    is_object && serde_json::from_slice(body).is_ok_and(|typed: Typed| typed.r#type == "message")
}

/// Returns true if the body of a success is an object, as token counts and models are.
fn is_object(body: &[u8]) -> bool {
    body.trim_ascii_start().starts_with(b"{") && serde_json::from_slice::<IgnoredAny>(body).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_is_an_object_that_says_so() {
        assert!(is_message(br#" {"id":"msg_1","type":"message","content":[]}"#));
        for body in [
            "",
            "{}",
            "[]",
            "[null]",
            r#"["message"]"#,
            "null",
            "7",
            r#"{"type":null}"#,
            r#"{"type":"error","error":{"type":"api_error","message":"No"}}"#,
            r#"{"error":{"type":"api_error","message":"No"}}"#,
            r#"{"type":"message""#,
            r#"{"id":"chatcmpl-1","object":"chat.completion","choices":[]}"#,
            "<html>",
        ] {
            assert!(!is_message(body.as_bytes()), "{body}");
        }
    }
}
