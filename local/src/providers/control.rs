//! `/providers/{name}` on the control address, which scripts the stand-ins and shows their counters.

use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, Path, Query, State};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use http::StatusCode;
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::StandIn;
use super::tally::lock;

/// Maximum number of calls in one page.
const LARGEST_PAGE: usize = 1_000;

/// Size of the largest script, in bytes. A scripted answer may be larger than any that a provider's client accepts.
const LARGEST_SCRIPT: usize = 64 * 1024 * 1024;

/// Returns the routes of the stand-ins.
///
/// `PUT` changes fields of the script (`null` clears one), `GET` shows script and counters, `DELETE` resets both for
/// the calls that begin after it. Each is answered as `GET` is. An unknown name is answered with a 404 that lists the
/// names, a wrong field with a 400 that names it. `GET /providers/{name}/served?after=<number>` shows the calls that
/// ended after the one of that number, in the form of [`served`](super::served), at most 1,000 at a time.
pub fn control_routes(stand_ins: Vec<Arc<StandIn>>) -> Router {
    Router::new()
        .route("/providers/{name}", get(show).put(patch).delete(restore).layer(DefaultBodyLimit::max(LARGEST_SCRIPT)))
        .route("/providers/{name}/served", get(served))
        .with_state(StandIns(stand_ins.into()))
}

#[derive(Clone)]
struct StandIns(Arc<[Arc<StandIn>]>);

impl StandIns {
    fn named(&self, name: &str) -> Result<&Arc<StandIn>, Mistake> {
        self.0.iter().find(|stand_in| stand_in.name == name).ok_or_else(|| {
            let names: Vec<&str> = self.0.iter().map(|stand_in| stand_in.name.as_str()).collect();
            Mistake(
                StatusCode::NOT_FOUND,
                format!("no stand-in provider is called {name}; there are: {}", names.join(", ")),
            )
        })
    }
}

struct Mistake(StatusCode, String);

impl IntoResponse for Mistake {
    fn into_response(self) -> Response {
        (self.0, Json(json!({ "error": self.1 }))).into_response()
    }
}

async fn show(State(stand_ins): State<StandIns>, Path(name): Path<String>) -> Result<Json<Value>, Mistake> {
    Ok(shown(stand_ins.named(&name)?))
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Page {
    after: u64,
}

async fn served(
    State(stand_ins): State<StandIns>,
    Path(name): Path<String>,
    Query(page): Query<Page>,
) -> Result<Json<Value>, Mistake> {
    let tally = stand_ins.named(&name)?.tally();
    let served = json!({ "served": lock(&tally).served.after(page.after).take(LARGEST_PAGE).collect::<Vec<_>>() });
    Ok(Json(served))
}

async fn patch(
    State(stand_ins): State<StandIns>,
    Path(name): Path<String>,
    body: Bytes,
) -> Result<Json<Value>, Mistake> {
    let stand_in = stand_ins.named(&name)?;
    let patch: Map<String, Value> = serde_json::from_slice(&body)
        .map_err(|error| Mistake(StatusCode::BAD_REQUEST, format!("a script is a JSON object: {error}")))?;

    let mut state = stand_in.state();
    let script = state.script.patched(&patch).map_err(|error| Mistake(StatusCode::BAD_REQUEST, error))?;
    state.script = Arc::new(script);
    lock(&state.tally).forget_carry();
    drop(state);
    Ok(shown(stand_in))
}

async fn restore(State(stand_ins): State<StandIns>, Path(name): Path<String>) -> Result<Json<Value>, Mistake> {
    let stand_in = stand_ins.named(&name)?;
    *stand_in.state() = Default::default();
    Ok(shown(stand_in))
}

fn shown(stand_in: &StandIn) -> Json<Value> {
    let state = stand_in.state();
    let mut shown = serde_json::to_value(&*lock(&state.tally)).unwrap_or_default();
    shown["name"] = json!(stand_in.name);
    shown["base_url"] = json!(stand_in.base_url());
    shown["script"] = state.script.shown();
    Json(shown)
}
