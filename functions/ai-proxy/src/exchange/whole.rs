//! A call whose answer is passed on when it is whole.

use bytes::Bytes;
use http::{HeaderMap, StatusCode};
use lambda_http::Response;
use levee::metering::{Figures, Reading};
use tokio::time::{Instant, timeout_at};

use super::{Exchange, Outgoing, Unanswered, respond, unanswered, void};
use crate::answer::{Body, Failed};
use crate::timeouts::TimedOut;

/// Makes a call whose answer is passed on when it is whole.
pub async fn whole(exchange: Exchange<'_>, outgoing: Outgoing) -> Result<Response<Body>, Failed> {
    let sent = exchange.attempt();
    let deadline = exchange.deadline.min(sent + exchange.state.timeouts.whole_call);
    let meter = exchange.meter(deadline);
    let (call, hold) = outgoing.held();
    let answer = async {
        let too_late = |_| Unanswered { failed: exchange.timed_out(TimedOut::WholeCall), was_sent: true };
        let answer = timeout_at(deadline, answer(&exchange, call)).await;
        (answer.map_err(too_late).flatten(), Instant::now())
    };
    let opened = exchange.open(meter.as_ref(), hold);
    let ((answer, answered_at), released_at, state) = tokio::join!(answer, opened, exchange.token_state());
    let waited = answered_at.saturating_duration_since(released_at);
    let (status, headers, body) = match answer {
        Ok(answer) => answer,
        Err(none) => return Err(unanswered(meter, none, Figures::default()).await),
    };
    exchange.report.provider_took(waited);

    let headers_of_answer = exchange.headers(&headers, waited, state);
    if !status.is_success() {
        void(meter).await;
        return exchange.failure(status, headers_of_answer, body);
    }
    if let Some(mut meter) = meter {
        let reading = Reading::of_message(&body);
        if reading.is_none() {
            exchange.about.error("metering.no_usage", &status, "an answer reported no usage");
        }
        let Reading { figures, absurd } = reading.unwrap_or_default();
        exchange.about.absurd(absurd);
        let metered = meter.close(figures, reading.is_none() || figures.is_absurd);
        tokio::join!(metered, exchange.in_flight.give_back());
    }
    exchange.report.answered(status);
    Ok(respond(status, headers_of_answer, Body::Full(Some(body))))
}

async fn answer(
    exchange: &Exchange<'_>,
    call: reqwest::RequestBuilder,
) -> Result<(StatusCode, HeaderMap, Bytes), Unanswered> {
    let answer = exchange.send(call).await?;
    let (status, headers) = (answer.status(), answer.headers().clone());
    let lost = |failed| Unanswered { failed, was_sent: status.is_success() };
    let body = exchange.read_whole(answer).await.map_err(lost)?;
    Ok((status, headers, body))
}
