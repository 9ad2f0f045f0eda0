//! One environment whose connections to a provider all break: it helps itself, and for all others nothing changes.

use std::net::SocketAddr;
use std::sync::Arc;

use serde_json::json;
use tests::Language::Python;
use tests::Stack;
use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

use crate::scene::{Scene, Seen, assert_served, mixed, stack};

/// A way to a stand-in that can be closed to one process.
struct Way {
    address: SocketAddr,
    target: Arc<watch::Sender<Option<SocketAddr>>>,
    closed_to: Arc<watch::Sender<Option<u64>>>,
}

impl Way {
    async fn open() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (target, closed_to) = (Arc::new(watch::Sender::new(None)), Arc::new(watch::Sender::new(None)));
        let (to, closed) = (target.clone(), closed_to.clone());
        tokio::spawn(async move {
            while let Ok((client, peer)) = listener.accept().await {
                tokio::spawn(relay(client, peer, to.subscribe(), closed.subscribe()));
            }
        });
        Self { address, target, closed_to }
    }

    /// What `AI_PROVIDERS` says of the stand-in `name` at the end of this way.
    fn provider(&self, name: &str) -> serde_json::Value {
        let key = Stack::provider_key(name);
        json!({ "name": name, "kind": "anthropic", "base_url": format!("http://{}", self.address), "api_key": key })
    }

    async fn leads_to(&self, stack: &Stack, name: &str) {
        let provider = stack.provider(name).await;
        let target = provider["base_url"].as_str().unwrap().trim_start_matches("http://").parse().unwrap();
        self.target.send_replace(Some(target));
    }
}

async fn relay(
    mut client: TcpStream,
    peer: SocketAddr,
    mut target: watch::Receiver<Option<SocketAddr>>,
    mut closed_to: watch::Receiver<Option<u64>>,
) {
    let target = target.wait_for(Option::is_some).await.unwrap().unwrap();
    let socket = socket_of(peer);
    let is_closed = |pid: &Option<u64>| pid.is_some_and(|pid| holds(pid, &socket));
    let mut server = TcpStream::connect(target).await.unwrap();
    tokio::select! {
        biased;
        _ = closed_to.wait_for(is_closed) => {}
        _ = copy_bidirectional(&mut client, &mut server) => {}
    }
}

/// How the list of a process's files names the socket of this machine that has the address `peer` (proc_net(5)).
fn socket_of(peer: SocketAddr) -> String {
    let SocketAddr::V4(peer) = peer else { panic!("{peer}") };
    let address = format!("{:08X}:{:04X}", u32::from_le_bytes(peer.ip().octets()), peer.port());
    let sockets = std::fs::read_to_string("/proc/net/tcp").unwrap();
    let fields = sockets.lines().map(|line| line.split_whitespace().collect::<Vec<_>>());
    let inode = fields.filter(|fields| fields[1] == address).map(|fields| fields[9].to_owned()).next();
    format!("socket:[{}]", inode.unwrap_or_default())
}

fn holds(pid: u64, socket: &str) -> bool {
    let files = std::fs::read_dir(format!("/proc/{pid}/fd")).unwrap();
    files.flatten().any(|file| std::fs::read_link(file.path()).is_ok_and(|link| link.to_str() == Some(socket)))
}

#[tokio::test]
async fn an_environment_whose_connections_break_keeps_away_by_itself_and_the_provider_keeps_its_share() {
    let (primary, backup) = (Way::open().await, Way::open().await);
    let providers = json!([primary.provider("primary"), backup.provider("backup")]).to_string();
    let mut scene = Scene::of(stack().env("AI_PROVIDERS", &providers), Python).await;
    primary.leads_to(&scene.stack, "primary").await;
    backup.leads_to(&scene.stack, "backup").await;
    let healthy = scene.calls(mixed(30)).await;
    assert_served(&healthy);
    assert!(healthy.iter().all(|seen| seen.provider() == "primary"), "{healthy:?}");

    // How calls are spread over environments is the gateway's affair; one that had many will have more.
    let environments = scene.stack.environments("ai-proxy").await;
    let invocations = scene.stack.invocations("ai-proxy").await;
    let (busiest, _) = environments.iter().zip(&invocations).max_by_key(|(_, calls)| **calls).unwrap();
    primary.closed_to.send_replace(busiest["pid"].as_u64());
    let mut seen = Vec::new();
    let count = |seen: &[Seen], reason: &str| seen.iter().filter(|seen| seen.reason() == reason).count();
    while count(&seen, "breaker-local") == 0 && seen.len() < 900 {
        seen.extend(scene.calls(mixed(30)).await);
    }

    assert_served(&seen);
    let (met, kept_away) = (count(&seen, "unreachable"), count(&seen, "breaker-local"));
    eprintln!("{met} of {} calls met broken connections, {kept_away} were kept from them", seen.len());
    assert!((5..=12).contains(&met) && kept_away > 0, "{seen:?}");
    let at_primary = seen.iter().filter(|seen| seen.provider() == "primary").count();
    assert_eq!(at_primary, seen.len() - met - kept_away, "{seen:?}");
    assert!(scene.history().await.is_empty(), "one environment alone decides nothing");
}
