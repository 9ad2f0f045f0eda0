//! The listener of a stand-in: HTTP/1.1 without any additional header, so that a scripted answer is sent as it is
//! written.

use std::convert::Infallible;
use std::error::Error;
use std::future::poll_fn;

use axum::Router;
use axum::body::Body;
use axum::response::Response;
use axum::serve::Listener;
use http::Request;
use http::header::CONTENT_LENGTH;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::{Service, service_fn};
use hyper_util::rt::TokioIo;
use hyper_util::service::TowerToHyperService;
use tokio::io::AsyncWriteExt;
use tokio::net::{TcpListener, TcpStream};

use crate::status_line::with_reason;

/// Head of a response with a 1xx status. hyper sends none as a final response, so it is written by hand.
#[derive(Debug, thiserror::Error)]
#[error("a 1xx status ends the connection")]
struct Interim(Vec<u8>);

/// Serves connections until the runtime ends.
pub(super) async fn run(mut listener: TcpListener, routes: Router) {
    loop {
        // axum's `accept` retries after an error, with a pause.
        let (socket, _) = Listener::accept(&mut listener).await;
        tokio::spawn(serve(socket, routes.clone()));
    }
}

async fn serve(socket: TcpStream, routes: Router) {
    // Without TCP_NODELAY every second delta of a stream would wait for the client's delayed ACK.
    if let Err(error) = socket.set_nodelay(true) {
        tracing::debug!(%error, "TCP_NODELAY was refused");
    }
    let routes = TowerToHyperService::new(routes);
    let service = service_fn(move |request: Request<Incoming>| {
        let response = routes.call(request);
        // Boxed, because `poll_without_shutdown` needs a future that is `Unpin`.
        Box::pin(async move { final_response(response.await) })
    });
    let mut connection = http1::Builder::new().auto_date_header(false).serve_connection(TokioIo::new(socket), service);
    let ended = poll_fn(|context| connection.poll_without_shutdown(context)).await;

    // Write the head of a 1xx answer by hand, then close the connection.
    let mut socket = connection.into_parts().io.into_inner();
    if let Err(error) = ended {
        match error.source().and_then(|cause| cause.downcast_ref()) {
            Some(Interim(head)) => {
                let _ = socket.write_all(head).await; // the client may have left
            }
            None => tracing::debug!(%error, "a connection ended"),
        }
    }
    let _ = socket.shutdown().await; // the client may have left
}

fn final_response(response: Result<Response<Body>, Infallible>) -> Result<Response<Body>, Interim> {
    let response = response.unwrap_or_else(|never| match never {});
    let status = response.status();
    if !status.is_informational() {
        return Ok(with_reason(response));
    }
    let reason = status.canonical_reason().unwrap_or("<none>");
    let mut head = format!("HTTP/1.1 {} {reason}\r\n", status.as_str()).into_bytes();
    // Leave out the length that the router has set for the empty body: 1xx has none.
    for (name, value) in response.headers().iter().filter(|(name, _)| *name != CONTENT_LENGTH) {
        for part in [name.as_str().as_bytes(), b": ", value.as_bytes(), b"\r\n"] {
            head.extend_from_slice(part);
        }
    }
    head.extend_from_slice(b"\r\n");
    Err(Interim(head))
}
