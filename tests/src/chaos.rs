//! A TCP relay that misbehaves on request: between a function and a store, it cuts, stalls and half-opens sockets.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;

/// A relay to one address.
#[derive(Debug, Clone)]
pub struct Chaos {
    address: SocketAddr,
    state: Arc<State>,
}

#[derive(Debug, Default)]
struct State {
    /// Connections opened before this generation are dead.
    generation: AtomicU64,
    /// Nothing is relayed, on new connections neither.
    is_black_hole: AtomicBool,
    accepted: AtomicUsize,
    reset: Notify,
}

impl Chaos {
    /// A relay to `target`; it behaves until it is told not to.
    pub async fn start(target: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let state = Arc::new(State::default());
        let shared = state.clone();
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                shared.accepted.fetch_add(1, Ordering::SeqCst);
                tokio::spawn(serve(client, target, shared.clone()));
            }
        });
        Self { address, state }
    }

    /// Where the relay listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// How many connections it has accepted.
    pub fn accepted(&self) -> usize {
        self.state.accepted.load(Ordering::SeqCst)
    }

    /// Swallows everything from now on and answers nothing, or stops doing so.
    pub fn black_hole(&self, on: bool) {
        self.state.is_black_hole.store(on, Ordering::SeqCst);
    }

    /// Lets the open connections die without a word, as when a network forgets them. New ones work.
    pub fn forget_connections(&self) {
        self.state.generation.fetch_add(1, Ordering::SeqCst);
    }

    /// Resets the open connections. New ones work.
    pub fn reset_connections(&self) {
        self.state.reset.notify_waiters();
    }
}

async fn serve(client: TcpStream, target: SocketAddr, state: Arc<State>) {
    let born = state.generation.load(Ordering::SeqCst);
    let Ok(server) = TcpStream::connect(target).await else { return };
    let _ = (client.set_nodelay(true), server.set_nodelay(true));
    let reset = state.reset.notified();
    // Dropping a socket with no time to linger sends RST.
    let _ = client.set_zero_linger();
    let (client_read, client_write) = client.into_split();
    let (server_read, server_write) = server.into_split();
    tokio::select! {
        () = reset => {}
        () = relay(client_read, server_write, born, &state) => {}
        () = relay(server_read, client_write, born, &state) => {}
    }
}

async fn relay(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, born: u64, state: &State) {
    let mut buffer = [0; 16 * 1024];
    loop {
        let read = from.read(&mut buffer).await;
        let is_dead = || state.is_black_hole.load(Ordering::SeqCst) || born < state.generation.load(Ordering::SeqCst);
        if is_dead() {
            // What comes now is swallowed, an end of the connection included.
            match read {
                Ok(1..) => continue,
                _ => tokio::time::sleep(Duration::from_secs(3600)).await,
            }
        }
        match read {
            Ok(length @ 1..) if to.write_all(&buffer[..length]).await.is_ok() => {}
            _ => return,
        }
    }
}
