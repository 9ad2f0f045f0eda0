//! The address in front of the emulator, and the ways in which it fails on request.

use std::{net::SocketAddr, sync::Arc};

use bytes::Bytes;
use http::Response;
use http_body_util::{BodyExt, Full};
use hyper::{body::Incoming, service::service_fn};
use hyper_util::rt::TokioIo;
use serde::Deserialize;
use tokio::{
    net::{TcpListener, TcpSocket, TcpStream},
    sync::{mpsc, oneshot},
    task::JoinSet,
};

use super::faults::{Faults, Unreliable, refuse};

/// Handling of connections and calls.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    /// Connections are passed to the emulator.
    #[serde(skip)]
    Serve,
    /// Connections are refused.
    #[default]
    Refuse,
    /// Connections are accepted and never answered.
    Hang,
    /// Every call is answered with ProvisionedThroughputExceededException.
    Throttle,
}

/// A change, and the channel that reports that it is in force.
type Change = (Different, oneshot::Sender<()>);

#[derive(Debug)]
enum Different {
    Mode(Mode),
    Faults(Option<Faults>),
}

/// The listener's address, and the channel that changes its behaviour.
#[derive(Debug)]
pub(super) struct Front {
    pub(super) address: SocketAddr,
    changes: mpsc::Sender<Change>,
}

impl Front {
    /// Listens on a free port and forwards connections to `inner`.
    pub(super) async fn start(inner: SocketAddr) -> std::io::Result<Self> {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
        let address = listener.local_addr()?;
        let (changes, receiver) = mpsc::channel(1);
        tokio::spawn(run(listener, address, inner, receiver));
        Ok(Self { address, changes })
    }

    /// Sets the mode and returns once it is in force.
    pub(super) async fn set(&self, mode: Mode) {
        self.change(Different::Mode(mode)).await;
    }

    /// Sets the faults and returns once they are in force.
    pub(super) async fn inject(&self, faults: Option<Faults>) {
        self.change(Different::Faults(faults)).await;
    }

    async fn change(&self, different: Different) {
        let (done, is_done) = oneshot::channel();
        if self.changes.send((different, done)).await.is_ok() {
            let _front_has_ended = is_done.await;
        }
    }
}

async fn run(listener: TcpListener, address: SocketAddr, inner: SocketAddr, mut changes: mpsc::Receiver<Change>) {
    let mut listener = Some(listener);
    let mut mode = Mode::Serve;
    let mut unreliable: Option<Arc<Unreliable>> = None;
    // Replaced at every change, which cuts the connections.
    let mut connections = JoinSet::new();
    // Bound but not listening: the port stays reserved while connections are refused.
    let mut reserved: Option<TcpSocket> = None;
    loop {
        tokio::select! {
            changed = changes.recv() => {
                let Some((different, done)) = changed else { return };
                match different {
                    Different::Mode(next) => mode = next,
                    Different::Faults(faults) => {
                        unreliable = faults.map(|faults| Arc::new(Unreliable::new(faults, inner)));
                    }
                }
                // Cut all connections, then close or reopen the listener.
                connections = JoinSet::new();
                if mode == Mode::Refuse {
                    listener = None;
                    reserved = reserved.or_else(|| bind(address).ok());
                } else if listener.is_none() {
                    let socket = reserved.take().map_or_else(|| bind(address), Ok);
                    match socket.and_then(|socket| socket.listen(1024)) {
                        Ok(opened) => listener = Some(opened),
                        Err(error) => tracing::error!("DynamoDB's port {address} cannot be opened again: {error}"),
                    }
                }
                let _impatient = done.send(());
            }
            accepted = accept(listener.as_ref()) => {
                if let Ok((socket, _)) = accepted {
                    let _slower_without_it = socket.set_nodelay(true);
                    connections.spawn(connection(socket, mode, inner, unreliable.clone()));
                }
            }
            Some(_ended) = connections.join_next() => {}
        }
    }
}

async fn accept(listener: Option<&TcpListener>) -> std::io::Result<(TcpStream, SocketAddr)> {
    match listener {
        Some(listener) => listener.accept().await,
        None => std::future::pending().await,
    }
}

fn bind(address: SocketAddr) -> std::io::Result<TcpSocket> {
    let socket = TcpSocket::new_v4()?;
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    Ok(socket)
}

async fn connection(mut client: TcpStream, mode: Mode, inner: SocketAddr, unreliable: Option<Arc<Unreliable>>) {
    match mode {
        Mode::Serve => {
            if let Some(unreliable) = unreliable {
                unreliable.serve(client).await;
            } else if let Ok(mut server) = TcpStream::connect(inner).await {
                let _slower_without_it = server.set_nodelay(true);
                let _either_side_has_gone = tokio::io::copy_bidirectional(&mut client, &mut server).await;
            }
        }
        Mode::Refuse => {}
        Mode::Hang => std::future::pending().await,
        Mode::Throttle => {
            let connection =
                hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(client), service_fn(throttle));
            let _client_has_gone = connection.await;
        }
    }
}

async fn throttle(request: http::Request<Incoming>) -> hyper::Result<Response<Full<Bytes>>> {
    request.into_body().collect().await?;
    Ok(refuse(serde_json::json!({
        "__type": "com.amazonaws.dynamodb.v20120810#ProvisionedThroughputExceededException",
        "message": "The level of configured provisioned throughput for the table was exceeded.",
    })))
}
