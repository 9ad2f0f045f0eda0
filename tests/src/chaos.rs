//! A TCP relay between a function and a store that misbehaves on request: it cuts, stalls and half-opens connections.

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
    /// Current generation; connections of earlier ones are dead.
    generation: AtomicU64,
    /// True if nothing is relayed, also on new connections.
    is_black_hole: AtomicBool,
    accepted: AtomicUsize,
    reset: Notify,
}

impl Chaos {
    /// Starts a relay to `target`, which forwards everything at first.
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

    /// Returns the address of the relay.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Returns the number of connections accepted so far.
    pub fn accepted(&self) -> usize {
        self.state.accepted.load(Ordering::SeqCst)
    }

    /// Starts or stops to drop all data without any answer.
    pub fn black_hole(&self, on: bool) {
        self.state.is_black_hole.store(on, Ordering::SeqCst);
    }

    /// Makes the open connections dead without closing them, as after a network failure. New ones work.
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
    // Dropping a socket with zero linger time sends RST.
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
            // Drop the data, and hide the end of the connection as well.
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
