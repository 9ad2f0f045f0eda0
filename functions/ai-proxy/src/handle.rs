//! One AI call, from top to bottom.

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;
use http::Method;
use lambda_http::{Request, RequestExt, Response};
use levee::clock::{Clock, Timestamp};
use levee::http::anthropic::ErrorKind;
use levee::http::{Admission, Admitted, Refused, admit};
use serde_json::value::{RawValue, to_raw_value};
use tokio::time::Instant;

use crate::answer::{Body, Failed};
use crate::cap::Spending;
use crate::config::State;
use crate::exchange::{self, About, Exchange, Outgoing};
use crate::guards::Asked;
use crate::in_flight::InFlight;
use crate::report::{Report, told};
use crate::routes::{Operation, operation};

/// How long before the function's deadline a stream is ended, so that its end and its usage still get out.
const BEFORE_DEADLINE: Duration = Duration::from_secs(2);

/// Serves one request. There is no error: whatever goes wrong is an answer.
pub async fn handle(state: &State, request: Request) -> Response<Body> {
    let Admission { verdict, request_id, headers, leases } = admit(&request);
    let report = Report::begin(&request_id, operation(&request));
    let in_flight = InFlight::new(&state.redis, &request_id, leases, &report);
    let answer = match verdict {
        Ok(caller) => {
            in_flight.hold(&state.clock);
            serve(state, &caller, &request_id, &request, &report, &in_flight).await
        }
        // The gateway itself refuses what is over a limit here.
        Err(Refused::Forbidden(reason) | Refused::Limited(reason, _)) => {
            Err(Failed::by_caller(ErrorKind::Permission, reason))
        }
    };
    let mut response = answer.unwrap_or_else(|failed| {
        report.failed(failed.kind, &failed.message);
        failed.into_response(&request_id)
    });
    // A stream is over when it has been sent; everything else is over now.
    if !response.body().is_stream() {
        in_flight.give_back().await;
    }
    report.status(response.status());
    response.headers_mut().extend(headers);
    response
}

async fn serve(
    state: &State,
    caller: &Admitted,
    id: &str,
    request: &Request,
    report: &Report,
    in_flight: &InFlight,
) -> Result<Response<Body>, Failed> {
    let (started_at, began) = (state.clock.now(), Instant::now());
    report.caller(caller);
    let exchange = |metered: Option<(String, Spending)>| Exchange {
        state,
        caller,
        about: About {
            request_id: id.to_owned(),
            account: caller.account.clone(),
            provider: state.provider.name.clone(),
        },
        report: report.clone(),
        in_flight: in_flight.clone(),
        invocation_id: request.lambda_context_ref().map_or(id, |context| &context.request_id).to_owned(),
        metered,
        started_at,
        began,
        deadline: deadline(request),
    };
    let to_provider = |method, segments: &[&str], body| Outgoing {
        request: state.provider.request(method, segments, request.uri().query(), request.headers()),
        body,
    };

    match operation(request) {
        Some(Operation::Message) => {
            let (asked, body) = read_body(state, request.body())?;
            let (model, is_streamed) = (told(&asked.model).to_owned(), asked.is_streamed());
            report.asked(&model, is_streamed);
            // Nothing is sent before it is known that the call may cost what it would.
            asked.check_model(&caller.terms)?;
            asked.check_max_tokens(&caller.terms)?;
            let spending = Spending::admit(&state.caps, report, &caller.account, caller.terms.cap, started_at).await?;
            let call = to_provider(Method::POST, &["v1", "messages"], Some(body));
            let exchange = exchange(Some((model, spending)));
            if is_streamed { exchange::stream(exchange, call).await } else { exchange::whole(exchange, call).await }
        }
        Some(Operation::CountTokens) => {
            let (asked, body) = read_body(state, request.body())?;
            report.asked(told(&asked.model), false);
            asked.check_model(&caller.terms)?;
            let call = to_provider(Method::POST, &["v1", "messages", "count_tokens"], Some(body));
            exchange::whole(exchange(None), call).await
        }
        Some(Operation::Models) => {
            exchange::whole(exchange(None), to_provider(Method::GET, &["v1", "models"], None)).await
        }
        Some(Operation::Model) => {
            let parameters = request.path_parameters();
            let id = parameters.first("id").unwrap_or_default();
            exchange::whole(exchange(None), to_provider(Method::GET, &["v1", "models", id], None)).await
        }
        None => Err(Failed::by_caller(ErrorKind::NotFound, "There is no such route.")),
    }
}

/// Reads what the proxy needs of a body, and the body as the provider is to get it.
fn read_body(state: &State, body: &lambda_http::Body) -> Result<(Asked, Bytes), Failed> {
    // The parser's own message would repeat what it stumbled over, which may be a prompt.
    let invalid = |error: serde_json::Error| {
        let (line, column) = (error.line(), error.column());
        let message = format!("The request body is not a valid call (line {line}, column {column}).");
        Failed::by_caller(ErrorKind::InvalidRequest, message)
    };
    let asked: Asked = serde_json::from_slice(body).map_err(invalid)?;
    let Some(renamed) = state.provider.renamed(&asked.model) else {
        return Ok((asked, Bytes::copy_from_slice(body)));
    };
    // Values stay the bytes that they were: reordered, a tool's schema would be another prompt.
    let mut call: BTreeMap<&str, &RawValue> = serde_json::from_slice(body).map_err(invalid)?;
    let renamed = to_raw_value(renamed).map_err(invalid)?;
    call.insert("model", &renamed);
    let body = serde_json::to_vec(&call).map_err(invalid)?;
    Ok((asked, body.into()))
}

/// When the call must have ended, by the function's own deadline.
fn deadline(request: &Request) -> Instant {
    let left = request.lambda_context_ref().map_or(0, |context| context.deadline);
    let left = Clock::system().now().until(Timestamp::from_millis(left));
    Instant::now() + left.saturating_sub(BEFORE_DEADLINE)
}
