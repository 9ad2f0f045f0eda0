//! Stand-in AI providers: small servers on loopback that speak Anthropic's Messages API as the real one does, and
//! fail as scripted.
//!
//! Their answers are a pure function of their name, the request and the script. The same request gets the same bytes,
//! so that a test can compare an answer that came through a proxy with one that came directly. Only headers contain
//! the time.
//!
//! A script is set through the control address (`PUT /providers/{name}`; see [`control_routes`]):
//!
//! | field | value | effect |
//! | --- | --- | --- |
//! | `status` | 400 to 599 | calls are answered with this status and Anthropic's error type for it |
//! | `fail_ratio` | 0 to 1 | share of calls that fail with `status` (500 when unset), evenly spread; absent: all |
//! | `retry_after` | seconds, or a string sent as it is | the `retry-after` header of failing calls |
//! | `ttft_ms` | 0 to 600,000 ms | from `message_start` to the first content; for JSON, before the answer |
//! | `gap_ms` | 0 to 600,000 ms | between two deltas; for JSON, `gap_ms` × `deltas` before the answer |
//! | `deltas` | 0 to 100,000 | number of deltas of the text (8 when unset), as far as `max_tokens` has room |
//! | `hang` | `true` or `"headers"` | never answers |
//! | | `"first_token"` | headers, `message_start`, then a `ping` a second; for JSON, headers and no body |
//! | | `"stream"` | sends nothing more after 2 deltas; for JSON, after half of the body |
//! | `cut_after` | 0 to 100,000 deltas | drops the connection there; for JSON, after half of the body |
//! | `error_event_after` | 0 to 100,000 deltas | an `overloaded_error` event ends the stream there; no effect on JSON |
//! | `usage` | object | overrides fields of the computed usage, for example `{"input_tokens": 5}` |
//! | `answer` | object | replaces the answer of every call that does not fail, see below |
//!
//! `null` clears a field. Deltas of every kind count for `hang`, `cut_after` and `error_event_after`. The earliest of
//! these applies, and a stream with fewer deltas ends as usual. `status`, `fail_ratio`, `retry_after`, `answer` and
//! `hang: "headers"` apply to every endpoint, and each endpoint spreads its failures by itself. The other fields
//! apply to messages only.
//!
//! `usage` takes the fields of Anthropic's usage object, including `iterations`, `speed`, `inference_geo` and
//! `service_tier`. Sums and iterations are sent as scripted; neither is computed from the other.
//!
//! `answer` is sent exactly as it is written, without any of the headers that Anthropic adds:
//!
//! | member | value | when absent |
//! | --- | --- | --- |
//! | `status` | 100 to 999 | 200 |
//! | `headers` | names to a value or a list of values; not `content-length` and `transfer-encoding` | none |
//! | `body` | a string, sent as it is, or other JSON, sent serialised | empty |
//!
//! A body that is not a string gets the content type `application/json`, unless `headers` has another.
//!
//! The answer replaces the outcome of calls that the front door admits. A wrong key is still refused, the share of
//! calls given by `fail_ratio` and `status` still fails, `hang: "headers"` still never answers, and `ttft_ms` passes
//! before the answer. The request's body is not checked, and the fields that shape messages have no effect. Statuses
//! 1xx, 204 and 304 have no body in HTTP; after a 1xx the connection closes. A call counts as completed below 400 and
//! as failed from 400 on. Its usage counts as zero, and it is not listed among the calls served.
//!
//! The stand-in reports what it served in total (`GET /providers/{name}`) and by call
//! (`GET /providers/{name}/served`).
//!
//! Start reading at [`StandIn`], then `messages` (the call), `reply` (the content) and `stream` (the transmission).

mod answer;
mod control;
mod errors;
mod front_door;
mod messages;
mod models;
mod reply;
mod request;
mod script;
mod seed;
mod served;
mod server;
mod stream;
mod tally;
mod tools;
mod usage;

#[cfg(test)]
mod tests;

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::Context;
use axum::extract::DefaultBodyLimit;
use axum::routing::{get, post};
use axum::{Router, middleware};
use tokio::net::TcpListener;

use answer::Diverted;
pub use control::control_routes;
use errors::Problem;
pub use models::EXAMPLE_MODEL;
use script::{Hang, Script};
use tally::{Endpoint, Tally};
use usage::Usage;

/// Names of the local stack's stand-ins, in the default order of preference.
pub const STAND_INS: [&str; 2] = ["primary", "backup"];

/// One stand-in: its address, key, script and counters.
#[derive(Debug)]
pub struct StandIn {
    name: String,
    api_key: String,
    address: SocketAddr,
    state: Mutex<ProvidersState>,
}

#[derive(Debug, Default)]
struct ProvidersState {
    /// Shared with the calls that began under this script, because a scripted answer may be large.
    script: Arc<Script>,
    /// Replaced, not cleared, by a reset: calls that began before it continue to count in the old tally.
    tally: Arc<Mutex<Tally>>,
}

impl StandIn {
    /// Listens on a free port of 127.0.0.1 and serves until the runtime ends.
    ///
    /// # Errors
    ///
    /// Fails if no port can be bound.
    pub async fn start(name: &str) -> anyhow::Result<Arc<Self>> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))
            .await
            .with_context(|| format!("no port for the stand-in provider {name}"))?;
        let stand_in = Arc::new(Self {
            name: name.to_owned(),
            api_key: format!("sk-standin-{name}-0f1e2d3c4b5a69788796a5b4c3d2e1f0"),
            address: listener.local_addr().context("the stand-in's port")?,
            state: Mutex::default(),
        });
        tokio::spawn(server::run(listener, stand_in.routes()));
        Ok(stand_in)
    }

    /// Returns the name, under which it is scripted.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Returns scheme, host and port, without a slash at the end: `http://127.0.0.1:40001`.
    pub fn base_url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Returns the only key that it accepts, in `x-api-key` or as a bearer token.
    pub fn api_key(&self) -> &str {
        &self.api_key
    }

    fn routes(self: &Arc<Self>) -> Router {
        Router::new()
            .route("/v1/messages", post(messages::create))
            .route("/v1/messages/count_tokens", post(messages::count_tokens))
            .route("/v1/models", get(models::list))
            .route("/v1/models/{id}", get(models::retrieve))
            .fallback(|| async { Problem::not_found("Not found") })
            .method_not_allowed_fallback(|| async { Problem::new(405, "Method Not Allowed") })
            // The front door has checked the size of the body already.
            .layer(DefaultBodyLimit::disable())
            .layer(middleware::from_fn_with_state(Arc::clone(self), front_door::admit))
            .with_state(Arc::clone(self))
    }

    /// Counts a call and applies the parts of the script that apply to every endpoint: a failure, a hang, or a
    /// scripted answer.
    async fn begin(&self, endpoint: Endpoint) -> Result<(Arc<Script>, tally::TalliedCall), Diverted> {
        let (script, mut call, fails) = {
            let state = self.state();
            let call = tally::TalliedCall::begin(&state.tally, endpoint);
            let fails = call.is_to_fail(state.script.share_of_failures());
            (Arc::clone(&state.script), call, fails)
        };

        if fails {
            call.fail();
            return Err(script.failure().into());
        }
        if script.hang == Some(Hang::Headers) {
            std::future::pending::<()>().await;
        }
        let Some(answer) = &script.answer else { return Ok((script, call)) };

        // Do not sleep for 0 ms: even that lasts until the timer's next millisecond.
        if let Some(wait @ 1..) = script.ttft_ms {
            tokio::time::sleep(Duration::from_millis(wait)).await;
        }
        if answer.is_failure() {
            call.fail()
        } else {
            call.complete(&Usage::default())
        }
        Err(Diverted::Answer(Box::new(answer.response())))
    }

    fn state(&self) -> MutexGuard<'_, ProvidersState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn tally(&self) -> Arc<Mutex<Tally>> {
        Arc::clone(&self.state().tally)
    }
}
