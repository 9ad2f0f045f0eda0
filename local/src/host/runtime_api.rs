//! The Runtime API of one environment: a loopback address that turns requests into [`Request`]s for the environment.
//!
//! Paths, headers and statuses are those of "Lambda runtime API" (runtimes-api.html).

use std::{convert::Infallible, net::SocketAddr};

use bytes::Bytes;
use http::{HeaderMap, Method, StatusCode, header};
use http_body_util::Full;
use hyper::{body::Incoming, service::service_fn};
use hyper_util::rt::TokioIo;
use tokio::{
    net::TcpListener,
    sync::{mpsc, oneshot},
};

use super::quick_ack::QuickAck;

pub(super) type Response = http::Response<Full<Bytes>>;

/// What a runtime asks for. Each request is answered through its `reply`.
#[derive(Debug)]
pub(super) enum Request {
    /// The next call, when there is one.
    Next { reply: oneshot::Sender<Response> },
    /// The answer to a call.
    Response { id: Id, headers: HeaderMap, body: Incoming, reply: oneshot::Sender<Response> },
    /// The failure of a call.
    Error { id: Id, body: Incoming, reply: oneshot::Sender<Response> },
    /// The runtime cannot start.
    InitError { body: Incoming, reply: oneshot::Sender<Response> },
}

/// Which call an answer is for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Id {
    /// `Lambda-Runtime-Aws-Request-Id`
    pub(super) request: String,
    /// `Lambda-Runtime-Invocation-Id`, which newer runtimes echo so that a late answer is known as one.
    pub(super) invocation: Option<String>,
}

/// The header that carries [`Id::invocation`].
pub(super) const INVOCATION_ID: &str = "lambda-runtime-invocation-id";

/// Listens on a free loopback port and passes requests on.
pub(super) async fn listen(requests: mpsc::Sender<Request>) -> std::io::Result<SocketAddr> {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
    let address = listener.local_addr()?;
    tokio::spawn(async move {
        while let Ok((socket, _)) = listener.accept().await {
            let requests = requests.clone();
            tokio::spawn(async move {
                let _slower_without_it = socket.set_nodelay(true);
                let service = service_fn(|request| answer(request, requests.clone()));
                let connection = hyper::server::conn::http1::Builder::new()
                    .serve_connection(TokioIo::new(QuickAck(socket)), service);
                if let Err(error) = connection.await {
                    tracing::debug!("a Runtime API connection ended: {error}");
                }
            });
        }
    });
    Ok(address)
}

async fn answer(request: http::Request<Incoming>, requests: mpsc::Sender<Request>) -> Result<Response, Infallible> {
    let (parts, body) = request.into_parts();
    let (reply, answered) = oneshot::channel();
    let path = parts.uri.path().strip_prefix("/2018-06-01/runtime/").unwrap_or_default();
    let id = |request: &str| Id {
        request: request.to_owned(),
        invocation: parts.headers.get(INVOCATION_ID).and_then(|id| id.to_str().ok()).map(str::to_owned),
    };
    let request = match (&parts.method, path.split('/').collect::<Vec<_>>().as_slice()) {
        (&Method::GET, ["invocation", "next"]) => Request::Next { reply },
        (&Method::POST, ["invocation", request, "response"]) => {
            Request::Response { id: id(request), headers: parts.headers, body, reply }
        }
        (&Method::POST, ["invocation", request, "error"]) => Request::Error { id: id(request), body, reply },
        (&Method::POST, ["init", "error"]) => Request::InitError { body, reply },
        _ => return Ok(refused(StatusCode::NOT_FOUND, "NotFound", "no such Runtime API path")),
    };
    let lost = || refused(StatusCode::INTERNAL_SERVER_ERROR, "InternalServerError", "the environment is gone");
    match requests.send(request).await {
        Ok(()) => Ok(answered.await.unwrap_or_else(|_| lost())),
        Err(_) => Ok(lost()),
    }
}

/// `202 Accepted`, as for every report that was taken.
pub(super) fn accepted() -> Response {
    json(StatusCode::ACCEPTED, r#"{"status":"OK"}"#.to_owned())
}

/// An `ErrorResponse` of the Runtime API.
fn refused(status: StatusCode, kind: &str, message: &str) -> Response {
    json(status, serde_json::json!({ "errorType": kind, "errorMessage": message }).to_string())
}

/// `413`, for a response over the limit.
pub(super) fn too_large() -> Response {
    refused(StatusCode::PAYLOAD_TOO_LARGE, "RequestEntityTooLarge", "Exceeded maximum payload size")
}

/// `400 InvalidRequestID`, for an answer to a call that is not under way.
pub(super) fn stale() -> Response {
    refused(StatusCode::BAD_REQUEST, "InvalidRequestID", "Invalid request ID")
}

fn json(status: StatusCode, body: String) -> Response {
    let mut response = http::Response::new(Full::from(body));
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, header::HeaderValue::from_static("application/json"));
    response
}
