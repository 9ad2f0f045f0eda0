//! The listener of the gateway: HTTP/1.1, with TLS on request.

use std::{
    convert::Infallible,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    path::Path,
    sync::Arc,
    time::Duration,
};

use anyhow::Context;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpListener,
};
use tokio_rustls::{
    TlsAcceptor,
    rustls::{ServerConfig, pki_types::PrivateKeyDer},
};

use super::Gateway;
use crate::status_line::with_reason;

/// Time in which a client has to send a request's head.
const HEAD: Duration = Duration::from_secs(30);

/// A bound address that does not accept yet, so that the stack knows the port before any other part starts.
#[derive(Debug)]
pub struct Server {
    listener: TcpListener,
    /// Address that clients connect to.
    pub address: SocketAddr,
}

/// A certificate for localhost, created for this run.
#[derive(Clone)]
pub struct Tls(TlsAcceptor);

impl std::fmt::Debug for Tls {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("Tls")
    }
}

impl Tls {
    /// Creates a self-signed certificate for localhost and writes it to `file` for clients to trust.
    ///
    /// # Errors
    /// Fails if the file cannot be written.
    pub fn self_signed(file: &Path) -> anyhow::Result<Self> {
        let made = rcgen::generate_simple_self_signed(["localhost".to_owned(), "127.0.0.1".to_owned()])?;
        std::fs::write(file, made.cert.pem()).with_context(|| format!("cannot write {}", file.display()))?;
        let key = PrivateKeyDer::try_from(made.signing_key.serialize_der()).map_err(anyhow::Error::msg)?;
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .with_no_client_auth()
            .with_single_cert(vec![made.cert.der().clone()], key)?;
        Ok(Self(TlsAcceptor::from(Arc::new(config))))
    }
}

impl Server {
    /// Binds the port; 0 binds a free one.
    ///
    /// # Errors
    /// Fails if the port is in use or not permitted.
    pub async fn bind(port: u16) -> anyhow::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).await.with_context(|| {
            format!("port {port} is taken or not allowed: stop what listens there, or choose another with --port (0: a free one)")
        })?;
        Ok(Self { address: listener.local_addr()?, listener })
    }

    /// Serves until the task is dropped.
    pub async fn run(self, gateway: Arc<Gateway>, tls: Option<Tls>) {
        loop {
            let (socket, peer) = match self.listener.accept().await {
                Ok(accepted) => accepted,
                Err(error) => {
                    // Most likely out of sockets: retry after a pause.
                    tracing::warn!("the gateway accepted no connection: {error}");
                    tokio::time::sleep(Duration::from_millis(50)).await;
                    continue;
                }
            };
            let (gateway, tls) = (gateway.clone(), tls.clone());
            tokio::spawn(async move {
                let _slower_without_it = socket.set_nodelay(true);
                match tls {
                    None => serve(gateway, socket, peer.ip()).await,
                    Some(Tls(acceptor)) => match acceptor.accept(socket).await {
                        Ok(socket) => serve(gateway, socket, peer.ip()).await,
                        Err(error) => tracing::debug!("a TLS handshake failed: {error}"),
                    },
                }
            });
        }
    }
}

async fn serve(gateway: Arc<Gateway>, socket: impl AsyncRead + AsyncWrite + Unpin + Send + 'static, peer: IpAddr) {
    let service = service_fn(|request| {
        let gateway = gateway.clone();
        async move { Ok::<_, Infallible>(with_reason(gateway.answer(request, peer).await)) }
    });
    let connection = hyper::server::conn::http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD)
        .serve_connection(TokioIo::new(socket), service);
    if let Err(error) = connection.await {
        tracing::debug!("a client's connection ended: {error}");
    }
}
