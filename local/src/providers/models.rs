//! `GET /v1/models` and `GET /v1/models/{id}`.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, Query, State};
use serde::Deserialize;
use serde_json::{Value, json};

use super::StandIn;
use super::answer::Diverted;
use super::errors::Problem;
use super::tally::Endpoint;

/// Alias of the model of the local stack's examples: the seeded usage, the call printed at the start, and tests.
pub const EXAMPLE_MODEL: &str = "claude-sonnet-5-5";

/// Models from the newest to the oldest, as Anthropic lists them: identifier, name, lifecycle stage.
///
/// The dates of the 5.5 models are the stand-in's own: Anthropic publishes these models under their alias only, and
/// tests need aliases that resolve to another identifier.
const MODELS: [(&str, &str, &str); 10] = [
    ("claude-fable-5-2", "Claude Fable 5.2", "active"),
    ("claude-haiku-5-5-20261013", "Claude Haiku 5.5", "active"),
    ("claude-sonnet-5-5-20260915", "Claude Sonnet 5.5", "active"),
    ("claude-fable-5-1", "Claude Fable 5.1", "active"),
    ("claude-opus-5-5-20260811", "Claude Opus 5.5", "active"),
    ("claude-sonnet-5", "Claude Sonnet 5", "active"),
    ("claude-opus-5", "Claude Opus 5", "active"),
    ("claude-opus-4-8", "Claude Opus 4.8", "active"),
    ("claude-sonnet-4-6", "Claude Sonnet 4.6", "active"),
    ("claude-opus-4-5-20251101", "Claude Opus 4.5", "deprecated"),
];

/// Anthropic's date for a release whose date it does not know.
const UNKNOWN_DATE: &str = "1970-01-01T00:00:00Z";

const DEFAULT_PAGE: usize = 20;
const LARGEST_PAGE: usize = 1_000;

/// Returns the model that serves a name. An alias stands for its dated model; any other name that contains `claude`
/// stands for itself.
///
/// # Errors
///
/// 404 for every other name.
pub(super) fn serving(asked: &str) -> Result<String, Problem> {
    let is_date = |tail: &str| tail.len() == 8 && tail.bytes().all(|byte| byte.is_ascii_digit());
    let is_alias_of = |id: &str| id.strip_prefix(asked).and_then(|tail| tail.strip_prefix('-')).is_some_and(is_date);
    if let Some((id, _, _)) = MODELS.iter().find(|(id, _, _)| is_alias_of(id)) {
        return Ok((*id).to_owned());
    }
    if asked.contains("claude") { Ok(asked.to_owned()) } else { Err(Problem::not_found(format!("model: {asked}"))) }
}

/// Query of a page: its size, and the model that it follows or precedes.
#[derive(Debug, Deserialize)]
pub(super) struct Page {
    limit: Option<String>,
    after_id: Option<String>,
    before_id: Option<String>,
}

pub(super) async fn list(
    State(stand_in): State<Arc<StandIn>>,
    Query(page): Query<Page>,
) -> Result<Json<Value>, Diverted> {
    stand_in.begin(Endpoint::Models).await?;
    Ok(listed(&page)?)
}

fn listed(page: &Page) -> Result<Json<Value>, Problem> {
    let limit = match page.limit.as_deref().map(str::parse::<usize>) {
        None => DEFAULT_PAGE,
        Some(Ok(limit @ 1..=LARGEST_PAGE)) => limit,
        Some(Ok(0)) => return Err(Problem::invalid("limit: Input should be greater than or equal to 1")),
        Some(Ok(_)) => return Err(Problem::invalid("limit: Input should be less than or equal to 1000")),
        Some(Err(_)) => return Err(Problem::invalid("limit: Input should be a valid integer")),
    };

    // Select the page after or before the given model, or the first one.
    let (models, has_more) = match (&page.after_id, &page.before_id) {
        (Some(_), Some(_)) => return Err(Problem::invalid("Only one of after_id and before_id may be given")),
        (Some(after), None) => first(&MODELS[position("after_id", after)? + 1..], limit),
        (None, None) => first(&MODELS, limit),
        (None, Some(before)) => {
            let earlier = &MODELS[..position("before_id", before)?];
            let start = earlier.len().saturating_sub(limit);
            (&earlier[start..], start > 0)
        }
    };
    Ok(Json(json!({
        "data": models.iter().map(described).collect::<Vec<_>>(),
        "has_more": has_more,
        "first_id": models.first().map(|(id, _, _)| id),
        "last_id": models.last().map(|(id, _, _)| id),
    })))
}

pub(super) async fn retrieve(
    State(stand_in): State<Arc<StandIn>>,
    Path(asked): Path<String>,
) -> Result<Json<Value>, Diverted> {
    stand_in.begin(Endpoint::Models).await?;
    let id = serving(&asked)?;
    let model = MODELS.iter().find(|(listed, _, _)| *listed == id);
    let model = model.ok_or_else(|| Problem::not_found(format!("model: {asked}")))?;
    Ok(Json(described(model)))
}

fn first<T>(models: &[T], limit: usize) -> (&[T], bool) {
    (&models[..models.len().min(limit)], models.len() > limit)
}

fn position(parameter: &str, asked: &str) -> Result<usize, Problem> {
    let found = MODELS.iter().position(|(id, _, _)| *id == asked);
    found.ok_or_else(|| Problem::invalid(format!("{parameter}: no model is called {asked}")))
}

fn described((id, name, lifecycle): &(&str, &str, &str)) -> Value {
    json!({
        "type": "model",
        "id": id,
        "display_name": name,
        "created_at": UNKNOWN_DATE,
        "lifecycle": lifecycle,
        "max_input_tokens": 200_000,
        "max_tokens": 64_000,
    })
}
