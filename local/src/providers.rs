//! Stand-in AI providers: small servers on loopback that speak Anthropic's Messages API as the real one does, and fail
//! the way a script asks them to.
//!
//! What they answer is a pure function of who they are, the request and the script: the same request gives the same
//! bytes, so that a test can lay what came through a proxy beside what came directly. Only headers carry the time.
//!
//! A script is set through the control address (`PUT /providers/{name}`; see [`control_routes`]):
//!
//! | field | value | effect |
//! | --- | --- | --- |
//! | `status` | 400 to 599 | calls answer this status with the error type that Anthropic gives it |
//! | `fail_ratio` | 0 to 1 | this share of calls fails with `status` (500 when unset), evenly spread; absent: all of them |
//! | `retry_after` | seconds, or a string sent as it is | the `retry-after` header of failing calls |
//! | `ttft_ms` | 0 to 600,000 ms | from `message_start` to the first content; for JSON, before the answer |
//! | `gap_ms` | 0 to 600,000 ms | between two deltas; for JSON, `gap_ms` × `deltas` before the answer |
//! | `deltas` | 0 to 100,000 | how many deltas the text has (8 when unset), as far as `max_tokens` has room |
//! | `hang` | `true` or `"headers"` | never answers |
//! | | `"first_token"` | headers, `message_start`, then a `ping` a second; for JSON, headers and no body |
//! | | `"stream"` | falls silent after 2 deltas; for JSON, after half of the body |
//! | `cut_after` | 0 to 100,000 deltas | drops the connection there; for JSON, after half of the body |
//! | `error_event_after` | 0 to 100,000 deltas | an `overloaded_error` event there ends the stream; JSON is untouched |
//! | `usage` | object | laid over the usage that was computed, for example `{"input_tokens": 5}` |
//! | `answer` | object | replaces the answer of every call that does not fail, see below |
//!
//! `null` clears a field. Deltas of every kind count for `hang`, `cut_after` and `error_event_after`; the earliest of
//! them wins, and a stream with fewer deltas ends as usual. `status`, `fail_ratio`, `retry_after`, `answer` and
//! `hang: "headers"` hold for every endpoint, each endpoint spreading its failures by itself; the rest shapes messages.
//!
//! `usage` takes the fields of Anthropic's usage object, with `iterations`, `speed`, `inference_geo` and
//! `service_tier` among them. Sums and iterations are sent as scripted; neither is computed from the other.
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
//! The answer replaces the outcome of calls that the front door lets in: a wrong key is still refused, the share of
//! calls that `fail_ratio` and `status` name still fails, `hang: "headers"` still never answers, and `ttft_ms` passes
//! before the answer. The request's body is not checked, and the fields that shape messages have no effect. Statuses
//! 1xx, 204 and 304 have no body in HTTP; after a 1xx the connection closes. A call counts as completed below 400 and
//! as failed from 400 on. Its usage counts as zero, and it is not listed among the calls served.
//!
//! The stand-in shows what it served in total (`GET /providers/{name}`) and call by call
//! (`GET /providers/{name}/served`).
//!
//! Start reading at [`StandIn`], then `messages` (the call), `reply` (what is said) and `stream` (how it is sent).

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

/// The names of the local stack's stand-ins, in the order of preference that holds where no other is asked for.
pub const STAND_INS: [&str; 2] = ["primary", "backup"];

/// One stand-in: its address, its key, its script and what it has counted.
#[derive(Debug)]
pub struct StandIn {
    name: String,
    api_key: String,
    address: SocketAddr,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// Shared with the calls that began under it, because a scripted answer may be large.
    script: Arc<Script>,
    /// Replaced, not cleared, by a reset: calls that began before it go on counting in the old one.
    tally: Arc<Mutex<Tally>>,
}

impl StandIn {
    /// Listens on a free port of 127.0.0.1 and serves until the runtime ends.
    ///
    /// # Errors
    ///
    /// No port could be bound.
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

    /// What it was called at start, and the name under which it is scripted.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Scheme, host and port, with no slash at the end: `http://127.0.0.1:40001`.
    pub fn base_url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The one key that it accepts, in `x-api-key` or as a bearer token.
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
            // The front door has measured the body already.
            .layer(DefaultBodyLimit::disable())
            .layer(middleware::from_fn_with_state(Arc::clone(self), front_door::admit))
            .with_state(Arc::clone(self))
    }

    /// Counts a call and applies what the script holds for every endpoint: a failure, no answer, or a scripted one.
    async fn begin(&self, endpoint: Endpoint) -> Result<(Arc<Script>, tally::Call), Diverted> {
        let (script, mut call, fails) = {
            let state = self.state();
            let call = tally::Call::begin(&state.tally, endpoint);
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

        // Even a sleep of nothing lasts until the timer's next millisecond.
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

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn tally(&self) -> Arc<Mutex<Tally>> {
        Arc::clone(&self.state().tally)
    }
}
