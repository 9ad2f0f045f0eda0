//! `POST /v1/messages` and `POST /v1/messages/count_tokens`.

use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::body::Body;
use axum::extract::{Extension, State};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use http::HeaderValue;
use http::header::{CACHE_CONTROL, CONTENT_LENGTH, CONTENT_TYPE};
use serde_json::{Value, json};

use super::StandIn;
use super::answer::Diverted;
use super::reply::{self, Reply};
use super::request::{Ask, Version, prompt};
use super::script::{Ending, Script};
use super::seed::Seed;
use super::served::About;
use super::stream::{self, Message, Sent, Step};
use super::tally::{Endpoint, TalliedCall};
use super::usage;

pub(super) async fn create(
    State(stand_in): State<Arc<StandIn>>,
    Extension(seed): Extension<Seed>,
    Extension(version): Extension<Version>,
    body: Bytes,
) -> Result<Response, Diverted> {
    let (script, mut call) = stand_in.begin(Endpoint::Messages).await?;
    let ask = Ask::read(&body, version).inspect_err(|_| call.fail())?;
    let reply = reply::compose(&stand_in.name, &ask, &script, seed);
    call.is_about(About { message: reply.id.clone(), model: reply.model.clone(), user: ask.user() });
    let usage = reply.usage.clone();
    let mut response = if ask.stream { streamed(reply, &script, call) } else { whole(&reply, &script, call).await };
    response.extensions_mut().insert(usage);
    Ok(response)
}

pub(super) async fn count_tokens(
    State(stand_in): State<Arc<StandIn>>,
    Extension(version): Extension<Version>,
    body: Bytes,
) -> Result<Json<Value>, Diverted> {
    stand_in.begin(Endpoint::CountTokens).await?;
    let request = prompt(&body, version)?;
    Ok(Json(json!({ "input_tokens": usage::total_input(&request) })))
}

fn streamed(reply: Reply, script: &Script, call: TalliedCall) -> Response {
    let mut response = stream::play(stream::steps(reply, script), call).into_response();
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/event-stream; charset=utf-8"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    response
}

async fn whole(reply: &Reply, script: &Script, call: TalliedCall) -> Response {
    let gaps = script.gap_ms.unwrap_or_default() * script.deltas.unwrap_or(reply::DEFAULT_DELTAS);
    let wait = Duration::from_millis(script.ttft_ms.unwrap_or_default() + gaps);
    // Do not sleep for 0 ms: even that lasts until the timer's next millisecond.
    if !wait.is_zero() {
        tokio::time::sleep(wait).await;
    }

    // Serialising a message cannot fail.
    let json = Bytes::from(serde_json::to_vec(&Message::whole(reply)).unwrap_or_default());
    let length = json.len();
    // End as scripted: after half of the body, without any of it, or regularly.
    let half = || Step::Send(json.slice(..length / 2), Sent::Nothing);
    let steps = match script.ending() {
        Some((_, Ending::Cut)) => vec![half(), Step::Cut],
        Some((_, Ending::Silence)) => vec![half(), Step::Silence],
        Some((_, Ending::Pings)) => vec![Step::Silence],
        Some((_, Ending::ErrorEvent)) | None => vec![Step::Send(json, Sent::All(Box::new(reply.usage.clone())))],
    };
    let body: Body = stream::play(steps.into_iter(), call);
    let headers = [(CONTENT_TYPE, HeaderValue::from_static("application/json")), (CONTENT_LENGTH, length.into())];
    (headers, body).into_response()
}
