//! The Runtime API of one environment: a loopback address that converts HTTP requests to [`Request`]s for the
//! environment.
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

/// A request of a runtime, which is answered through its `reply`.
#[derive(Debug)]
pub(super) enum Request {
    /// Asks for the next call and waits until there is one.
    Next { reply: oneshot::Sender<Response> },
    /// Answers a call.
    Response { id: Id, headers: HeaderMap, body: Incoming, reply: oneshot::Sender<Response> },
    /// Reports the failure of a call.
    Error { id: Id, body: Incoming, reply: oneshot::Sender<Response> },
    /// Reports that the runtime cannot start.
    InitError { body: Incoming, reply: oneshot::Sender<Response> },
}

/// Ids of the call that an answer belongs to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Id {
    /// Value of `Lambda-Runtime-Aws-Request-Id`.
    pub(super) request: String,
    /// Value of `Lambda-Runtime-Invocation-Id`, which newer runtimes echo so that late answers can be detected.
    pub(super) invocation: Option<String>,
}

/// Header with [`Id::invocation`].
pub(super) const INVOCATION_ID: &str = "lambda-runtime-invocation-id";

/// Listens on a free loopback port and forwards requests to the environment.
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
    // Route by method and path.
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

/// Builds the answer `202 Accepted` to a report.
pub(super) fn accepted() -> Response {
    json(StatusCode::ACCEPTED, r#"{"status":"OK"}"#.to_owned())
}

/// Builds an `ErrorResponse` of the Runtime API.
fn refused(status: StatusCode, kind: &str, message: &str) -> Response {
    json(status, serde_json::json!({ "errorType": kind, "errorMessage": message }).to_string())
}

/// Builds the answer `413` to a response over the limit.
pub(super) fn too_large() -> Response {
    refused(StatusCode::PAYLOAD_TOO_LARGE, "RequestEntityTooLarge", "Exceeded maximum payload size")
}

/// Builds the answer `400 InvalidRequestID` to a response for a call that is not in flight.
pub(super) fn stale() -> Response {
    refused(StatusCode::BAD_REQUEST, "InvalidRequestID", "Invalid request ID")
}

fn json(status: StatusCode, body: String) -> Response {
    let mut response = http::Response::new(Full::from(body));
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, header::HeaderValue::from_static("application/json"));
    response
}
