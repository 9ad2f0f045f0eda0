//! The control address, on which tests and developers make the stack fail on purpose. It listens on loopback and
//! refuses requests from web pages.

mod guard;

use std::{collections::BTreeMap, net::SocketAddr, sync::Arc};

use axum::{
    Json, Router,
    body::Bytes,
    extract::{DefaultBodyLimit, Path, State},
    http::StatusCode,
    response::{IntoResponse, Response},
    routing::{get, post, put},
    serve::ListenerExt,
};
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::net::TcpListener;

use crate::{
    aws::{self, Sns},
    clock::Clock,
    dynamodb::{DynamoDb, Faults, Mode},
    host::{self, Function, FunctionFailure, Invocation},
    providers::{StandIn, control_routes},
    redis::{self, Redis},
    schedule,
};

/// Largest event, in bytes. "Invocation payload (request and response): 6 MB each": gettingstarted-limits.html.
const LARGEST_EVENT: usize = 6 * 1024 * 1024;

/// Parts of the stack that can be controlled.
#[derive(Clone, Debug)]
pub(crate) struct Controlled {
    pub(crate) redis: Arc<Redis>,
    pub(crate) dynamodb: Arc<DynamoDb>,
    /// Functions by name.
    pub(crate) functions: Arc<BTreeMap<String, Arc<Function>>>,
    pub(crate) clock: Arc<Clock>,
}

/// Status and message of a request that was rejected.
struct ControlError(StatusCode, String);

impl IntoResponse for ControlError {
    fn into_response(self) -> Response {
        (self.0, Json(json!({ "error": self.1 }))).into_response()
    }
}

type Answer = Result<Json<Value>, ControlError>;

/// Serves the control address on a free port.
pub(crate) async fn serve(
    controlled: Controlled,
    stand_ins: Vec<Arc<StandIn>>,
    sns: Arc<Sns>,
) -> std::io::Result<SocketAddr> {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
    let address = listener.local_addr()?;
    // Routes of the stack, the stand-in providers and SNS, behind the guard.
    let routes = Router::new()
        .route("/redis/{action}", post(redis))
        .route("/dynamodb/{action}", post(dynamodb))
        .route("/dynamodb/faults", put(faults).delete(no_faults))
        .route("/functions", get(functions))
        .route("/functions/{name}/invoke", post(invoke).layer(DefaultBodyLimit::max(LARGEST_EVENT)))
        .route("/functions/{name}/{number}/{action}", post(function))
        .route("/monitor/run", post(monitor))
        .route("/time/advance", post(advance))
        .with_state(controlled)
        .merge(control_routes(stand_ins))
        .merge(aws::control_routes(sns));
    let routes = guard::guarded(routes);
    let listener = listener.tap_io(|socket| {
        let _slower_without_it = socket.set_nodelay(true);
    });
    tokio::spawn(async move {
        if let Err(error) = axum::serve(listener, routes).await {
            tracing::error!("the control address ended: {error}");
        }
    });
    Ok(address)
}

fn unknown(what: impl std::fmt::Display) -> ControlError {
    ControlError(StatusCode::NOT_FOUND, format!("there is no {what}"))
}

async fn redis(State(stack): State<Controlled>, Path(action): Path<String>) -> Answer {
    let command = match action.as_str() {
        "stop" => redis::Command::Stop,
        "start" => redis::Command::Start,
        "pause" => redis::Command::Pause,
        "resume" => redis::Command::Resume,
        _ => return Err(unknown(format!("redis action {action}: stop, start, pause or resume"))),
    };
    let result = stack.redis.command(command).await;
    result.map_err(|error| ControlError(StatusCode::CONFLICT, format!("{error:#}")))?;
    Ok(Json(json!({ "redis": action })))
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Stop {
    #[serde(default)]
    mode: Mode,
}

async fn dynamodb(State(stack): State<Controlled>, Path(action): Path<String>, body: Bytes) -> Answer {
    let mode = match action.as_str() {
        "start" => Mode::Serve,
        "stop" if body.is_empty() => Mode::Refuse,
        "stop" => parse::<Stop>(&body)?.mode,
        _ => return Err(unknown(format!("dynamodb action {action}: stop or start"))),
    };
    stack.dynamodb.set(mode).await;
    Ok(Json(json!({ "dynamodb": action })))
}

/// Sets the faults of DynamoDB's writes, as described by [`Faults`]. They last until they are deleted.
async fn faults(State(stack): State<Controlled>, body: Bytes) -> Answer {
    let faults = parse::<Faults>(&body)?;
    faults.check().map_err(|error| ControlError(StatusCode::BAD_REQUEST, error))?;
    stack.dynamodb.inject(Some(faults)).await;
    Ok(Json(json!({ "dynamodb": "faults" })))
}

async fn no_faults(State(stack): State<Controlled>) -> Json<Value> {
    stack.dynamodb.inject(None).await;
    Json(json!({ "dynamodb": "no faults" }))
}

async fn functions(State(stack): State<Controlled>) -> Json<Value> {
    let all = stack.functions.iter().map(|(name, function)| (name.clone(), json!(function.status())));
    Json(Value::Object(all.collect()))
}

async fn function(
    State(stack): State<Controlled>,
    Path((name, number, action)): Path<(String, usize, String)>,
) -> Answer {
    let command = match action.as_str() {
        "kill" => host::Command::Kill,
        "freeze" => host::Command::Freeze,
        "thaw" => host::Command::Thaw,
        "start" => host::Command::Start,
        _ => return Err(unknown(format!("function action {action}: kill, freeze, thaw or start"))),
    };
    let function = stack.functions.get(&name).ok_or_else(|| unknown(format!("function {name}")))?;
    if !function.command(number, command).await {
        return Err(unknown(format!("environment {number} of {name}")));
    }
    Ok(Json(json!({ "function": name, "environment": number, "did": action })))
}

/// Calls a function directly, without the gateway, as Lambda's Invoke does (API_Invoke.html): the body is the event,
/// the answer is the payload. A failed function is also answered with a payload, marked by a header. A streamed
/// answer is returned as a whole, with its prelude.
async fn invoke(
    State(stack): State<Controlled>,
    Path(name): Path<String>,
    event: Bytes,
) -> Result<Response, ControlError> {
    let function = stack.functions.get(&name).ok_or_else(|| unknown(format!("function {name}")))?;
    let answer = match function.invoke(Invocation { event, trace_id: String::new() }).await {
        Ok(answer) => answer.whole().await,
        Err(failure) => Err(failure),
    };
    let (error_type, message) = match answer {
        Ok(payload) => return Ok(payload.into_response()),
        Err(FunctionFailure::Function { error_type, message }) => (error_type, message),
        Err(failure) => ("Unhandled".to_owned(), failure.to_string()),
    };
    let report = Json(json!({ "errorType": error_type, "errorMessage": message }));
    Ok(([("x-amz-function-error", "Unhandled")], report).into_response())
}

async fn monitor(State(stack): State<Controlled>) -> Answer {
    let Some(monitor) = stack.functions.get("monitor") else {
        return Err(ControlError(StatusCode::NOT_IMPLEMENTED, "no function named monitor in the template".to_owned()));
    };
    match schedule::call(monitor).await {
        Ok(answer) => Ok(Json(json!({ "answer": answer }))),
        Err(failure) => Err(ControlError(StatusCode::BAD_GATEWAY, failure.to_string())),
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Advance {
    seconds: i64,
}

async fn advance(State(stack): State<Controlled>, body: Bytes) -> Answer {
    let offset = stack.clock.advance(parse::<Advance>(&body)?.seconds).await;
    let offset = offset.map_err(|error| ControlError(StatusCode::INTERNAL_SERVER_ERROR, error.to_string()))?;
    Ok(Json(json!({ "offset_seconds": offset })))
}

fn parse<'a, T: Deserialize<'a>>(body: &'a [u8]) -> Result<T, ControlError> {
    serde_json::from_slice(body).map_err(|error| ControlError(StatusCode::BAD_REQUEST, error.to_string()))
}
